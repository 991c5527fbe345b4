"""How long a regular expression of somebody else may take, so that none holds up the loop.

Python's `re` tries every way to match and cannot be interrupted: `^(a+)+$` takes hours for forty letters. What is
returned here is a bound, not a measure; it errs on the long side.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Final

__all__ = ["steps"]

_TOKEN: Final = re.compile(
    r"""
    (?P<back>\\[1-9]|\(\?P=)            # what was matched before, once more: no bound is known
    | \\.                               # an escaped character
    | \[\^?\]?(?:\\.|[^\]\\])*\]        # a set of characters
    | (?P<open>\((?:\?[a-zA-Z-]*[:=!<>])?)
    | (?P<close>\))
    | (?P<bar>\|)
    | (?P<repeat>[*+?]|\{(?=[\d,])(?P<least>\d*)(?P<comma>,?)(?P<most>\d*)\})[?+]?
    | .
    """,
    re.VERBOSE | re.DOTALL,
)
_ANCHORS: Final = ("^", r"\A")
_REPEATS: Final = {"*": (0.0, math.inf), "+": (1.0, math.inf), "?": (0.0, 1.0)}


def steps(pattern: str, length: int) -> float:
    """Return how many steps a search in a text of this length takes at most, roughly; `inf` where nobody knows."""
    found = _shape(pattern)
    if found is None:
        return math.inf
    ways, powers = found
    try:
        return ways * float(length + 1) ** powers
    except OverflowError:
        return math.inf


@lru_cache(maxsize=1024)
def _shape(pattern: str) -> tuple[float, int] | None:
    """Return the ways that do not depend on the text, and the power of its length; None if something nests."""
    ways, powers = 1.0, 0 if pattern.startswith(_ANCHORS) else 1
    # For each group that is open: its branches, and whether it can match in more than one way.
    groups: list[list[int]] = [[1, 0]]
    inner = False
    for token in _TOKEN.finditer(pattern):
        if token["back"]:
            return None
        if token["open"]:
            groups.append([1, 0])
            continue
        if token["close"]:
            branches, varies = groups.pop() if len(groups) > 1 else groups[0]
            ways *= branches
            inner = varies > 0 or branches > 1
            groups[-1][1] |= inner
            continue
        if token["bar"]:
            groups[-1][0] += 1
        elif token["repeat"]:
            least, most = _bounds(token)
            if inner and most > 1:
                return None
            if math.isinf(most):
                powers += 1
            else:
                ways *= most - least + 1
            groups[-1][1] |= most > least
        inner = False
    return ways * groups[0][0], powers


def _bounds(token: re.Match[str]) -> tuple[float, float]:
    """Return how often something is repeated at least and at most."""
    if token["repeat"] in _REPEATS:
        return _REPEATS[token["repeat"]]
    least, most = float(token["least"] or 0), float(token["most"] or math.inf)
    return least, most if token["comma"] else least
