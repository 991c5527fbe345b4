"""Drawing: tags, scales and axes. Small, and without any library, so that a page needs nothing but itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

__all__ = ["Frame", "group", "log_ticks", "number", "picture", "rect", "seconds", "tag", "text", "ticks"]

STEPS: Final = (1, 2, 2.5, 5, 10)


def number(value: float) -> str:
    """Return a coordinate as short as it can be written."""
    return f"{value:.1f}".rstrip("0").rstrip(".") if value else "0"


def tag(name: str, *inner: str, **attributes: str | float | None) -> str:
    """Return one element; `_` in an attribute's name is `-`, a trailing one is dropped, and None leaves it out."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(number(value) if isinstance(value, int | float) else value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{said}>{''.join(inner)}</{name}>" if inner else f"<{name}{said}/>"


def group(*inner: str, **attributes: str | float | None) -> str:
    """Return a group of elements."""
    return tag("g", *inner, **attributes) if inner else ""


def text(x: float, y: float, said: str, cls: str = "label", anchor: str = "start") -> str:
    """Return a line of text."""
    return tag("text", escape(said), x=x, y=y, class_=cls, text_anchor=None if anchor == "start" else anchor)


def rect(x: float, y: float, width: float, height: float, cls: str, *, hint: str = "", rounded: float = 0) -> str:
    """Return a rectangle, with a hint that is shown by whoever points at it."""
    inner = (tag("title", escape(hint)),) if hint else ()
    return tag("rect", *inner, x=x, y=y, width=max(0.0, width), height=height, class_=cls, rx=rounded or None)


def picture(width: float, height: float, title: str, told: str, *inner: str) -> str:
    """Return a drawing with its name and what it tells, for those who do not see it."""
    return tag(
        "svg",
        tag("title", escape(title)),
        tag("desc", escape(told)),
        *inner,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_label=f"{title}. {told}",
    )


def ticks(top: float, wanted: int) -> list[float]:
    """Return about so many round numbers from 0 up to `top`."""
    if top <= 0:
        return [0.0]
    raw = top / max(1, wanted)
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * each for each in STEPS if size * each >= raw * 0.999)
    return [step * index for index in range(int(top / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return the powers of ten between two numbers, those included that enclose them."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**index for index in range(first, max(last, first + 1) + 1)]


def seconds(value: float) -> str:
    """Return a duration for an axis."""
    if value >= 1:
        return f"{value:g} s"
    return f"{value * 1000:g} ms" if value >= 0.001 else f"{value * 1e6:g} µs"


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where a chart's data lies in its drawing."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    end: float
    """The last moment on the time axis, in seconds; the first is 0."""

    @property
    def inner(self) -> float:
        """The width of the data."""
        return self.width - self.left - self.right

    @property
    def floor(self) -> float:
        """Where the data's lower edge is."""
        return self.height - self.bottom

    def x(self, moment: float) -> float:
        """Return where a moment is."""
        return self.left + self.inner * min(1.0, max(0.0, moment / self.end))

    def y(self, share: float) -> float:
        """Return where a share of the height is, from 0 at the floor."""
        return self.floor - (self.floor - self.top) * share

    def time_axis(self) -> str:
        """Return the axis of seconds."""
        marks = ticks(self.end, max(3, int(self.inner / 70)))
        last = f"{marks[-1]:g} s"
        return group(
            tag("line", x1=self.left, x2=self.width - self.right, y1=self.floor, y2=self.floor, class_="axis"),
            *(
                text(self.x(mark), self.floor + 16, last if mark == marks[-1] else f"{mark:g}", "tick", "middle")
                for mark in marks
            ),
        )

    def grid(self, levels: Iterable[tuple[float, str]]) -> str:
        """Return horizontal lines at shares of the height, each with its label."""
        return group(
            *(
                tag("line", x1=self.left, x2=self.width - self.right, y1=self.y(share), y2=self.y(share), class_="grid")
                + text(self.left - 6, self.y(share) + 4, said, "tick", "end")
                for share, said in levels
            )
        )

    def bands(self, spans: Sequence[tuple[float, float]], hint: Callable[[int], str]) -> str:
        """Return a shade over the times in which faults were in force."""
        height = self.floor - self.top
        return group(
            *(
                rect(self.x(began), self.top, self.x(ended) - self.x(began), height, "shade", hint=hint(index))
                for index, (began, ended) in enumerate(spans)
            )
        )
