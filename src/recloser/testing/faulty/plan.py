"""Which fault is due: what was ordered, what has happened so far, and whether it is over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from recloser.testing.faulty.faults import FAULTS, Fault, Setting

__all__ = ["Order", "Plan", "Tally"]

_FIELDS: Final = frozenset({"fault", "after", "times", "seconds", "on", "tool", "arguments", "serial"})


@dataclass(frozen=True, kw_only=True)
class Order:
    """One fault as it was ordered."""

    fault: Fault
    after: int = 0
    """Messages that it would strike and that are served well before it strikes, counted in each process."""
    times: int | None = None
    """How often it strikes before it is over; None means for ever."""
    seconds: float | None = None
    """How long after its first strike it is over; None means never."""
    on: str | None = None
    """The one method (or `GET`, `DELETE`, `start`, `*`) that it strikes instead of the fault's own."""
    tool: str | None = None
    """The one tool whose calls it strikes."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    serial: int = 0
    """Tells orders apart, also between processes."""

    @classmethod
    def of(cls, fault: str, *, arguments: Mapping[str, object] | None = None, **fields: Any) -> Order:
        """Return an order for the fault of that name.

        Raises:
            ValueError: there is no such fault, field or argument, or a value is not of its kind or out of its range.
            TypeError: the arguments are no table.
        """
        if fault not in FAULTS:
            raise ValueError(f"unknown fault {fault!r}; known: {', '.join(FAULTS)}")
        if unknown := sorted(set(fields) - _FIELDS):
            raise ValueError(f"unknown field {', '.join(map(repr, unknown))}; known: {', '.join(sorted(_FIELDS))}")
        if arguments is not None and not isinstance(arguments, Mapping):
            raise TypeError(f"arguments must be a table of names and values, got {arguments!r}")
        for name, value in fields.items():
            _check_field(name, value)
        known = FAULTS[fault]
        order = cls(fault=known, settings=known.settings(arguments or {}), **fields)
        if fault == "flapping":
            order.beneath()
            if order.number("period") <= 0:
                raise ValueError(f"flapping: period must be more than 0, got {order.settings['period']!r}")
        if order.tool is not None and not any(_covers(each, "tools/call") for each in order.on_methods):
            raise ValueError(f"{fault} on {', '.join(order.on_methods)} never strikes the call of a tool")
        return order

    def to_json(self) -> dict[str, Any]:
        """Return what `of` takes, as plain JSON values."""
        plain = {name: getattr(self, name) for name in ("after", "times", "seconds", "on", "tool", "serial")}
        return {"fault": self.fault.name, "arguments": dict(self.settings), **plain}

    def matches(self, method: str, params: Mapping[str, Any]) -> bool:
        """Return whether it would strike this message."""
        if self.tool is not None and (method != "tools/call" or params.get("name") != self.tool):
            return False
        if self.fault.needs is not None and self.fault.needs not in params:
            return False
        return any(_covers(pattern, method) for pattern in self.on_methods)

    @property
    def on_methods(self) -> tuple[str, ...]:
        """What it strikes: the fault's own methods, or the one that was ordered."""
        return self.fault.on if self.on is None else (self.on,)

    def check(self, transport: str, era: str = "dual") -> None:
        """Make sure that a server of this transport and era can do it.

        Raises:
            ValueError: it cannot.
        """
        for order in (self, self.beneath()) if self.fault.name == "flapping" else (self,):
            if transport not in order.fault.transports:
                raise ValueError(f"{order.fault.name} is not possible over {transport}")
            if era != "dual" and era not in order.fault.eras:
                raise ValueError(f"{order.fault.name} is not possible in the {era} era")

    def beneath(self) -> Order:
        """Return the order that a flapping one stands for while it is bad."""
        name = str(self.settings["fault"])
        if name == "flapping":
            raise ValueError("flapping cannot flap between itself and good")
        return replace(Order.of(name), serial=self.serial)

    def number(self, name: str) -> float:
        """Return an argument that is a number."""
        return float(self.settings[name])

    def text(self, name: str) -> str:
        """Return an argument as text."""
        return str(self.settings[name])

    @property
    def executes(self) -> bool:
        """Whether the message is served properly before the fault strikes."""
        return bool(self.settings.get("executes", self.fault.executes))


