"""A program that uses a router and is traced: `traced_router.py ORDER`, a JSON object; see `Order`.

It runs in a process of its own, since a process can set its providers but once. What it found stands on its stdout.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from opentelemetry import baggage, trace
from opentelemetry import context as otel

from recloser import Breaker, Call, Retry, Router, Server, Timeouts, error_of
from recloser.telemetry import configure

TIMEOUTS: Final = Timeouts(start=60, total=60)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What it is to do."""

    mode: str
    """Whose the provider is: `ours`; `host` with the MCP SDK's tracer on, or `host-quiet` with it off."""
    collector: str
    stdio: Mapping[str, list[str]]
    """Commands by server."""
    http: Mapping[str, str]
    """URLs by server."""
    token_files: Mapping[str, str] = field(default_factory=dict)
    token: str = ""
    breakers: Mapping[str, float] = field(default_factory=dict)
    """What is different about the circuits."""
    mark: str = ""
    """A file that does not exist yet."""
    more: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further arguments of servers."""
    scenarios: list[str]

    def servers(self) -> list[Server]:
        """The servers as a router takes them."""
        shared: dict[str, Any] = {
            "timeouts": TIMEOUTS,
            "retry": Retry(server_faults=True, backoff=0.001),
            "breaker": Breaker(**{"window": 120, "consecutive": 3, "open_for": 120, "open_cap": 120} | self.breakers),
        }
        headers = {"Authorization": f"Bearer {self.token}"}
        stdio = [
            Server(name, command=command[0], args=command[1:], **shared, **self.more.get(name, {}))
            for name, command in self.stdio.items()
        ]
        http = [
            Server(name, url, headers=headers, **shared, **self.more.get(name, {})) for name, url in self.http.items()
        ]
        return [*stdio, *http]


def provided(order: Order) -> AbstractContextManager[Any]:
    """Set up this process's provider; leaving it hands everything over."""
    if order.mode == "ours":
        return configure(otlp_endpoint=order.collector, service_name="router", logs="off")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider, _TracerConfig
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    quiet = order.mode == "host-quiet"
    provider = TracerProvider(
        resource=Resource.create({"service.name": "router"}),
        _tracer_configurator=lambda scope: _TracerConfig(is_enabled=not (quiet and scope.name == "mcp-python-sdk")),
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{order.collector}/v1/traces")))
    trace.set_tracer_provider(provider)
    return nullcontext()  # the end of the process hands it over


async def success(router: Router, name: str, order: Order) -> Any:
    result = await router.call_tool(f"{name}__echo", {"text": "hello"})
    return result.content[0].text


async def told(router: Router, name: str, order: Order) -> Any:
    token = otel.attach(baggage.set_baggage("tenant", "acme"))
    try:
        result = await router.call_tool(f"{name}__meta", {})
    finally:
        otel.detach(token)
    return json.loads(result.content[0].text)


async def retried(router: Router, name: str, order: Order) -> Any:
    result = await router.call_tool(f"{name}__fail_once", {"key": order.mode}, idempotent=True)
    return result.content[0].text


async def refused(router: Router, name: str, order: Order) -> Any:
    return (await router.call_tool(f"{name}__refuse", {})).is_error


async def timed_out(router: Router, name: str, order: Order) -> Any:
    return code_of(await router.call_tool(f"{name}__slow", {}, timeout=0.3))


async def cancelled(router: Router, name: str, order: Order) -> Any:
    begun = asyncio.Event()

    async def progress(*_: Any) -> None:
        begun.set()

    call = asyncio.create_task(router.call_tool(f"{name}__slow", {}, progress=progress))
    await begun.wait()
    call.cancel()
    return type((await asyncio.gather(call, return_exceptions=True))[0]).__name__


async def signed_out(router: Router, name: str, order: Order) -> Any:
    if name not in order.token_files:
        return None
    file = Path(order.token_files[name])
    file.write_text("another", encoding="utf-8")
    try:
        return code_of(await router.call_tool(f"{name}__echo", {"text": "hello"}))
    finally:
        file.write_text(order.token, encoding="utf-8")


async def rejected(router: Router, name: str, order: Order) -> Any:
    with trace.get_tracer("test").start_as_current_span(f"before {name}"):
        context = otel.attach(otel.Context())
        for _ in range(3):
            await router.call_tool(f"{name}__slow", {}, timeout=0.2)
        otel.detach(context)
    return code_of(await router.call_tool(f"{name}__echo", {"text": "hello"}))


async def spread(router: Router, name: str, order: Order) -> Any:
    others = [other for other in router.servers if other != name]
    # Late by its own deadline: where this loop lags, the common one cuts it off, which is no error of the call.
    calls = [*(Call.tool(f"{other}__echo", {"text": other}) for other in others)]
    calls.append(Call.tool(f"{name}__slow", {}, timeout=1.0))
    answer = await router.fan_out(calls, quorum=1, timeout=30.0)
    return {"degraded": answer.degraded, "answered": len(answer.results)}


async def killed(router: Router, name: str, order: Order) -> Any:
    result = await router.call_tool(f"{name}__die_once", {"path": order.mark}, idempotent=True)
    return result.content[0].text


async def recovered(router: Router, name: str, order: Order) -> Any:
    with trace.get_tracer("test").start_as_current_span(f"before {name}"):
        context = otel.attach(otel.Context())
        for _ in range(3):
            await router.call_tool(f"{name}__slow", {}, timeout=0.2)
        otel.detach(context)
    while error := error_of(result := await router.call_tool(f"{name}__echo", {"text": "back"})):
        await asyncio.sleep(error.retry_after or 0.05)
    return result.content[0].text


def code_of(result: Any) -> str | None:
    error = error_of(result)
    return None if error is None else error.code


Scenario = Callable[[Router, str, Order], Awaitable[Any]]
SCENARIOS: Final[Mapping[str, Scenario]] = {
    each.__name__: each
    for each in (success, told, retried, refused, timed_out, cancelled, signed_out, spread, rejected, killed, recovered)
}


async def main(order: Order) -> dict[str, Any]:
    found: dict[str, Any] = {}
    tracer = trace.get_tracer("test")
    async with Router(*order.servers()) as router:
        await asyncio.gather(*(router.ready(name) for name in router.servers))
        for what in order.scenarios:
            for name in list(router.servers):
                with tracer.start_as_current_span(f"{what} {name}"):
                    found[f"{what} {name}"] = await SCENARIOS[what](router, name, order)
    return found


if __name__ == "__main__":
    order = Order(**json.loads(sys.argv[1]))
    with provided(order):
        found = asyncio.run(main(order))
    print(json.dumps(found))
