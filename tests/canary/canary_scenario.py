"""A router in a process of its own, with canaries at every way in; what comes out goes to files and to stderr.

    canary_scenario.py story|crash|cli MODE DIRECTORY [ARGUMENT ...]

MODE is `closed` (as it is by default), `content` (contents are captured, all is logged), or `open` (the same, with
redaction switched off and with the SDK's own spans).
"""

# ruff: noqa: E402 - the path comes first

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import mcp_types as types
from canary_kit import canary, mark, plain
from mcp.server import MCPServer

import recloser.redact.redactor as redacting
from recloser import Call, Router, RouterError, Server, error_of
from recloser.config import Settings, load
from recloser.redact import Redactor
from support.http_faults import FaultServer

STDIO_SERVER = """
import os, sys
from mcp.server import MCPServer
server = MCPServer("pipes")

def say(*lines):
    for line in lines:
        print(line, file=sys.stderr, flush=True)

@server.tool()
async def talk(text: str, password: str = "") -> str:
    say(f"called with token={text}", f"the service's token is {os.environ['SERVICE_TOKEN']}")
    key = ("-----BEGIN PRIVATE KEY-----", "MIIEvQ", os.environ["CANARY_KEY"], "Zz09", "-----END PRIVATE KEY-----")
    say(os.environ["CANARY_STDERR"], *key)
    return "done"

@server.tool()
async def die(text: str) -> str:
    say(f"Traceback: ValueError: password={text}")
    os._exit(3)

server.run("stdio")
"""

ENVIRONMENT = {"CANARY_HEADER": canary("header"), "CANARY_ENVIRONMENT": canary("environment")}


def switch_off() -> None:
    """Let every redactor that is made from now on hide nothing."""
    defaults = Redactor.__init__.__kwdefaults__
    assert defaults is not None
    defaults["enabled"] = False
    redacting._default = Redactor()


# --- the servers


def inside(log_level: Any = "INFO") -> Server:
    """A server in this process: answers with contents, and raises with a secret in its text."""
    server: Any = MCPServer("inside", log_level=log_level)

    @server.tool()
    async def echo(text: str, password: str = "") -> types.CallToolResult:
        told = f"{canary('result')} {plain('result')} {text}"
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=told)],
            structured_content={"api_key": canary("structured"), "told": told},
        )

    @server.tool()
    async def boom(text: str) -> str:
        raise RuntimeError(f"no {canary('exception')} for {text}")

    @server.resource("note://1")
    async def note() -> str:
        raise RuntimeError(f"no {canary('exception')}")

    @server.prompt()
    async def brief(text: str) -> str:
        raise RuntimeError(f"no {canary('exception')} for {text}")

    return Server("inside", server)


async def refuses(exchange: Any) -> None:
    """A JSON-RPC error whose text holds all that was sent."""
    told = f"{canary('message')} {exchange.headers} {exchange.path} {exchange.body.decode()}"
    code = {"lost": -32603, "wrong": -32602}.get(exchange.message["params"]["name"], -32000)
    await exchange.error(200, code, told, data={"token": canary("message"), "told": told})


async def lists(exchange: Any) -> None:
    names = ("lost", "wrong", "odd", canary("listed"))
    tools = [{"name": name, "inputSchema": {"type": "object"}} for name in names]
    await exchange.result({"tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"})


async def locked(exchange: Any) -> None:
    body = {"error": "invalid_token", "error_description": f"no {canary('unauthorized')}"}
    challenge = f'Bearer error="invalid_token", error_description="no {canary("unauthorized")}"'
    await exchange.reply(401, json.dumps(body).encode(), www_authenticate=challenge)


def configuration(good: str, closed: str) -> dict[str, Any]:
    url = good.replace("://", f"://u:{canary('urluser')}@") + f"?api_key={canary('urlquery')}"
    environment = {
        "SERVICE_TOKEN": "${CANARY_ENVIRONMENT}",
        "CANARY_STDERR": canary("stderr"),
        "CANARY_KEY": mark("privatekey"),
    }
    return {
        "mcpServers": {
            "pipes": {"command": sys.executable, "args": ["-c", STDIO_SERVER], "env": environment},
            "web": {"url": url, "headers": {"X-Service": "${CANARY_HEADER}"}},
            "locked": {"url": closed, "headers": {"Authorization": "Bearer ${CANARY_HEADER}"}},
        },
        "recloser": {"defaults": {"retry": {"attempts": 2, "backoff": 0.01}, "timeouts": {"attempt": 10, "total": 20}}},
    }


@asynccontextmanager
async def served() -> AsyncIterator[tuple[dict[str, Any], Settings, list[str]]]:
    """The servers on this machine's wire; yields a configuration of them, also read, and all secrets."""
    async with AsyncExitStack() as stack:
        good = await stack.enter_async_context(FaultServer(on={"tools/list": lists, "tools/call": refuses}))
        closed = await stack.enter_async_context(FaultServer(on={"POST": locked, "GET": locked}))
        written = configuration(good.url, closed.url)
        settings = load(written)
        yield written, settings, [canary("secret"), *(secret.get_secret_value() for secret in settings.secrets)]


# --- the calls

ARGUMENTS = {"text": f"{canary('argument')} {plain('argument')}", "password": canary("named")}
CALLS: tuple[tuple[str, Any], ...] = (
    ("inside__echo", ARGUMENTS),
    ("inside__boom", {"text": ARGUMENTS["text"]}),
    ("pipes__talk", ARGUMENTS),
    ("pipes__die", {"text": ARGUMENTS["text"]}),
    ("web__lost", ARGUMENTS),
    ("web__wrong", ARGUMENTS),
    ("web__odd", ARGUMENTS),
    (f"web__{canary('listed')}", ARGUMENTS),
    ("locked__any", ARGUMENTS),
    (canary("tool"), ARGUMENTS),
    (f"web__{canary('tool')}", ARGUMENTS),
    (f"{canary('tool')}__x", ARGUMENTS),
    ("inside__echo", {"text": {1, 2}, "password": canary("named")}),
    ("pipes__talk", {"text": object(), "password": canary("named")}),
)


