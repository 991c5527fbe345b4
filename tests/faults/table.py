"""What a caller is told for each fault: the contract between servers that misbehave and hosts that go on.

A row says what a call of a tool without hints ends in while the fault lasts. None means that it succeeds all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pytest

from faults.bench import LONG, SHORT, Era, Transport
from recloser import Timeouts
from recloser.errors import ErrorPayload
from recloser.testing.faulty import FAULTS

Moment = Literal["calls", "start", "parted", "idle"]


@dataclass(frozen=True)
class Told:
    """The part of a payload that a host decides by."""

    type: str
    code: str
    delivered: str
    retryable: bool

    @classmethod
    def of(cls, payload: ErrorPayload | None) -> Told | None:
        if payload is None:
            return None
        return cls(payload.type, payload.code, payload.delivered, payload.retryable)


FINE: Final = None
TIMEOUT: Final = Told("transient", "timeout", "maybe", True)
LOST: Final = Told("transient", "connection_lost", "maybe", True)
LOST_UNSENT: Final = Told("transient", "connection_lost", "no", True)
UNREACHABLE: Final = Told("transient", "unreachable", "no", True)
OVERLOADED: Final = Told("transient", "overloaded", "no", True)
UNWELL: Final = Told("transient", "server_error", "maybe", True)
UNWELL_UNSENT: Final = Told("transient", "server_error", "no", True)
FAULT: Final = Told("critical", "server_fault", "maybe", False)
FAULT_UNSENT: Final = Told("critical", "server_fault", "no", False)
UNAUTHENTICATED: Final = Told("auth", "unauthenticated", "no", False)
FORBIDDEN: Final = Told("auth", "forbidden", "no", False)
INVALID: Final = Told("critical", "invalid_request", "no", False)
VIOLATION: Final = Told("critical", "protocol_violation", "maybe", False)
VIOLATION_UNSENT: Final = Told("critical", "protocol_violation", "no", False)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fault over one transport in one era, and what comes of it."""

    fault: str
    transport: Transport
    era: Era
    told: Told | None
    moment: Moment = "calls"
    """`calls`: it begins while the server is connected. `start`: it is there before the first connection. `parted`: the
    session is lost and then it begins. `idle`: one call is served, and then the server goes."""
    on: str | None = None
    silent: bool = False
    """Whether only the clock ends a call."""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.row}-{self.transport}-{self.era}"

    @property
    def row(self) -> str:
        """What is the same over all transports and in all eras."""
        chosen = "".join(f"-{name}={value}" for name, value in self.arguments.items())
        aimed = "-everywhere" if self.on in ("*", "initialize") else ""
        moment = "" if self.moment == "calls" else f"-{self.moment}"
        return f"{self.fault}{chosen}{aimed}{moment}"

    @property
    def timeouts(self) -> Timeouts:
        return SHORT if self.silent else LONG

    def order(self, server: Any, **more: Any) -> None:
        """Make a server sick."""
        server.fault(self.fault, on=self.on, **self.arguments, **more)


_EVERYWHERE: Final = object()


def _row(
    fault: str,
    told: Any = _EVERYWHERE,
    *,
    http: Any = _EVERYWHERE,
    stdio: Any = _EVERYWHERE,
    legacy: Any = _EVERYWHERE,
    moment: Moment = "calls",
    on: str | None = None,
    silent: bool = False,
    eras: frozenset[str] = frozenset({"legacy", "modern"}),
    only: Transport | None = None,
    **arguments: Any,
) -> Iterator[Case]:
    """Make the cases of one row: `told`, or what `http`, `stdio` or `legacy` (over HTTP) say instead."""
    known = FAULTS[fault]
    for transport in sorted(known.transports):
        for era in sorted(known.eras & eras):
            says = {"http": http, "stdio": stdio}[transport]
            if transport == "http" and era == "legacy" and legacy is not _EVERYWHERE:
                says = legacy
            says = told if says is _EVERYWHERE else says
            if says is _EVERYWHERE or only not in (None, transport):
                continue
            yield Case(
                fault=fault,
                transport=transport,  # type: ignore[arg-type]  # one of the two, by the table of faults
                era=era,  # type: ignore[arg-type]  # likewise
                told=says,
                moment=moment,
                on=on,
                silent=silent or says == TIMEOUT,
                arguments=arguments,
            )


