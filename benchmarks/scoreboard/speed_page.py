"""The table of the speed of all peers, as a page and in a terminal, made of the document alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

__all__ = ["BASE", "FIGURES", "render", "terminal"]

BASE: Final = "mcp"
"""The peer that the ratios are over: the official SDK's client."""
NOTHING: Final = "–"  # noqa: RUF001 - the sign for nothing to say, not a hyphen
TIMES: Final = "×"  # noqa: RUF001 - the sign, not a letter


def _ms(value: float) -> str:
    return f"{value * 1e3:.2f} ms"


def _s(value: float) -> str:
    return f"{value:.2f} s"


def _kib(value: float) -> str:
    return f"{value / 1024:.0f} KiB"


FIGURES: Final[Mapping[str, tuple[str, Callable[[float], str], str]]] = MappingProxyType(
    {
        "import": ("import", _s, "from the start of the host's process until the peer is imported"),
        "start": ("start", _s, "from the order to start on all servers, over stdio, until each has answered a call"),
        "stdio_p50": ("stdio p50", _ms, "of calls to one server over stdio, one after the other"),
        "stdio_p99": ("stdio p99", _ms, "the same, of a hundred calls the slowest but one"),
        "http_p50": ("HTTP p50", _ms, "of calls to one server over streamable HTTP, one after the other"),
        "http_p99": ("HTTP p99", _ms, "the same"),
        "many": ("at once", _ms, "time for each call where every server over stdio is called all the time, at once"),
        "failing": ("failing", _ms, "until a caller knows: a server that answers 503 to every call, and goes on to"),
        "catalog": ("catalog", _s, "from the order to start until all tools of very many servers over HTTP are listed"),
        "list": ("list", _ms, "listing them all once more, as a host does before it asks its model"),
        "memory": ("memory", _kib, "that one more idle server costs: private memory of the host and its helpers"),
    }
)
"""Each figure: its column, its unit, and what it is. Less is better in all of them."""

PAGE: Final = """\
# Speed beside the peers

Every peer at its defaults, in an environment of its own, asking the same servers in the same run. This page is made
from `docs/speed.json` by `python -m benchmarks.scoreboard.speed --render`; `--write` measures it anew, and `--quick`
shows the short form.

{facts}

In brackets: the median over rounds of the peer's figure over that of `mcp.Client` in the same round.

{table}

| figure | is |
| --- | --- |
{legend}

A peer without a session that lasts starts a server, or a session, with every call; that is what its calls cost. The
time of `failing` is short where a circuit is open, and where a client does not wait; long where it tries again.

## What is not in the table

{notes}
"""


def _cell(row: Mapping[str, Any], figure: str) -> str:
    value, ratio = row["figures"].get(figure), row["ratios"].get(figure)
    if value is None:
        return NOTHING
    told = FIGURES[figure][1](value)
    return told if ratio is None else f"{told} ({ratio:.2f} {TIMES})"


def _facts(document: Mapping[str, Any]) -> str:
    machine, catalog = document["machine"], document.get("catalog")
    told = (
        f"Measured on {document['date']}: {document['rounds']} rounds, {document['many']} servers where they are many. "
        f"Python {machine['python']}, {machine['system']}, {machine['cores']} cores."
    )
    if catalog is None:
        return told
    many = f"{catalog['servers']} servers with {catalog['tools']} tools in all"
    return f"{told} The catalog: {many}, {catalog['rounds']} rounds on {catalog['date']}."


def _notes(document: Mapping[str, Any]) -> list[str]:
    told = [f"{row['title']}: {row['note']}" for row in document["peers"].values() if row["note"]]
    return [*told, *(f"{title}: {reason}" for title, reason in document["missing"].items())]


def render(document: Mapping[str, Any]) -> str:
    """Return the page."""
    columns = ["peer", *(column for column, _, _ in FIGURES.values())]
    lines = ["| " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(FIGURES)]
    for row in document["peers"].values():
        versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
        cells = [f"{row['title']} ({versions})", *(_cell(row, figure) for figure in FIGURES)]
        lines.append("| " + " | ".join(cells) + " |")
    return PAGE.format(
        facts=_facts(document),
        table="\n".join(lines),
        legend="\n".join(f"| {column} ({figure}) | {says} |" for figure, (column, _, says) in FIGURES.items()),
        notes="\n".join(f"- {note}" for note in _notes(document)),
    )


def terminal(document: Mapping[str, Any]) -> str:
    """Return the table for a terminal: ratios over the SDK's client, and the client's own figures."""
    lines = [_facts(document), f"{'':34}" + "".join(f"{figure:>11}" for figure in FIGURES)]
    for name, row in document["peers"].items():
        cells = [
            FIGURES[figure][1](row["figures"][figure])
            if name == BASE and figure in row["figures"]
            else f"{row['ratios'][figure]:.2f} {TIMES}"
            if figure in row["ratios"]
            else NOTHING
            for figure in FIGURES
        ]
        lines.append(f"{row['title'][:33]:34}" + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join([*lines, *_notes(document)])
