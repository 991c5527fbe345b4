"""Everything that a router tells, of calls that go well and of all that can become of them otherwise."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import mcp_types as types
from mcp.server import MCPServer
from opentelemetry.sdk.trace import ReadableSpan

from recloser import Breaker, Call, Retry, Router, RouterError, Server, Timeouts
from recloser.audit import AuditRecord
from recloser.errors import error_for
from recloser.events import Event
from recloser.telemetry.listener import LogListener
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp, FaultyStdio
from support.metering import Metered, Point
from support.peers import ALL, Peer, Refusal, Silence, said, tool
from support.traces import Traces

QUICK = Timeouts(total=20, attempt=2)


class Telling:
    """Hears a router by all of its ways out."""

    def __init__(self) -> None:
        self.traces = Traces()
        self.metered = Metered()
        self.events: list[Event] = []
        self.lines: list[tuple[int, str, dict[str, Any]]] = []
        self.audit: list[AuditRecord] = []
        self._log = LogListener(self.log, level=0)
        self._seen: dict[str, Point] = {}

    def log(self, level: int, event: str, /, **fields: Any) -> None:
        """Write one line."""
        self.lines.append((level, event, fields))

    def router(self, *servers: Server, **options: Any) -> Router:
        """A router that tells us everything."""
        return Router(
            *servers,
            tracer_provider=self.traces.provider,
            meter_provider=self.metered.provider,
            listeners=[self.events.append, self._log],
            audit=self.audit.append,
            rng=lambda: 0.5,
            **options,
        )

    def look(self) -> None:
        """Read the metrics now; what is only observed is gone with its router."""
        for point in self.metered.points():
            self._seen[f"{point.metric} {sorted(point.attributes.items())}"] = point

    @property
    def points(self) -> list[Point]:
        self.look()
        return list(self._seen.values())

    @property
    def spans(self) -> list[ReadableSpan]:
        self._log.flush()
        return list(self.traces.exporter.get_finished_spans())


async def _hangs(line: Any, params: Any) -> Any:
    raise Silence


async def _says_no(line: Any, params: Any) -> Any:
    return said("no such city", isError=True)


async def _refuses(line: Any, params: Any) -> Any:
    raise Refusal(-32602)


async def _resources(line: Any, params: Any) -> Any:
    return {"resources": [{"uri": "mem://a", "name": "a"}]}


async def _templates(line: Any, params: Any) -> Any:
    return {"resourceTemplates": [{"uriTemplate": "mem://{name}", "name": "any"}]}


async def _read(line: Any, params: Any) -> Any:
    return {"contents": [{"uri": "mem://a", "text": "."}]}


async def _prompts(line: Any, params: Any) -> Any:
    return {"prompts": [{"name": "greet"}]}


async def _greets(line: Any, params: Any) -> Any:
    return {"messages": []}


async def _completes(line: Any, params: Any) -> Any:
    return {"completion": {"values": []}}


class Shaky:
    """A policy that fails the first attempt of some calls, and every one of others."""

    def __init__(self) -> None:
        self.failed: set[str] = set()
        self.broken = True

    async def __call__(self, call: Any, call_next: Any) -> Any:
        flaky = call.name in ("flaky", "greet") and call.call_id not in self.failed
        if flaky or (call.name == "broken" and self.broken):
            self.failed.add(call.call_id)
            raise error_for("server_error", "on purpose", server=call.server)
        return await call_next(call)


def peer(*, legacy: bool) -> Peer:
    """A server that has everything."""
    made = Peer(modern=not legacy)
    made.capabilities = ALL
    made.tools = [tool(name) for name in ("echo", "flaky", "broken")]
    made.on = {
        "hangs": _hangs,
        "says_no": _says_no,
        "refuses": _refuses,
        "resources/list": _resources,
        "resources/templates/list": _templates,
        "resources/read": _read,
        "prompts/list": _prompts,
        "prompts/get": _greets,
        "completion/complete": _completes,
    }
    return made


async def everything_else(router: Router, server: str, *, resource: str, prompt: str) -> None:
    """A resource, a prompt and a completion."""
    await router.read_resource(resource, server_name=server)
    await router.get_prompt(f"{server}__{prompt}", {"text": "x"})
    reference = types.PromptReference(type="ref/prompt", name=f"{server}__{prompt}")
    await router.complete(reference, {"name": "a", "value": "b"})


async def _calls(router: Router, telling: Telling) -> None:
    await router.call_tool("peer__echo", {"text": "hello"}, caller="alice")
    await router.call_tool("peer__says_no", caller="alice")
    for _ in range(8):
        await router.call_tool("peer__flaky", idempotent=True)
    await router.call_tool("lazy__echo")
    await router.call_tool("peer__hangs")
    await router.call_tool("peer__refuses", timeout=5)
    await router.call_tool("peer__no-such")
    await router.call_tool("nobody__echo")
    await router.call_tool("poor__broken", idempotent=True)
    task = asyncio.create_task(router.call_tool("peer__hangs"))
    await asyncio.sleep(0.5)
    telling.look()
    task.cancel()
    await asyncio.wait([task])
    await everything_else(router, "peer", resource="mem://a", prompt="greet")
    with suppress(RouterError):
        await router.get_prompt("peer__no-such")


async def _fan_outs(router: Router) -> None:
    good, bad = Call.tool("peer__echo"), Call.tool("peer__refuses")
    await router.fan_out([good.replace(call_id="f-1")])
    await router.fan_out([Call.tool("peer__echo"), bad])
    with suppress(RouterError):
        await router.fan_out([Call.tool("peer__refuses")])
    stream = router.stream([Call.tool("peer__echo"), Call.tool("peer__echo")])
    async for _ in stream:
        break
    await stream.aclose()


async def _trouble(router: Router, telling: Telling, here: Peer, shaky: Shaky) -> None:
    for _ in range(8):
        await router.call_tool("fragile__broken")
    telling.look()
    await asyncio.sleep(4)
    shaky.broken = False
    await asyncio.sleep(10)
    await router.call_tool("fragile__broken")
    here.tools.append(tool("new"))
    here.line.notify("notifications/tools/list_changed")
    await asyncio.sleep(40)
    here.tools.pop()
    here.line.end()
    await asyncio.sleep(10)
    await router.call_tool("peer__echo")
    telling.look()


def on_virtual_time(telling: Telling, *, legacy: bool, kind: str) -> None:
    """Servers in memory, of one era."""
    here, shaky = peer(legacy=legacy), Shaky()
    gone = Peer()
    gone.down = ConnectionRefusedError("no route")
    servers = [
        here.server(timeouts=QUICK, chaos=[shaky]),
        peer(legacy=legacy).server("fragile", timeouts=QUICK, chaos=[shaky], breaker=Breaker(consecutive=1)),
        peer(legacy=legacy).server("poor", timeouts=QUICK, chaos=[shaky], retry=Retry(budget=0)),
        peer(legacy=legacy).server("lazy", timeouts=QUICK, lazy=True),
        gone.server("gone", timeouts=QUICK),
    ]

    async def main() -> None:
        content = kind == "client"
        async with telling.router(*servers, attempt_span_kind=kind, capture_content=content) as router:
            for name in ("peer", "fragile", "poor"):
                await router.ready(name)
            await _calls(router, telling)
            await _fan_outs(router)
            await _trouble(router, telling, here, shaky)

    run_virtual(main())


async def over_http(telling: Telling, *, legacy: bool) -> None:
    """A real server over HTTP, that also fails, and dies."""
    async with FaultyHttp(era="legacy" if legacy else "modern") as faulty:
        server = Server(
            "web",
            faulty.url,
            timeouts=Timeouts(total=5, attempt=2),
            retry=Retry(attempts=1),
            breaker=Breaker(consecutive=2),
        )
        async with telling.router(server) as router:
            await router.ready("web")
            await router.call_tool("web__echo", {"text": "x"})
            await everything_else(router, "web", resource="test://alpha", prompt="review")
            for fault, more in (("jsonrpc_error", {"code": -32042}), ("status_503", {}), ("status_401", {})):
                faulty.fault(fault, times=1, **more)
                await router.call_tool("web__echo", {"text": "x"})
            await router.call_tool("web__echo", {"text": "x"})
            await faulty.stop()
            for _ in range(3):
                await router.call_tool("web__echo", {"text": "x"})
            telling.look()
            for _ in range(500):
                if any(span.name == "recloser.probe" for span in telling.spans if _of(span, "web")):
                    break
                await asyncio.sleep(0.01)


async def over_stdio(telling: Telling) -> None:
    """A real server over pipes, that dies in the middle of a call."""
    with FaultyStdio() as faulty:
        async with telling.router(Server("pipe", command=faulty.command, args=faulty.args)) as router:
            await router.ready("pipe")
            await router.call_tool("pipe__echo", {"text": "x"})
            await everything_else(router, "pipe", resource="test://alpha", prompt="review")
            faulty.fault("exit_mid_call", times=1)
            await router.call_tool("pipe__echo", {"text": "x"})
            await router.ready("pipe")
            telling.look()


async def in_process(telling: Telling) -> None:
    """A server object of the SDK."""
    server = MCPServer("here")

    @server.tool()
    async def echo(text: str) -> str:
        return text

    async with telling.router(Server("here", server)) as router:
        await router.call_tool("here__echo", {"text": "x"})
        telling.look()


def _of(span: ReadableSpan, server: str) -> bool:
    return (span.attributes or {}).get("recloser.server.name") == server


def tell_all() -> Telling:
    """Let all of that happen, once."""
    telling = Telling()
    for legacy in (False, True):
        for kind in ("client", "internal"):
            on_virtual_time(telling, legacy=legacy, kind=kind)
        asyncio.run(over_http(telling, legacy=legacy))
    asyncio.run(over_stdio(telling))
    asyncio.run(in_process(telling))
    return telling
