"""`recloser tools`: one list of all tools of all servers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import mcp_types as types
import typer
from rich.table import Table
from rich.text import Text

from recloser.cli import exits, output
from recloser.cli.observing import AuditFile, LogFormat, LogLevelOption, Observing, Otlp
from recloser.cli.opening import Opened, opened
from recloser.cli.running import run
from recloser.redact import printable


def tools(
    config: Annotated[Path | None, typer.Argument(help="A configuration file; left out, the one found here.")] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    otlp: Otlp = None,
    audit: AuditFile = None,
    log_level: LogLevelOption = None,
    log_format: LogFormat = None,
) -> int:
    """List the tools of all servers as one toolbox."""
    observing = Observing(otlp=otlp, audit=audit, log_level=log_level, log_format=log_format)
    return run(_tools(config, observing, as_json=json))


async def _tools(config: Path | None, observing: Observing, *, as_json: bool) -> int:
    async with opened(config, observing=observing) as open_:
        listed = await open_.router.list_tools()
        problems = open_.problems()
        if as_json:
            output.document(
                {
                    "tools": [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in listed],
                    "unavailable": {name: payload.to_dict() for name, payload in problems.items()},
                }
            )
        elif listed:
            _show(listed)
        for name, payload in problems.items():
            output.warn(f"{name} is not available: {payload.message}")
        if not listed and not problems:
            output.warn(f"No server in {open_.config} has any tools.")
        return _exit_code(open_)


def _exit_code(open_: Opened) -> int:
    """A list that lacks some servers is still a list; one that lacks all of them is a failure."""
    return exits.OK if open_.start.took else exits.worst(open_.problems().values())


def _show(listed: list[types.Tool]) -> None:
    if not output.on_terminal():
        output.data("\n".join(f"{output.line(tool.name)}\t{_first_line(tool)}" for tool in listed))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("Tool", "What it does", "Hints"):
        table.add_column(heading, overflow="fold")
    for tool in listed:
        name, hint = Text(output.line(tool.name), style="cyan"), Text(hints(tool), style="dim")
        table.add_row(name, Text(_first_line(tool)), hint)
    output.picture(table)


def _first_line(tool: types.Tool) -> str:
    lines = printable(tool.description or tool.title or "").splitlines()
    return next((" ".join(line.split()) for line in lines if line.strip()), "")


def hints(tool: types.Tool) -> str:
    """Return what a tool's server says about it, in words."""
    said: Any = tool.annotations
    if said is None:
        return ""
    if said.read_only_hint:
        return "read-only"
    known = {"idempotent": said.idempotent_hint, "destructive": said.destructive_hint}
    return ", ".join(word for word, holds in known.items() if holds)
