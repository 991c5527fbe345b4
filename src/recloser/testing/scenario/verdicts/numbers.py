"""The little arithmetic of the verdicts and the report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["counted", "in_time", "percentile", "runs", "share"]


def percentile(values: Iterable[float], part: float) -> float:
    """Return the value below which `part` (0 to 1) of the values lie, by the nearest rank; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def share(part: int, whole: int) -> str:
    """Return a share as people read it: never 100 % of what is not all of it."""
    if not whole:
        return "none"
    percent = 100 * part / whole
    return "100 %" if part == whole else f"{min(percent, 99.9):.1f} %"


def in_time(seconds: float) -> str:
    """Return a duration as people read it."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def counted(number: int, what: str) -> str:
    """Return a number with its noun: `1 call`, `2 calls`, `no calls`."""
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def runs(flags: Sequence[bool]) -> int:
    """Return the length of the longest run of true values."""
    longest = current = 0
    for flag in flags:
        current = current + 1 if flag else 0
        longest = max(longest, current)
    return longest
