"""The vocabulary of the proxy: toxiproxy's kinds of toxics and the names of their attributes.

Durations are float seconds here; toxiproxy's own API wants whole milliseconds, or microseconds for a slicer's delay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, get_args

__all__ = ["KINDS", "Attribute", "Kind", "Stream", "check_share", "check_stream", "checked"]

Kind = Literal["latency", "bandwidth", "slow_close", "timeout", "reset_peer", "slicer", "limit_data"]
Stream = Literal["upstream", "downstream"]
"""Which way: `upstream` is what clients send to the server, `downstream` what it sends to them."""


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """One number of a toxic."""

    name: str
    does: str
    """What it says, with its unit."""
    default: float = 0.0
    scale: float = 1.0
    """What a value of ours is multiplied by to be one of toxiproxy's."""
    whole: bool = False
    """Whether it counts bytes."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a kind of toxic does, and by which numbers."""

    does: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


def _seconds(name: str, does: str, *, scale: float = 1e3) -> Attribute:
    return Attribute(name=name, does=does, scale=scale)


def _bytes(name: str, does: str, default: float = 0.0) -> Attribute:
    return Attribute(name=name, does=does, default=default, whole=True)


def _facts(does: str, *attributes: Attribute) -> Facts:
    return Facts(does=does, attributes=MappingProxyType({one.name: one for one in attributes}))


KINDS: Final[Mapping[str, Facts]] = MappingProxyType(
    {
        "latency": _facts(
            "all data is late by `latency`, give or take `jitter`; its order stays",
            _seconds("latency", "seconds"),
            _seconds("jitter", "seconds, up or down at random, for each piece of data"),
        ),
        "bandwidth": _facts(
            "data passes at `rate`; 0 lets nothing pass",
            Attribute(name="rate", does="thousands of bytes a second"),
        ),
        "slow_close": _facts("the end of the stream comes `delay` later", _seconds("delay", "seconds")),
        "timeout": _facts(
            "no data passes, and the connection is closed after `timeout`; with 0, not before the toxic is removed",
            _seconds("timeout", "seconds since the toxic began on the connection; 0: never"),
        ),
        "reset_peer": _facts(
            "the connection is reset `timeout` after data has come", _seconds("timeout", "seconds; 0: at once")
        ),
        "slicer": _facts(
            "data is cut into small pieces, `delay` apart",
            _bytes("average_size", "bytes of a piece, on average", 64),
            _bytes("size_variation", "bytes, up or down at random; less than `average_size`"),
            _seconds("delay", "seconds after each piece", scale=1e6),
        ),
        "limit_data": _facts("the connection is closed once `bytes` have passed", _bytes("bytes", "bytes")),
    }
)
"""Every kind of toxic, by toxiproxy's names."""

assert tuple(KINDS) == get_args(Kind)


def checked(kind: str, given: Mapping[str, object], *, base: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return all attributes of a toxic: those `given`, over those of `base`, over the defaults.

    Raises:
        ValueError: kind or attribute are unknown, or a value is negative or out of its range.
        TypeError: a value is no number.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown toxic {kind!r}; known: {', '.join(KINDS)}")
    known = KINDS[kind].attributes
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(f"{kind} has no attribute {', '.join(map(repr, unknown))}; known: {', '.join(known)}")
    values = {name: attribute.default for name, attribute in known.items()} | dict(base or {})
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{kind}.{name} must be a number, got {value!r}")
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{kind}.{name} must not be negative, got {value!r}")
        if known[name].whole and value != int(value):
            raise ValueError(f"{kind}.{name} must be a whole number of bytes, got {value!r}")
        values[name] = value
    if kind == "slicer" and not values["size_variation"] < values["average_size"]:
        raise ValueError(
            f"slicer.size_variation must be less than average_size, got {values['size_variation']:g} and "
            f"{values['average_size']:g}"
        )
    return values


def check_stream(stream: object) -> None:
    """Make sure that something is a direction.

    Raises:
        ValueError: it is not.
    """
    if stream not in get_args(Stream):
        raise ValueError(f"stream must be upstream or downstream, got {stream!r}")


def check_share(toxicity: object) -> None:
    """Make sure that something is a share of the connections.

    Raises:
        TypeError: it is no number.
        ValueError: it is not between 0 and 1.
    """
    if isinstance(toxicity, bool) or not isinstance(toxicity, int | float):
        raise TypeError(f"toxicity must be a number, got {toxicity!r}")
    if not 0 <= toxicity <= 1:
        raise ValueError(f"toxicity must be between 0 and 1, got {toxicity!r}")
