"""`recloser call`: one tool call, with everything that the router does for one."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import mcp_types as types
import typer
from typer.core import TyperCommand

from recloser.catalog.names import qualify, read_back
from recloser.cli import exits, output
from recloser.cli.observing import AuditFile, LogFormat, LogLevelOption, Observing, Otlp
from recloser.cli.opening import Opened, opened
from recloser.cli.running import run
from recloser.cli.words import arguments_of, split
from recloser.errors import as_result, error_of


class Usage(TyperCommand):
    """The command, with a usage line that can be read: the words are told apart by what they look like."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line after the command's name."""
        del ctx
        return ["[OPTIONS]", "[CONFIG]", "TOOL", "[JSON | key=value ...]"]


def call(
    first: Annotated[
        str,
        typer.Argument(metavar="[CONFIG] TOOL", help="A configuration file (left out, the one found here); a tool."),
    ],
    rest: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[JSON | key=value]",
            help="The tool's arguments: one JSON object, or key=value words; key:=json gives any JSON value.",
        ),
    ] = None,
    *,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds for the call, once its server is ready.", min=0.001)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the whole result as one JSON document.")] = False,
    otlp: Otlp = None,
    audit: AuditFile = None,
    log_level: LogLevelOption = None,
    log_format: LogFormat = None,
) -> int:
    """Call one tool and print its answer."""
    config, tool, words = split([first, *(rest or [])])
    observing = Observing(otlp=otlp, audit=audit, log_level=log_level, log_format=log_format)
    return run(_call(config, tool, words, observing, timeout=timeout, as_json=json))


async def _call(
    config: Path | None, tool: str, words: list[str], observing: Observing, *, timeout: float | None, as_json: bool
) -> int:
    async with opened(config, partial(_needed, tool), observing=observing) as open_:
        result = await _result(open_, tool, words, timeout)
        if as_json:
            output.document(result.model_dump(mode="json", by_alias=True, exclude_none=True))
        payload = error_of(result)
        if payload is not None:
            output.complain(payload.message)
            return exits.exit_code(payload)
        if not as_json:
            output.data(output.shown("\n".join(_as_text(result))))
        return exits.TOOL_ERROR if result.is_error else exits.OK


def _needed(tool: str, servers: Collection[str]) -> Collection[str]:
    """Return the servers that may have a tool: the one that it is qualified with, or all."""
    named = [name for name in servers if tool.startswith(f"{name}.") or read_back(tool, name) is not None]
    return named or servers


async def _result(open_: Opened, tool: str, words: list[str], timeout: float | None) -> types.CallToolResult:
    schema = await _schema(open_, tool)
    problems = open_.problems()
    if problems and not open_.start.took:
        # No server that could have it has come up. Calling would only wait for the same once more.
        return as_result(replace(max(problems.values(), key=exits.rank), tool=tool))
    arguments = arguments_of(words, schema or {})
    return await open_.router.call_tool(tool, arguments, timeout=timeout, caller="recloser call")


async def _schema(open_: Opened, tool: str) -> dict[str, Any] | None:
    """Return what a tool takes, however it was named; None if no server that is up has it."""
    for server in open_.start.took:
        for known in (await open_.router.session(server).list_tools()).tools:
            if tool in (known.name, f"{server}.{known.name}", qualify(server, known.name)):
                return known.input_schema
    return None


def _as_text(result: types.CallToolResult) -> list[str]:
    structured = result.structured_content
    lines = [_block(block) for block in result.content]
    return lines or ([] if structured is None else [output.as_json(structured, sys.stdout.encoding)])


def _block(block: types.ContentBlock) -> str:
    match block:
        case types.TextContent():
            return block.text
        case types.ImageContent() | types.AudioContent():
            return f"[{block.mime_type}, {len(block.data) * 3 // 4} bytes; --json prints it in base64]"
        case types.ResourceLink():
            return f"[resource {block.uri}]"
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            return resource.text
        case _:
            return f"[resource {block.resource.uri}; --json prints it in base64]"
