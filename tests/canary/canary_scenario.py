"""A router in a process of its own, with canaries at every way in; what comes out goes to files and to stderr.

    canary_scenario.py story|crash|cli MODE DIRECTORY [ARGUMENT ...]

MODE is `closed` (as it is by default), `content` (contents are captured), or `open` (contents are captured and redaction
is switched off).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import mcp_types as types
import recloser.redact.redactor as redacting
from canary_kit import canary, mark, plain
from mcp.server import MCPServer
from recloser.redact import Redactor

STDIO_SERVER = """
import os, sys
from mcp.server import MCPServer
server = MCPServer("pipes")

def say(*lines):
    for line in lines:
        print(line, file=sys.stderr, flush=True)

@server.tool()
async def talk(text: str, password: str = "") -> str:
    say(f"called with token={text}", f"the service's token is {os.environ['SERVICE_TOKEN']}", os.environ["CANARY_STDERR"])
    say("-----BEGIN PRIVATE KEY-----", "MIIEvQ" + os.environ["CANARY_KEY"] + "Zz09", "-----END PRIVATE KEY-----")
    return "done"

@server.tool()
async def die(text: str) -> str:
    say(f"Traceback: ValueError: password={text}")
    os._exit(3)

server.run("stdio")
"""

SETUP = {
    "CANARY_HEADER": canary("header"),
    "CANARY_ENVIRONMENT": canary("environment"),
    "CANARY_STDERR": canary("stderr"),
    "CANARY_KEY": mark("privatekey"),
}


def switch_off() -> None:
    """Let every redactor that is made from now on hide nothing."""
    defaults = Redactor.__init__.__kwdefaults__
    assert defaults is not None
    defaults["enabled"] = False
    redacting._default = Redactor()


def inside() -> Any:
    """A server in this process: answers with contents, and raises with a secret in its text."""
    server: Any = MCPServer("inside")

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

    return server


async def refuses(exchange: Any) -> None:
    """A JSON-RPC error whose text holds all that was sent."""
    if exchange.method != "tools/call":
        await exchange.server.behave(exchange)
        return
    told = f"{canary('message')} {exchange.headers} {exchange.path} {exchange.body.decode()}"
    code = {"lost": -32603, "wrong": -32602}.get(exchange.message["params"]["name"], -32000)
    await exchange.error(200, code, told, data={"token": canary("message"), "told": told})


async def lists(exchange: Any) -> None:
    tools = [{"name": name, "inputSchema": {"type": "object"}} for name in ("lost", "wrong", "odd")]
    await exchange.result({"tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"})


async def locked(exchange: Any) -> None:
    body = {"error": "invalid_token", "error_description": f"no {canary('unauthorized')}"}
    challenge = f'Bearer error="invalid_token", error_description="no {canary("unauthorized")}"'
    await exchange.reply(401, json.dumps(body).encode(), www_authenticate=challenge)


def configuration(good: str, closed: str, capture: bool) -> dict[str, Any]:
    url = good.replace("://", f"://u:{canary('urluser')}@") + f"?api_key={canary('urlquery')}"
    environment = {"SERVICE_TOKEN": "${CANARY_ENVIRONMENT}", "CANARY_STDERR": canary("stderr")}
    environment["CANARY_KEY"] = mark("privatekey")
    return {
        "mcpServers": {
            "pipes": {"command": sys.executable, "args": ["-c", STDIO_SERVER], "env": environment},
            "web": {"url": url, "headers": {"X-Service": "${CANARY_HEADER}"}},
            "locked": {"url": closed, "headers": {"Authorization": "Bearer ${CANARY_HEADER}"}},
        },
        "recloser": {
            "defaults": {"retry": {"attempts": 2, "backoff": 0.01}, "timeouts": {"attempt": 5, "total": 10}},
            "telemetry": {"capture_content": capture},
        },
    }


ARGUMENTS = {"text": f"{canary('argument')} {plain('argument')}", "password": canary("named")}
CALLS: tuple[tuple[str, Any], ...] = (
    ("inside__echo", ARGUMENTS),
    ("inside__boom", {"text": ARGUMENTS["text"]}),
    ("pipes__talk", ARGUMENTS),
    ("pipes__die", {"text": ARGUMENTS["text"]}),
    ("web__lost", ARGUMENTS),
    ("web__wrong", ARGUMENTS),
    ("web__odd", ARGUMENTS),
    ("locked__any", ARGUMENTS),
    (canary("tool"), ARGUMENTS),
    (f"web__{canary('tool')}", ARGUMENTS),
    (f"{canary('tool')}__x", ARGUMENTS),
    ("inside__echo", {"text": {1, 2}, "password": canary("named")}),
    ("pipes__talk", {"text": object(), "password": canary("named")}),
)


async def tell(router: Any) -> list[str]:
    """Make the calls, and return all that came back of those that failed: payload, text and representation."""
    from recloser import Call, RouterError, error_of

    told: list[str] = []

    def keep(error: Any) -> None:
        told.extend([str(error), repr(error), json.dumps(error.payload.to_dict())])

    for name, arguments in CALLS:
        result = await router.call_tool(name, arguments, caller=canary("caller"))
        if error_of(result) is not None:
            told.append(result.model_dump_json())
        with suppress(RouterError) if error_of(result) is None else _keeping(keep, RouterError):
            await router.call_tool(name, arguments, caller=canary("caller"), raise_on_error=True, idempotent=True)
    more = [
        lambda: router.read_resource(canary("uri"), caller=canary("caller")),
        lambda: router.read_resource("inside:note://1"),
        lambda: router.read_resource(f"web:{canary('uri')}"),
        lambda: router.get_prompt(canary("prompt"), {"text": ARGUMENTS["text"]}),
        lambda: router.get_prompt("inside__brief", {"text": ARGUMENTS["text"]}),
        lambda: router.call_tool("echo", ARGUMENTS, server_name=canary("tool"), raise_on_error=True),
        lambda: router.ready(canary("tool")),
        lambda: router.ready("locked"),
    ]
    for make in more:
        with _keeping(keep, RouterError):
            await make()
    spread = await router.fan_out([Call.tool(name, arguments) for name, arguments in CALLS[:10]], quorum=1)
    told += [repr(spread.errors), spread.summary(), repr(spread.failed) if hasattr(spread, "failed") else ""]
    told += [repr(router), repr(router.servers)]
    return told


class _keeping:
    def __init__(self, keep: Any, kind: type[BaseException]) -> None:
        self._keep, self._kind = keep, kind

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, _: Any) -> bool:
        if isinstance(error, self._kind):
            self._keep(error)
            return True
        return False


async def story(mode: str, directory: Path) -> None:
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from recloser import Router, Server
    from recloser.config import load
    from recloser.telemetry import configure
    from support.http_faults import FaultServer

    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracing, metering = TracerProvider(), MeterProvider([reader])
    tracing.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(tracing)
    metrics.set_meter_provider(metering)
    async with (
        FaultServer(on={"tools/list": lists, "tools/call": refuses, "POST": refuses}) as good,
        FaultServer(on={"POST": locked, "GET": locked}) as closed,
    ):
        settings = load(configuration(good.url, closed.url, mode != "closed"))
        secrets = [canary("secret"), *(secret.get_secret_value() for secret in settings.secrets)]
        configured = configure(settings, logs="json", log_level="debug", secrets=secrets, whole_process=True)
        router = Router(
            *settings.servers,
            Server("inside", inside()),
            secrets=secrets,
            audit=directory / "audit.jsonl",
            capture_content=settings.telemetry.capture_content,
            listeners=[configured.listener],
        )
        async with router:
            told = await tell(router)
            logging.getLogger("recloser").error("the secret is %s", canary("secret"))
            health = {name: one.to_dict() for name, one in router.health().items()}
        (directory / "config.json").write_text(json.dumps(configuration(good.url, closed.url, mode != "closed")))
        await commands(mode, directory)
    (directory / "payloads.txt").write_text("\n".join(told))
    (directory / "health.json").write_text(json.dumps(health))
    (directory / "spans.json").write_text("\n".join(span.to_json() for span in exporter.get_finished_spans()))
    (directory / "metrics.json").write_text(reader.get_metrics_data().to_json())
    configured.shutdown()


async def commands(mode: str, directory: Path) -> None:
    """The command line, on the same servers; of a call that works, stdout is the answer itself."""
    config, words = str(directory / "config.json"), [f"{key}={value}" for key, value in ARGUMENTS.items()]
    for number, (streams, given) in enumerate(
        (
            ("err", ["call", config, "pipes__talk", *words]),
            ("err out", ["--verbose", "call", config, "web__lost", *words]),
            ("err out", ["--verbose", "call", config, "locked__any", *words]),
            ("err out", ["call", config, canary("tool"), *words]),
            ("err out", ["call", config, "pipes__die", words[0]]),
            ("err out", ["--verbose", "check", config]),
            ("err out", ["check", config, "--json"]),
            ("err out", ["tools", config, "--json"]),
        )
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "cli", mode, str(directory), *given, stdout=-1, stderr=-1, env=os.environ | SETUP
        )
        out, err = await process.communicate()
        kept = (err if "err" in streams else b"") + (out if "out" in streams else b"")
        (directory / f"cli-{number}-{given[-1 if len(given) < 3 else 0].strip('-')}.txt").write_bytes(kept)


async def crash(mode: str) -> None:
    """A failed call that nobody catches, in a program that has set up nothing."""
    from recloser import Router, Server
    from recloser.config import load
    from support.http_faults import FaultServer

    name = os.environ["CANARY_CRASH"]
    async with (
        FaultServer(on={"tools/list": lists, "tools/call": refuses, "POST": refuses}) as good,
        FaultServer(on={"POST": locked, "GET": locked}) as closed,
    ):
        settings = load(configuration(good.url, closed.url, mode != "closed"))
        secrets = [canary("secret"), *(secret.get_secret_value() for secret in settings.secrets)]
        async with Router(*settings.servers, Server("inside", inside()), secrets=secrets) as router:
            if name == "resource":
                await router.read_resource("inside:note://1")
            elif name == "prompt":
                await router.get_prompt("inside__brief", {"text": ARGUMENTS["text"]})
            elif name == "unknown":
                await router.call_tool(canary("tool"), ARGUMENTS, raise_on_error=True)
            else:
                await router.call_tool(name, ARGUMENTS, raise_on_error=True)


if __name__ == "__main__":
    what, how, where, *rest = sys.argv[1:]
    os.environ |= SETUP
    if how == "open":
        switch_off()
    if what == "cli":
        from recloser.cli import main

        sys.exit(main(rest))
    asyncio.run(story(how, Path(where)) if what == "story" else crash(how))
