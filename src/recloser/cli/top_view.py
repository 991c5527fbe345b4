"""What `recloser top` shows a person: one table of all servers, and under it what went wrong and what has changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from recloser.cli import top_columns as columns
from recloser.cli.top_columns import BAD, CIRCUITS, FAINT, STATES, UNSURE, Column, failed_calls, rate_of, short
from recloser.cli.top_reading import Reading

__all__ = ["AROUND", "FROM_WIDE", "cells", "screen"]

FROM_WIDE: Final = 140
"""Columns of a terminal from which on the wide table is shown."""
AROUND: Final = 8
"""Lines of a terminal that are kept for what stands around the servers."""

_CONNECTION: Final = MappingProxyType(
    {"ready": "connected", "connecting": "connecting again", "failed": "could not connect", "closed": "disconnected"}
)


def screen(
    document: Mapping[str, object], *, source: str, width: int, height: int | None = None, alone: bool, notice: str = ""
) -> RenderableType:
    """Return everything that there is to see.

    Args:
        document: of the schema `recloser.top/1`.
        source: where it comes from.
        width: columns of the terminal.
        height: its lines, where what does not fit is to be left out.
        alone: whether nobody calls anything, since the router was opened to look at only.
        notice: what is wrong with the document itself.
    """
    status = Reading(document)
    servers = status.parts("servers")
    shown, hidden = _fitting(servers, None if height is None else height - AROUND)
    parts: list[RenderableType] = [_title(status, source, live=height is not None)]
    if notice:
        parts.append(Text(notice, style=BAD))
    if not alone:
        parts.append(_summary(status))
    parts += ["", _table(shown, _chosen(width, alone=alone), width)]
    if hidden:
        parts.append(Text(f"and {hidden} more, of which all is well or which have less to tell", style=FAINT))
    parts += _section("Last failures", _failures(servers))
    parts += _section("Changes", _changes(status))
    return Group(*parts)


def cells(document: Mapping[str, object], *, alone: bool) -> list[list[str]]:
    """Return the wide table as plain texts, one list a server."""
    shown = (*_chosen(FROM_WIDE, alone=alone), columns.FAILURE)
    return [[_plain(column, server) for column in shown] for server in Reading(document).parts("servers")]


def _plain(column: Column, server: Reading) -> str:
    if column.told is not None:
        return column.told(server)
    cell = column.server(server)
    return cell.plain if isinstance(cell, Text) else str(cell)


# --- the parts


def _title(status: Reading, source: str, *, live: bool) -> RenderableType:
    line = Table.grid(expand=True, padding=(0, 1))
    line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    line.add_column(no_wrap=True, justify="right")
    uptime = status.number("uptime")
    right = [] if uptime is None else [f"up {short(uptime)}"]
    line.add_row(
        Text().append("recloser top  ", style="bold").append(source),
        Text(", ".join([*right, "Ctrl-C ends"] if live else right), style=FAINT),
    )
    return line


def _summary(status: Reading) -> Text:
    traffic, unrouted = status.part("traffic"), status.part("unrouted")
    calls = traffic.count("calls") - traffic.count("cancelled")
    failed = sum(failed_calls(traffic).values())
    share = f"{failed / calls * 100:.1f} % failed" if calls > 0 else "none failed"
    parts = [
        (f"{rate_of(traffic)} calls/s", ""),
        (share, BAD if failed else ""),
        (f"{status.count('in_flight')} in flight", ""),
        (f"p50 {short(traffic.number('p50'))}", ""),
        (f"p95 {short(traffic.number('p95'))}", ""),
        (f"{traffic.count('retries')} retries", ""),
        (f"{traffic.count('rejected')} rejected", UNSURE if traffic.count("rejected") else ""),
    ]
    if unrouted.count("calls"):
        parts.append((f"{unrouted.count('calls')} to no known server", UNSURE))
    window = status.part("window")
    line = Text(f"Last {short(window.number('covered'))}: ")
    for index, (text, style) in enumerate(parts):
        line.append(", " if index else "").append(text, style=style)
    return line


def _table(servers: Sequence[Reading], shown: Sequence[Column], width: int) -> Table:
    rows: list[list[RenderableType]] = []
    for server in servers:
        rows.append([column.server(server) for column in shown])
        endpoints = server.parts("endpoints")
        if len(endpoints) > 1:
            rows += [[column.endpoint(endpoint) for column in shown] for endpoint in endpoints]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column, fitting in zip(shown, _widths(rows, shown, width), strict=True):
        table.add_column(
            column.heading,
            justify=column.justify,
            width=fitting,
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
        )
    for row in rows:
        table.add_row(*row)
    return table


def _widths(rows: Sequence[Sequence[RenderableType]], shown: Sequence[Column], width: int) -> list[int]:
    """Return how wide the columns are; where there is not room for all, those that may give way do."""
    # Rich would take from all of them alike, and cut words that are short anyway.
    wanted = [
        max([column.width, *(_length(row[index]) for row in rows), *map(len, column.heading.split("\n"))])
        for index, column in enumerate(shown)
    ]
    excess = sum(wanted) + len(wanted) - 1 - width
    for index, column in sorted(enumerate(shown), key=lambda one: (not one[1].first, -one[0])):
        if column.least is not None and excess > 0:
            given = min(excess, max(0, wanted[index] - column.least))
            wanted[index] -= given
            excess -= given
    return wanted


def _length(cell: RenderableType) -> int:
    return cell.cell_len if isinstance(cell, Text) else cell_len(cell) if isinstance(cell, str) else 0


def _section(heading: str, lines: Iterator[tuple[Reading, str, Text]]) -> list[RenderableType]:
    """Return lines under a heading, each of: what it is about, whose it is, and what there is to say."""
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(style="bold", no_wrap=True, overflow="ellipsis", max_width=24)
    table.add_column(style=FAINT, no_wrap=True, justify="right")
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for about, server, text in lines:
        table.add_row(Text(server), f"{short(about.number('ago'))} ago", text)
    return ["", Text(heading, style="bold"), table] if table.row_count else []


def _failures(servers: Sequence[Reading]) -> Iterator[tuple[Reading, str, Text]]:
    failed = [(failure, server.text("name")) for server in servers if (failure := server.part("last_failure"))]
    for failure, server in sorted(failed, key=lambda one: one[0].number("ago") or 0.0):
        line = Text().append(failure.text("code"), style=UNSURE if failure.text("type") == "transient" else BAD)
        tool, message = failure.text("tool"), failure.text("message")
        line.append(f" in {tool}" if tool else "").append(f": {message}" if message else "")
        yield failure, server, line


def _changes(status: Reading) -> Iterator[tuple[Reading, str, Text]]:
    for change in status.parts("changes"):
        state = change.text("state")
        line = Text()
        if change.text("what") == "circuit":
            word, style = CIRCUITS.get(state, (state, FAINT))
            line.append("circuit ").append(word, style=style)
        else:
            line.append(_CONNECTION.get(state, state), style=STATES.get(state, FAINT))
        why = change.text("reason") or change.text("code")
        yield change, change.text("server"), line.append(f" ({why})" if why else "")


def _fitting(servers: list[Reading], room: int | None) -> tuple[list[Reading], int]:
    """Return the servers that fit, in their order, and how many do not: those with trouble go first, then the busy."""
    if room is None or len(servers) <= room:
        return servers, 0
    ranked = sorted(range(len(servers)), key=lambda index: (_rank(servers[index]), index))
    kept = sorted(ranked[: max(room, 1)])
    return [servers[index] for index in kept], len(servers) - len(kept)


def _rank(server: Reading) -> tuple[bool, bool, float]:
    traffic = server.part("traffic")
    ill = server.text("state") in ("failed", "connecting") or columns.worst_circuit(server) != "closed"
    return not ill, not failed_calls(traffic), -(traffic.number("rate") or 0.0)


def _chosen(width: int, *, alone: bool) -> tuple[Column, ...]:
    if alone:
        return columns.ALONE
    return columns.WIDE if width >= FROM_WIDE else columns.NARROW
