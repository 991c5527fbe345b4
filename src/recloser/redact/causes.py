"""What lies underneath an error of ours: foreign exceptions, whose texts may hold a secret or what was sent.

A program that does not catch an error prints all that led to it, and so does a library that reports errors. Neither
asks us, so those texts must not be there.
"""

from __future__ import annotations

from typing import Final

from recloser.redact.redactor import Redactor

__all__ = ["Underlying", "seal"]

DEEPEST: Final = 20
"""Exceptions that may lie below one; further ones are left out."""


class Underlying(Exception):  # noqa: N818 - it is no error of its own, and stands for one of any kind
    """Stands for a foreign exception: tells its type and its place, and its text only where that may be shown."""


def seal(error: BaseException, ours: type[BaseException], redactor: Redactor | None = None) -> None:
    """Put an `Underlying` in the place of each foreign exception that led to an error.

    Args:
        error: the error, which keeps its type, text and traceback.
        ours: exceptions whose texts hold no secret; they stay as well.
        redactor: redacts the texts of foreign ones, where contents may be shown; without one they are left out.
    """
    # Each with what stands for it, and kept until the end: identities are those of living objects.
    seen: dict[int, tuple[BaseException, BaseException]] = {id(error): (error, error)}
    todo = [error]
    while todo:
        above = todo.pop()
        suppressed = above.__suppress_context__
        for name in ("__cause__", "__context__"):
            below = getattr(above, name)
            if below is not None and id(below) not in seen and len(seen) <= DEEPEST:
                shown = below if isinstance(below, ours | Underlying) else _standing_for(below, redactor)
                seen[id(below)] = below, shown
                todo.append(shown)
            setattr(above, name, None if below is None else seen.get(id(below), (None, None))[1])
        above.__suppress_context__ = suppressed


def _standing_for(error: BaseException, redactor: Redactor | None) -> Underlying:
    shown = Underlying(_told(error, redactor)).with_traceback(error.__traceback__)
    shown.__cause__, shown.__context__ = error.__cause__, error.__context__
    shown.__suppress_context__ = error.__suppress_context__
    return shown


def _told(error: BaseException, redactor: Redactor | None) -> str:
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, BaseExceptionGroup):
        members = ", ".join(type(member).__qualname__ for member in error.exceptions[:5])
        return f"{kind} of {len(error.exceptions)}: {members}"
    if redactor is not None:
        return f"{kind}: {redactor.text(error)}"
    return f"{kind} (its text is left out, since it may hold a secret)"
