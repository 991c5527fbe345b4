"""`recloser check`: is the configuration right, does every server come up, and what is to be done where not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from recloser.cli import exits, output
from recloser.cli.observing import AuditFile, LogFormat, LogLevelOption, Observing, Otlp
from recloser.cli.opening import Opened, opened
from recloser.cli.running import run
from recloser.config import ConfigurationError
from recloser.errors import ErrorPayload
from recloser.health import ServerHealth

STEPS: Final = {
    "retry_later": "Try again later; if it stays so, see whether the server runs and can be reached.",
    "fix_arguments": "Compare the server's url, command and args with its own documentation.",
    "reauthenticate": "Renew the server's token or sign-in: its headers in the configuration, or its `auth` in code.",
    "use_other_tool": "Look into the server's own log: the fault is on its side.",
    "ask_operator": "Look at what it said, below, and at its command, url and rights.",
}
"""What a person can do about a server that does not come up, by the payload's `next_action`."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `check` found about one server."""

    name: str
    state: str
    transport: str
    protocol_version: str | None
    era: str | None
    """`modern` (stateless) or `legacy` (handshake)."""
    tools: int
    resources: int
    prompts: int
    seconds_to_ready: float | None
    error: dict[str, Any] | None = None
    what_to_do: str | None = None
    stderr: str | None = None

    @property
    def ready(self) -> bool:
        """Whether the server is as it should be; one that is switched off is."""
        return self.state in ("ready", "disabled")


def check(
    config: Annotated[Path | None, typer.Argument(help="A configuration file; left out, the one found here.")] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    otlp: Otlp = None,
    audit: AuditFile = None,
    log_level: LogLevelOption = None,
    log_format: LogFormat = None,
) -> int:
    """Validate a configuration and connect to every server in it."""
    observing = Observing(otlp=otlp, audit=audit, log_level=log_level, log_format=log_format)
    return run(_check(config, observing, as_json=json))


async def _check(config: Path | None, observing: Observing, *, as_json: bool) -> int:
    try:
        async with opened(config, observing=observing) as open_:
            problems = open_.problems()
            reports = _reports(open_, problems)
            path, notes = open_.config, open_.notes
    except ConfigurationError as error:
        if as_json:
            mistakes = [asdict(mistake) for mistake in error.mistakes]
            output.document({"ok": False, "config": config and str(config), "mistakes": mistakes, "servers": []})
        raise
    ok = all(report.ready for report in reports)
    if as_json:
        servers = [asdict(report) for report in reports]
        output.document({"ok": ok, "config": str(path), "mistakes": [], "notes": notes, "servers": servers})
    else:
        _show(reports)
    for note in notes:
        output.warn(note)
    for report in reports:
        _explain(report, problems.get(report.name))
    return exits.worst(problems.values())


def _reports(open_: Opened, problems: dict[str, ErrorPayload]) -> list[Report]:
    health = open_.router.health()
    return [
        _report(health[name], open_.start.took.get(name), problems.get(name))
        if name in health
        else Report(name=name, state="disabled", transport=server.kind, **_NOTHING)
        for name, server in open_.router.servers.items()
    ]


_NOTHING: Final[dict[str, Any]] = {
    "protocol_version": None,
    "era": None,
    "tools": 0,
    "resources": 0,
    "prompts": 0,
    "seconds_to_ready": None,
}


def _report(health: ServerHealth, took: float | None, problem: ErrorPayload | None) -> Report:
    version = health.protocol_version
    return Report(
        name=health.name,
        state=health.state if problem is None else "failed",
        transport=health.kind,
        protocol_version=version,
        era=None if version is None else "modern" if version in MODERN_PROTOCOL_VERSIONS else "legacy",
        tools=health.tools,
        resources=health.resources,
        prompts=health.prompts,
        seconds_to_ready=None if took is None else round(took, 3),
        error=None if problem is None else problem.to_dict(),
        what_to_do=None if problem is None else _step(health.kind, problem),
        stderr=None if problem is None else health.stderr,
    )


def _step(kind: str, problem: ErrorPayload) -> str:
    if kind == "stdio" and problem.next_action == "retry_later":
        return "Run its command by hand to see why it ends or does not answer; what it said last is below, if anything."
    return STEPS[problem.next_action]


GAP: Final = 2
"""Blanks between two columns."""
HEADINGS: Final = ("Server", "State", "Transport", "Protocol", "Tools", "Resources", "Prompts", "Ready after")


def _show(reports: list[Report]) -> None:
    if not output.on_terminal():
        for report in reports:
            output.data("\t".join(_cells(report)))
        return
    lines = [list(HEADINGS), *map(_cells, reports)]
    # Nothing is cut: where the table is too wide, its longest cells are broken, and else there is a list.
    fitting = next((some for some in (lines, [*map(_broken, lines)]) if _width(some) <= output.width()), None)
    output.picture(_list(reports) if fitting is None else _table(reports, fitting))


def _broken(cells: list[str]) -> list[str]:
    name, state, transport, protocol, *counts, took = cells
    took = took.replace(" ", "\n") if took in HEADINGS else took
    return [name, state, transport, protocol.replace(" ", "\n"), *counts, took]


def _width(lines: list[list[str]]) -> int:
    columns = zip(*lines, strict=True)
    return sum(max(cell_len(part) for cell in column for part in cell.split("\n")) + GAP for column in columns) - GAP


def _table(reports: list[Report], lines: list[list[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    headings, *rows = lines
    for heading in headings:
        table.add_column(heading)
    for report, (name, _, *rest) in zip(reports, rows, strict=True):
        table.add_row(Text(name), _state(report), *map(Text, rest))
    return table


def _list(reports: list[Report]) -> Text:
    told = Text(overflow="fold")
    for report in reports:
        name, _, *rest = _cells(report)
        told.append(f"{name}\n", style="bold").append("  ").append_text(_state(report)).append("\n")
        for heading, cell in zip(HEADINGS[2:], rest, strict=True):
            told.append(f"  {heading}: ", style="dim").append(f"{cell}\n")
    return told


def _state(report: Report) -> Text:
    return Text(report.state, style="green" if report.ready else "bold red")


def _cells(report: Report) -> list[str]:
    protocol = "-" if report.protocol_version is None else f"{report.protocol_version} ({report.era})"
    counts = [str(count) for count in (report.tools, report.resources, report.prompts)]
    took = "-" if report.seconds_to_ready is None else f"{report.seconds_to_ready:.2f} s"
    return [report.name, report.state, report.transport, protocol, *counts, took]


def _explain(report: Report, problem: ErrorPayload | None) -> None:
    if problem is None:
        return
    output.complain(f"{report.name}: {problem.message}")
    output.note(f"  What to do: {report.what_to_do}")
    if report.stderr:
        output.note("  It said last:")
        # It has been started more than once by now, and most likely said the same each time.
        for line in list(dict.fromkeys(report.stderr.splitlines()))[-10:]:
            output.note(f"  | {line}", "dim")