def _check_field(name: str, value: object) -> None:
    """Make sure that a field of an order is of its kind, and in its range."""
    if value is None and name not in {"after", "serial"}:
        return
    if name in {"on", "tool"}:
        right, expected = isinstance(value, str), "text"
    elif name == "seconds":
        right, expected = isinstance(value, int | float) and 0 <= value < math.inf, "a finite number of at least 0"
    else:
        right, expected = isinstance(value, int) and value >= 0, "a whole number of at least 0"
    if isinstance(value, bool) or not right:
        raise ValueError(f"{name} must be {expected}, got {value!r}")


def _covers(pattern: str, method: str) -> bool:
    if pattern == "*":
        return method != "start"
    return pattern == method or (pattern.endswith("/*") and method.startswith(pattern[:-1]))


class Tally:
    """How often each order has struck, and when first; in a file, so that a server started anew goes on counting."""

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._lines: list[tuple[int, float]] = []

    def add(self, serial: int, now: float) -> None:
        """Note a strike at the moment `now` of the event loop's clock, which all processes of a machine share."""
        if self._path is None:
            self._lines.append((serial, now))
            return
        with open(self._path, "ab", buffering=0) as file:  # noqa: PTH123 - pathlib is not loaded by a server's start
            file.write(f"{serial} {now}\n".encode())

    def read(self, serial: int | None = None) -> list[float]:
        """Return the moments at which an order (None: any) has struck."""
        if self._path is not None:
            try:
                with open(self._path, encoding="ascii") as file:  # noqa: PTH123 - as above
                    text = file.read()
            except FileNotFoundError:
                return []
            self._lines = [(int(first), float(second)) for first, second in map(str.split, text.splitlines())]
        return [moment for number, moment in self._lines if serial in (None, number)]


class _Armed:
    """An order and its progress in this process; changed by `Plan.due` alone."""

    __slots__ = ("matched", "order")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.matched = 0


class Plan:
    """The orders in force; changed by `replace`, asked for each message."""

    def __init__(self, clock: Callable[[], float], tally: Tally | None = None) -> None:
        self._clock = clock
        self._armed: list[_Armed] = []
        self._serial = 0
        self.tally = tally or Tally()

    @property
    def orders(self) -> list[Order]:
        """The orders in force, the first one to match wins."""
        return [armed.order for armed in self._armed]

    def add(self, order: Order, *, keep: bool = False) -> None:
        """Put an order into force in place of all others, or beside them if `keep`; it gets a serial if it has none."""
        self._serial += 1
        armed = _Armed(replace(order, serial=order.serial or self._serial))
        self._armed = [*self._armed, armed] if keep else [armed]

    def replace(self, orders: list[Order]) -> None:
        """Put these orders into force; those that were in force before go on counting."""
        known = {armed.order.serial: armed for armed in self._armed}
        self._armed = [
            known[order.serial] if order.serial in known and known[order.serial].order == order else _Armed(order)
            for order in orders
        ]

    def heal(self) -> None:
        """Withdraw all orders."""
        self._armed = []

    def due(self, method: str, params: Mapping[str, Any]) -> Order | None:
        """Return the order that strikes this message, and count the strike."""
        for armed in self._armed:
            if armed.order.matches(method, params):
                armed.matched += 1
                if (order := self._struck(armed)) is not None:
                    return order
        return None

    def _struck(self, armed: _Armed) -> Order | None:
        order = armed.order
        good = order.after
        if order.fault.name == "exit_after":
            good += int(order.number("calls")) - 1
        if armed.matched <= good:
            return None
        now = self._clock()
        # Read only where it decides something: over stdio it is a file.
        counted = order.times is not None or order.seconds is not None or order.fault.name == "flapping"
        strikes = self.tally.read(order.serial) if counted else []
        if order.times is not None and len(strikes) >= order.times:
            return None
        if order.seconds is not None and strikes and now - strikes[0] >= order.seconds:
            return None
        if order.fault.name == "flapping":
            if self._in_good_phase(armed, strikes, now):
                return None
            order = order.beneath()
        self.tally.add(order.serial, now)
        return order

    @staticmethod
    def _in_good_phase(armed: _Armed, strikes: list[float], now: float) -> bool:
        order = armed.order
        if calls := int(order.number("calls")):
            return (armed.matched - order.after - 1) // calls % 2 == 1
        return bool(strikes) and int((now - strikes[0]) / order.number("period")) % 2 == 1
