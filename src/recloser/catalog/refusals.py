"""What is said about a name that leads nowhere: errors that name what comes nearest."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from recloser.errors import RouterError, error_for
from recloser.redact import redact

__all__ = ["ambiguous", "disabled", "listed", "unknown", "unknown_server"]

MOST_COMPARED: Final = 64
"""Names that one look-up is compared with at most: comparing takes time, and callers can be made to guess often."""

_LONGEST_SHOWN: Final = 128
_WORD: Final = re.compile(r"[A-Za-z0-9]{3,}")


def listed(names: Iterable[str], most: int = 3) -> str:
    """Return names as a phrase: `a, b and c`, or `a, b, c and 5 more`."""
    known = list(names)
    shown = [repr(_shown(name)) for name in known[:most]]
    if len(known) > most:
        shown.append(f"{len(known) - most} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def near(name: str, known: Iterable[str]) -> list[str]:
    """Return at most three known names that come nearest; only those that share most words are compared closely."""
    name = name[:_LONGEST_SHOWN]
    every = list(known)
    shared = Counter(each for word in _WORD.findall(name) for each in every if word in each)
    alike = [each for each, _ in shared.most_common(MOST_COMPARED)]
    others = every[: MOST_COMPARED - len(alike)]
    return get_close_matches(name, dict.fromkeys([*alike, *others]), n=3, cutoff=0.5)


def unknown(
    code: str, what: str, name: str, known: Iterable[str], *, server: str | None, note: str = ""
) -> RouterError:
    """Return the error for a tool or prompt that nobody offers."""
    where = f" of server {server!r}" if server is not None else ""
    said = repr(_shown(name))
    guesses = near(name, known)
    hint = f"did you mean {listed(guesses)}?" if guesses else f"list the {what}s to see what there is"
    return error_for(code, f"There is no {what} {said}{where}; {hint}{note}", server=server, tool=_tool(what, name))


def ambiguous(code: str, what: str, name: str, servers: Iterable[str], ways: Iterable[str]) -> RouterError:
    """Return the error for a short name that several servers answer to."""
    said = repr(_shown(name))
    message = f"The {what} {said} is offered by {listed(servers)}; say which: {listed(ways)}"
    return error_for(code, message, tool=_tool(what, name), next_action="fix_arguments")


def disabled(code: str, what: str, name: str, server: str) -> RouterError:
    """Return the error for something that an operator has switched off."""
    message = f"The {what} {_shown(name)!r} of server {server!r} is switched off here; use another one"
    return error_for(code, message, server=server, tool=_tool(what, name))


def unknown_server(name: str, known: Iterable[str]) -> RouterError:
    """Return the error for a server that is not configured."""
    servers = list(known)
    guesses = near(name, servers)
    hint = f"did you mean {listed(guesses)}?" if guesses else f"known are {listed(servers)}" if servers else "none is"
    return error_for("unknown_server", f"There is no server {_shown(name)!r}; {hint}", server=None)


def _tool(what: str, name: str) -> str | None:
    return _shown(name) if what == "tool" else None


def _shown(name: str) -> str:
    """Return a caller's text, which may hold anything, as it may be shown."""
    return redact(name)[:_LONGEST_SHOWN]