async def tell(router: Router) -> list[str]:
    """Make the calls, and return all that came back of those that failed: payload, text and representation."""
    told: list[str] = []

    @contextmanager
    def kept() -> Iterator[None]:
        try:
            yield
        except RouterError as error:
            told.extend([str(error), repr(error), json.dumps(error.payload.to_dict())])

    for name, arguments in CALLS:
        result = await router.call_tool(name, arguments, caller=canary("caller"))
        if error_of(result) is not None:
            told.append(result.model_dump_json())
        with kept():
            await router.call_tool(name, arguments, caller=canary("caller"), raise_on_error=True, idempotent=True)
    more: list[Any] = [
        lambda: router.read_resource(canary("uri"), caller=canary("caller")),
        lambda: router.read_resource("inside:note://1"),
        lambda: router.read_resource(f"web:{canary('uri')}"),
        lambda: router.get_prompt(canary("prompt"), {"text": ARGUMENTS["text"]}),
        lambda: router.get_prompt("inside__brief", {"text": ARGUMENTS["text"]}),
        lambda: router.call_tool("echo", ARGUMENTS, server_name=canary("tool"), raise_on_error=True),
        lambda: router.call_tool(canary("secret"), caller=canary("secret"), raise_on_error=True),
        lambda: router.ready(canary("tool")),
        lambda: router.ready("locked"),
        lambda: router.remove_server(canary("tool")),
        lambda: asyncio.to_thread(router.disable, canary("tool")),
    ]
    for make in more:
        with kept():
            await make()
    with kept():
        spread = await router.fan_out([Call.tool(name, arguments) for name, arguments in CALLS[:10]], quorum=1)
        told += [repr(list(spread.errors.values())), spread.summary()]
    with kept():
        await router.fan_out([Call.tool(name, arguments) for name, arguments in CALLS[4:12]], quorum=8)
    return [*told, repr(router), repr(router.servers)]


# --- what is told of it


async def story(mode: str, directory: Path) -> None:
    """Everything but crashes."""
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from recloser.telemetry import configure
    from recloser.telemetry.providers import _tracer_provider

    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    # As `configure` makes it where something is exported; an application's own records the SDK's spans too.
    tracing = TracerProvider() if mode == "open" else _tracer_provider()
    tracing.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(tracing)
    metrics.set_meter_provider(MeterProvider([reader]))
    async with served() as (written, settings, secrets):
        (directory / "config.json").write_text(json.dumps(written))
        configured = configure(
            settings,
            logs="json",
            log_level="info" if mode == "closed" else "debug",
            secrets=secrets,
            whole_process=True,
        )
        async with Router(
            *settings.servers,
            inside(),
            secrets=secrets,
            audit=directory / "audit.txt",
            capture_content=mode != "closed",
            listeners=[configured.listener],
        ) as router:
            told = await tell(router)
            logging.getLogger("recloser").error("the secret is %s", canary("secret"))
            health = {name: one.to_dict() for name, one in router.health().items()}
        if mode != "content":
            await commands(mode, directory)
    collected = reader.get_metrics_data()
    assert collected is not None
    (directory / "payloads.txt").write_text("\n".join(told))
    (directory / "health.txt").write_text(json.dumps(health))
    (directory / "spans.txt").write_text("\n".join(span.to_json() for span in exporter.get_finished_spans()))
    (directory / "metrics.txt").write_text(collected.to_json())
    configured.shutdown()


async def commands(mode: str, directory: Path) -> None:
    """The command line, on the same servers; all that it says, of commands that show no list and no answer."""
    config, words = str(directory / "config.json"), [f"{key}={value}" for key, value in ARGUMENTS.items()]
    given = (
        ["--verbose", "call", config, "web__lost", *words],
        ["call", config, f"web__{canary('tool')}", *words],
        ["call", config, "pipes__die", words[0]],
        ["check", config, "--json"],
    )
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable, __file__, "cli", mode, str(directory), *each, stdout=-1, stderr=-1
        )
        for each in given
    ]
    said = await asyncio.gather(*(process.communicate() for process in running))
    (directory / "cli.txt").write_bytes(b"\n".join(part for both in said for part in both))


async def crash(mode: str, name: str) -> None:
    """A failed call that nobody catches, in a program that has set up nothing."""
    async with served() as (_, settings, secrets):
        # What the server of this process logs by itself is no crash.
        quiet = inside("CRITICAL")
        async with Router(*settings.servers, quiet, secrets=secrets, capture_content=mode != "closed") as router:
            match name:
                case "resource":
                    await router.read_resource("inside:note://1")
                case "prompt":
                    await router.get_prompt("inside__brief", {"text": ARGUMENTS["text"]})
                case "ready":
                    await router.ready("locked")
                case "spread":
                    await router.fan_out([Call.tool("web__lost", ARGUMENTS)], quorum=1)
                case "unknown":
                    await router.call_tool(canary("tool"), ARGUMENTS, raise_on_error=True)
                case _:
                    await router.call_tool(name, ARGUMENTS, raise_on_error=True)


def main(what: str, mode: str, directory: str, *rest: str) -> int:
    """Run one of the three and return the exit code."""
    os.environ |= ENVIRONMENT
    if mode == "open":
        switch_off()
    if what == "cli":
        from recloser.cli import main as command

        return command(rest)
    asyncio.run(story(mode, Path(directory)) if what == "story" else crash(mode, *rest))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
