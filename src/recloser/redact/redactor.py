"""The object that redacts, made of the three nets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from traceback import TracebackException
from typing import Any, Final

from recloser.redact.control import printable
from recloser.redact.known import Known
from recloser.redact.named import mask_named
from recloser.redact.names import is_secret_name, plain_name
from recloser.redact.shapes import MASK, key_body, mask_shapes
from recloser.redact.walk import UNREADABLE, Walk

__all__ = ["Redactor", "redact"]

LENGTH: Final = 4096
"""Characters that a text may have afterwards, where nothing else is said."""
NAME: Final = 256
"""Characters that a name may have afterwards."""
REMEMBERED: Final = 1024
"""Names that are kept in memory with what is shown of them."""
FRAMES: Final = 40
"""Frames of each exception of a traceback that are told: the innermost ones."""
RECORD: Final = 32 * 1024
"""Characters of one value's texts that are worked on, where nothing else is said: redacting them takes some 50 ms."""
_MARGIN: Final = 512


class Redactor:
    """Takes secrets, control characters and excess out of texts and log records; raises on nothing it is given.

    What it does never changes after its making, and threads may share one.

    Raises:
        ValueError: `max_length` is less than 64.
    """

    def __init__(
        self,
        secrets: Iterable[str] = (),
        *,
        max_length: int = LENGTH,
        names: Iterable[str] = (),
        enabled: bool = True,
    ) -> None:
        """Take the configuration's own secrets and the limits.

        Args:
            secrets: found by value wherever they stand, in their URL-encoded, base64 and escaped forms too; those
                shorter than `SHORTEST_SECRET` are passed over.
            max_length: the most characters that a text may have afterwards, the mark of a cut included.
            names: further keys whose values are hidden in mappings, besides the names of secrets.
            enabled: whether secrets are hidden; False is for tests alone, which prove by it that they would see one. No
                configuration can say it.
        """
        if max_length < 64:
            raise ValueError(f"max_length must be at least 64, got {max_length!r}")
        self._max_length = max_length
        self._names = frozenset(plain_name(name) for name in names)
        self._enabled = enabled
        self._known = Known(printable(secret) for secret in secrets)
        self.margin = max(_MARGIN, self._known.longest)
        """Characters beyond a cut that are worked on: as many as a secret at the cut may have."""
        self._remembered = lru_cache(REMEMBERED)(self._name)

    def __repr__(self) -> str:
        return f"Redactor({len(self._known)} forms, max_length={self._max_length})"

    def text(self, value: object) -> str:
        """Return a text that may be shown to anybody, at most `max_length` characters long."""
        try:
            return self._cut(_as_text(value))
        except Exception:  # noqa: BLE001 - boundary: a text that cannot be read must not fail the call it tells about
            return UNREADABLE

    def name(self, name: str) -> str:
        """Return a name, of a tool or of a caller, that may be shown: at most `NAME` characters long.

        Names come again, so that this costs next to nothing for one that was asked for before.
        """
        # A long one is somebody's attack or mistake; it is not kept in memory for its next time.
        return self._remembered(name) if len(name) <= NAME else self._name(name)

    def _name(self, name: str) -> str:
        text = self.text(name)
        return text if len(text) <= NAME else f"{text[: NAME - 1]}…"

    def whole(self, value: object) -> str:
        """Return a text that may be shown to anybody and is not cut: for what its owner has bounded already.

        Give it several lines as one text: a private key is not known by one of its lines.
        """
        try:
            return self._masked(printable(_as_text(value)))
        except Exception:  # noqa: BLE001 - boundary: as above
            return UNREADABLE

    def tail(self, text: str, most: int, *, severed: bool) -> str:
        """Return the end of a text that may be shown to anybody, at most `most` characters of it, in whole lines.

        Args:
            text: what is there of it: `margin` characters more than are shown, where there are so many.
            most: characters that are shown.
            severed: whether more stood before it, so that it may begin in the middle of a secret. It may always end in
                one, since whoever wrote it may have died.
        """
        known = self._known.mask_begun(self._known.mask(printable(text))) if self._enabled else printable(text)
        key = key_body(known) if severed and self._enabled else 0
        shown = self._masked(MASK + known[key:] if key else known)
        # Where the key reaches beyond the margin, so does what may have been cut in two.
        start = max(0, len(shown) - most, self.margin if severed and key < self.margin else 0)
        left, shown = shown[:start], shown[start:]
        whole_lines = shown if left[-1:] in ("", "\n") else shown.partition("\n")[2]
        return whole_lines or shown

    def traceback(self, error: BaseException) -> str:
        """Return an exception's traceback, its causes included, without the values of variables."""
        try:
            told = TracebackException.from_exception(error, limit=-FRAMES, max_group_width=5, max_group_depth=5)
            return self.whole("".join(told.format()))
        except Exception:  # noqa: BLE001 - boundary: as above
            return f"{type(error).__name__}: {UNREADABLE}\n"

    def mapping(self, value: Mapping[Any, Any]) -> dict[str, Any]:
        """Return a mapping's redacted copy, all of its depth included."""
        found = self.value(value)
        return found if isinstance(found, dict) else {"value": found}

    def value(self, value: object, *, characters: int = RECORD) -> Any:
        """Return a redacted copy made of plain values: None, bool, numbers, texts, lists and dicts with text keys.

        Args:
            value: anything.
            characters: of all texts together that are worked on; behind the one that goes beyond it stands a mark.
        """
        longest = self._max_length + self.margin
        return Walk(self.text, self._is_secret, self._is_hidden, characters=characters, longest=longest).value(value)

    def _is_secret(self, text: str) -> bool:
        return self._enabled and text in self._known

    def _is_hidden(self, name: str) -> bool:
        if not self._enabled:
            return False
        return is_secret_name(name) or (bool(self._names) and plain_name(name) in self._names)

    def _masked(self, text: str) -> str:
        return mask_named(mask_shapes(self._known.mask(text))) if self._enabled else text

    def _cut(self, raw: str) -> str:
        # Only so much is worked on as can be shown, and a margin, so that a secret at the cut is seen in full.
        window = self._max_length + self.margin
        text = self._masked(printable(raw[:window]))
        if len(raw) > window:
            text = text[: -self.margin]
        elif len(text) <= self._max_length:
            return text
        mark = f"… [cut: {len(raw)} characters in all]"
        return text[: self._max_length - len(mark)] + mark


_default: Final = Redactor()


def redact(text: object) -> str:
    """Return a text without what looks like a secret, for where no configuration is known."""
    return _default.text(text)


def _as_text(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return value if isinstance(value, str) else str(value)
