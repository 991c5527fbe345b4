"""The columns of `recloser top`: what each says of a server, in words and in colour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from recloser.cli.top_reading import Reading

__all__ = [
    "ALONE",
    "BAD",
    "CIRCUITS",
    "COUNTED",
    "FAILURE",
    "FAINT",
    "GOOD",
    "HELD",
    "NARROW",
    "STATES",
    "UNSURE",
    "WIDE",
    "Column",
    "failed_calls",
    "rate_of",
    "short",
    "worst_circuit",
]

# Colours of the 256 that differ enough from a black ground and from a white one; what they say stands there in words.
GOOD: Final = "color(28)"
UNSURE: Final = "color(166)"
BAD: Final = "bold color(160)"
HELD: Final = "color(133)"
FAINT: Final = "color(243)"

STATES: Final[Mapping[str, str]] = MappingProxyType({"ready": GOOD, "connecting": UNSURE, "failed": BAD})
CIRCUITS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "isolated": ("isolated", HELD),
        "open": ("open", BAD),
        "half_open": ("half-open", UNSURE),
        "closed": ("closed", GOOD),
    }
)
"""The worst first."""


COUNTED: Final = ("transient", "auth", "critical")
"""The classes of errors."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the table: what it says of a server, and of each endpoint where a server has several."""

    heading: str
    server: Callable[[Reading], RenderableType]
    endpoint: Callable[[Reading], RenderableType] = lambda _endpoint: ""
    told: Callable[[Reading], str] | None = None
    """The same without a picture, where `server` draws one."""
    justify: Literal["left", "right"] = "left"
    width: int = 0
    """Characters of what `server` draws, where that is no text."""
    least: int | None = None
    """Characters that it keeps where there is not room for all; None: it keeps all."""
    first: bool = False
    """Whether it gives way before the others do."""
    folds: bool = False
    """Whether what does not fit goes on in the next line, or is left out."""