def _while_connected() -> Iterator[Case]:
    # Silence.
    yield from _row("hang_call", TIMEOUT)
    yield from _row("hang_call", TIMEOUT, executes=True)
    yield from _row("no_answer", TIMEOUT)
    yield from _row("late_answer", TIMEOUT, delay=1.5)
    yield from _row("slow_drip", TIMEOUT, delay=0.03)
    yield from _row("slow_drip", FINE, delay=0.0, chunk=7)
    yield from _row("wedged_stdin", TIMEOUT)
    yield from _row("notify_hang", FINE)
    yield from _row("delete_hang", FINE)
    # Death.
    yield from _row("exit_before_call", LOST)
    yield from _row("exit_mid_call", LOST)
    yield from _row("forks_sleeper", LOST)
    yield from _row("exit_after", moment="idle", http=UNREACHABLE, stdio=FINE, calls=1)
    yield from _row("exit_idle", moment="idle", http=UNREACHABLE, stdio=FINE)
    # Bytes. Over a pipe a line that cannot be read belongs to no call, and what can be read in part is read.
    yield from _row("garbage", http=VIOLATION, stdio=TIMEOUT)
    yield from _row("banner", FINE)
    yield from _row("bad_byte", http=VIOLATION, stdio=FINE)
    yield from _row("partial_line", TIMEOUT)
    yield from _row("partial_line", LOST, exits=True)
    yield from _row("stderr_flood", FINE)
    # Answers.
    yield from _row("malformed", VIOLATION)
    yield from _row("wrong_id", http=VIOLATION, stdio=TIMEOUT)
    yield from _row("duplicate", FINE)
    yield from _row("big_answer", FINE, bytes=2_000_000)
    yield from _row("is_error_storm", FINE)
    yield from _row("jsonrpc_error", FAULT)
    yield from _row("jsonrpc_error", INVALID, code=-32602)
    yield from _row("list_changed_flood", FINE, count=200)
    yield from _row("flapping", FAULT, calls=1)
    # HTTP.
    yield from _row("accepted", VIOLATION)
    yield from _row("sse_cut", LOST)
    yield from _row("reset", LOST)
    yield from _row("reset", LOST, executes=False)
    yield from _row("close", LOST)
    yield from _row("truncated", LOST)
    for status in (400, 409, 413, 421):
        yield from _row(f"status_{status}", INVALID)
    yield from _row("status_401", UNAUTHENTICATED)
    yield from _row("status_403", FORBIDDEN)
    yield from _row("status_404", INVALID, legacy=LOST_UNSENT)
    for status in (405, 406, 415):
        yield from _row(f"status_{status}", VIOLATION)
    for status in (408, 425, 502, 503, 504):
        yield from _row(f"status_{status}", UNWELL)
    yield from _row("status_429", OVERLOADED)
    yield from _row("status_500", FAULT)
    yield from _row("status_503", UNWELL, rpc=True)
    yield from _row("status_500", FAULT, rpc=True)
    yield from _row("status", UNWELL)
    yield from _row("status", INVALID, status=451)
    yield from _row("status", FAULT, status=599)
    yield from _row("redirect", VIOLATION_UNSENT)
    yield from _row("session_lost", LOST_UNSENT)
    yield from _row("restart", LOST, down=0.0)
    yield from _row("token_expiry", UNAUTHENTICATED, on="tools/call")


def _while_connecting() -> Iterator[Case]:
    """What happens before there is a session never reaches a tool: it is known not to have run."""
    both = frozenset({"legacy", "modern"})
    yield from _connecting("start", "http", both, "*")
    yield from _connecting("start", "stdio", both, "*")
    # Over HTTP the stateless era has no session that could be lost; in the other one a call may still find the old one.
    yield from _connecting("parted", "http", frozenset({"legacy"}), "initialize")
    yield from _connecting("parted", "stdio", both, "*")


def _connecting(moment: Moment, only: Transport, eras: frozenset[str], on: str) -> Iterator[Case]:
    where: dict[str, Any] = {"moment": moment, "only": only, "eras": eras}
    yield from _row("hang_initialize", UNREACHABLE, silent=True, **where)
    yield from _row("hang_list", UNREACHABLE, silent=True, **where)
    yield from _row("hang_call", UNREACHABLE, on=on, silent=True, **where)
    yield from _row("slow_start", UNREACHABLE, silent=True, delay=60.0, **where)
    yield from _row("exit_at_start", UNREACHABLE, **where)
    yield from _row("crash_loop", UNREACHABLE, delay=0.0, **where)
    yield from _row("wedged_stdin", UNREACHABLE, on=on, silent=True, **where)
    yield from _row("ignores_eof", FINE, **where)
    yield from _row("page_loss", FAULT_UNSENT, **where)
    yield from _row("reset", UNREACHABLE, on=on, **where)
    yield from _row("garbage", http=VIOLATION_UNSENT, stdio=UNREACHABLE, on=on, silent=only == "stdio", **where)
    yield from _row("status_401", UNAUTHENTICATED, on=on, **where)
    yield from _row("status_429", OVERLOADED, on=on, **where)
    yield from _row("status_500", FAULT_UNSENT, on=on, **where)
    yield from _row("status_503", UNWELL_UNSENT, on=on, **where)


CASES: Final = [*_while_connected(), *_while_connecting()]
"""Every case, each once."""

LEFT_OUT: Final[Mapping[str, str]] = {
    "endless_pages": "ends in a list that is cut off, not in a call that fails",
}
"""Faults without a row, and why."""


def by_fault(cases: Iterable[Case], *, first: Container[str] | None = None) -> list[Any]:
    """Return one test parameter for each row: its cases run side by side, since most of them wait for a clock.

    Where there are faults to come `first`, the others are left to `make check`.
    """
    rows: dict[str, list[Case]] = {}
    for case in cases:
        rows.setdefault(case.row, []).append(case)
    return [
        pytest.param(row, id=name, marks=() if first is None or row[0].fault in first else pytest.mark.thorough)
        for name, row in rows.items()
    ]


async def each(cases: Sequence[Case], scene: Callable[[Case], Awaitable[None]]) -> None:
    """Play a scene for each case, each in a task of its own; a failure says whose it is."""
    results = await asyncio.gather(*(scene(case) for case in cases), return_exceptions=True)
    failures = []
    for case, result in zip(cases, results, strict=True):
        if isinstance(result, BaseException):
            result.add_note(f"in the case {case}")
            failures.append(result)
    if failures:
        raise failures[0] if len(failures) == 1 else BaseExceptionGroup("several cases failed", failures)
