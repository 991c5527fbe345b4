"""What the tests of spans share: calls over a router that is traced, and ways for them to fail."""

from __future__ import annotations

from typing import Any

from recloser import Router, Server, Timeouts
from recloser.errors import error_for
from recloser.testing.clock import run_virtual
from support.peers import Peer, Silence
from support.traces import Traces

QUICK = Timeouts(total=20, attempt=2)


async def hangs(line: Any, params: Any) -> Any:
    raise Silence


def failing(times: int, code: str = "server_error", **facts: Any) -> Any:
    """A policy that fails the first attempts."""
    left = [times]

    async def policy(call: Any, call_next: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise error_for(code, "on purpose", server=call.server, **facts)
        return await call_next(call)

    return policy


def traced(peer: Peer, calls: Any, traces: Traces, *, servers: tuple[Server, ...] = (), **options: Any) -> Any:
    """Run calls against a router of one server."""
    more = {
        key: options.pop(key)
        for key in ("audit", "capture_content", "attempt_span_kind", "raise_on_error", "secrets")
        if key in options
    }

    async def main() -> Any:
        made = peer.server(**{"timeouts": QUICK, **options})
        async with Router(made, *servers, tracer_provider=traces.provider, rng=lambda: 0.5, **more) as router:
            await router.ready("peer")
            return await calls(router)

    return run_virtual(main())


def echo(router: Router) -> Any:
    return router.call_tool("peer__echo", {"text": "hello"}, idempotent=True)


def sent_meta(peer: Peer) -> dict[str, Any]:
    (request,) = [one for line in peer.lines for one in line.seen if one.method == "tools/call"]
    return dict((request.params or {}).get("_meta") or {})