def short(seconds: float | None) -> str:
    """Return a duration in at most seven characters."""
    if seconds is None:
        return "-"
    if seconds < 0.9995:
        return f"{seconds * 1000:.1f} ms" if seconds < 0.00995 else f"{seconds * 1000:.0f} ms"
    for limit, unit, size in ((9.95, "s", 1), (99.5, "s", 1), (5970, "min", 60), (170_000, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.1f} {unit}" if limit < 10 else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def _state(one: Reading) -> Text:
    state = one.text("state")
    return Text(state, style=STATES.get(state, FAINT))


def worst_circuit(server: Reading) -> str:
    """Return the state of the circuit of a server's endpoint that fares worst."""
    circuits = [endpoint.text("circuit") for endpoint in server.parts("endpoints")]
    return next((state for state in CIRCUITS if state in circuits), "closed")


def _circuit(server: Reading) -> Text:
    endpoints = server.parts("endpoints")
    if not endpoints:
        return Text("-", style=FAINT)
    worst = worst_circuit(server)
    word, style = CIRCUITS[worst]
    having = sum(endpoint.text("circuit") == worst for endpoint in endpoints)
    return Text(word if having == len(endpoints) else f"{word} {having}/{len(endpoints)}", style=style)


def _circuit_in_a_word(endpoint: Reading) -> Text:
    state = endpoint.text("circuit")
    word, style = CIRCUITS.get(state, (state, FAINT))
    return Text().append(word, style=style)


def _circuit_at_length(server: Reading) -> Text:
    endpoints = server.parts("endpoints")
    return _circuit_of(endpoints[0]) if len(endpoints) == 1 else _circuit(server)


def _circuit_of(endpoint: Reading) -> Text:
    state, line = endpoint.text("circuit"), _circuit_in_a_word(endpoint)
    if state not in ("closed", "") and (lasting := endpoint.number("circuit_for")) is not None:
        line.append(f" for {short(lasting)}")
    if state == "open" and (again := endpoint.number("retry_after")) is not None:
        line.append(f", try in {short(again)}")
    return line


def _in_flight(one: Reading) -> str:
    waiting = one.count("waiting")
    return f"{one.count('in_flight')}+{waiting}" if waiting else str(one.count("in_flight"))


def rate_of(traffic: Reading) -> str:
    """Return calls a second."""
    rate = traffic.number("rate") or 0.0
    return f"{rate:.1f}" if rate < 99.5 else f"{rate:.0f}"


def failed_calls(traffic: Reading) -> dict[str, int]:
    """Return how many calls failed, by the class of their errors."""
    errors = traffic.part("errors")
    found = {kind: sum(errors.counts(kind).values()) for kind in COUNTED}
    return {kind: count for kind, count in found.items() if count}


def _errors(server: Reading) -> Text:
    found = failed_calls(server.part("traffic"))
    style = UNSURE if set(found) <= {"transient"} else BAD
    return Text(", ".join(f"{count} {kind}" for kind, count in found.items()) or "0", style=style if found else FAINT)


def _errors_by_code(server: Reading) -> Text:
    errors = server.part("traffic").part("errors")
    line = Text()
    for kind in failed_calls(server.part("traffic")):
        line.append("; " if line else "").append(f"{kind}: ", style=UNSURE if kind == "transient" else BAD)
        line.append(", ".join(f"{count} {code}" for code, count in errors.counts(kind).items()))
    return line or Text("0", style=FAINT)


def _budget(server: Reading) -> RenderableType:
    return _bar(server, 6)


def _budget_at_length(server: Reading) -> RenderableType:
    size = server.part("retry_budget").count("size")
    if not size:
        return _bar(server, 8)
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(_bar(server, 8), Text(f"{_share(server) * 100:3.0f} %"))
    return line


def _budget_told(server: Reading) -> str:
    budget = server.part("retry_budget")
    return f"{_share(server) * 100:.0f} %" if budget.count("size") else str(budget.count("tokens"))


def _share(server: Reading) -> float:
    budget = server.part("retry_budget")
    return min(1.0, budget.count("tokens") / max(1, budget.count("size")))


def _bar(server: Reading, width: int) -> RenderableType:
    budget = server.part("retry_budget")
    if not budget.count("size"):
        return Text(str(budget.count("tokens")))
    share = _share(server)
    style = GOOD if share >= 0.5 else UNSURE if share >= 0.15 else BAD
    return ProgressBar(total=1.0, completed=share, width=width, style=FAINT, complete_style=style, finished_style=style)


def _answered(server: Reading) -> Text:
    """How long ago the server answered anything."""
    ago = server.number("answered_ago")
    return Text("never", style=FAINT) if ago is None else Text(f"{short(ago)} ago")


def _took(server: Reading) -> Text:
    """How the last request of ours went."""
    request = server.part("last_request")
    code, duration = request.text("code"), short(request.number("duration"))
    if not request:
        return Text("-", style=FAINT)
    if not code:
        return Text(f"in {duration}", style=GOOD)
    since = Text(f", answered {_answered(server).plain}")
    return Text().append(f"none in {duration}" if code == "cancelled" else code, style=BAD).append(since)


def _last_failure(server: Reading) -> Text:
    failure = server.part("last_failure")
    if not failure:
        return Text("-", style=FAINT)
    return Text(f"{failure.text('code')} {short(failure.number('ago'))} ago")


def _traffic_time(name: str) -> Callable[[Reading], str]:
    return lambda server: short(server.part("traffic").number(name))


def _name(server: Reading) -> Text:
    return Text(server.text("name"), style="bold")


def _endpoint_name(endpoint: Reading) -> Text:
    return Text(f"  {endpoint.text('name')}")


_STATE: Final = Column(heading="State", server=_state, endpoint=_state)
_TIMES: Final = (
    Column(heading="p50", server=_traffic_time("p50"), justify="right"),
    Column(heading="p95", server=_traffic_time("p95"), justify="right"),
)
_IN_FLIGHT: Final = Column(heading="In\nflight", server=_in_flight, endpoint=_in_flight, justify="right")
_RATE: Final = Column(heading="Calls\n/s", server=lambda server: rate_of(server.part("traffic")), justify="right")
FAILURE: Final = Column(heading="Last failure", server=_last_failure)
"""For where there is nothing under the table that would tell it."""

NARROW: Final = (
    Column(heading="Server", server=_name, endpoint=_endpoint_name, least=12),
    _STATE,
    Column(heading="Circuit", server=_circuit_at_length, endpoint=_circuit_of, least=10, first=True),
    _IN_FLIGHT,
    _RATE,
    *_TIMES,
    Column(heading="Errors", server=_errors, least=11, folds=True),
    Column(heading="Retry\nbudget", server=_budget, width=6, told=_budget_told),
)
"""Fits a terminal of 80 columns."""
WIDE: Final = (
    Column(heading="Server", server=_name, endpoint=_endpoint_name, least=12),
    _STATE,
    Column(heading="Circuit", server=_circuit_at_length, endpoint=_circuit_of),
    _IN_FLIGHT,
    _RATE,
    *_TIMES,
    Column(heading="Errors", server=_errors_by_code, least=20, folds=True),
    Column(heading="Retries", server=lambda server: str(server.part("traffic").count("retries")), justify="right"),
    Column(heading="Retry budget", server=_budget_at_length, width=14, told=_budget_told),
    Column(heading="Answered", server=_answered),
)
ALONE: Final = (
    Column(heading="Server", server=_name, endpoint=_endpoint_name, least=12),
    _STATE,
    Column(heading="Circuit", server=_circuit, endpoint=_circuit_in_a_word),
    Column(heading="Transport", server=lambda server: server.text("kind")),
    Column(heading="Protocol", server=lambda server: server.text("protocol_version") or "-"),
    Column(heading="Tools", server=lambda server: str(server.count("tools")), justify="right"),
    Column(heading="Answers", server=_took, least=11, folds=True),
)
"""For a router that nobody uses: how its servers answer us."""
