"""A call before it is sent: a short way and a long one, which end alike, and refusals that say what they are of."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mcp.server import MCPServer

from recloser import Limits, Router, RouterError, Server, error_of
from recloser.events import CallFinished
from recloser.testing.clock import run_virtual
from support.metering import Metered
from support.peers import Peer
from support.routers import full
from support.traces import Traces

served = MCPServer("s")


@served.tool()
async def echo(text: str) -> str:
    """Return the text."""
    return text


def test_a_second_call_that_cannot_be_sent_is_refused_like_a_first_one() -> None:
    async def main() -> list[Any]:
        async with Router(Server("s", served)) as router:
            first = error_of(await router.call_tool("s__echo", {"text": float("nan")}))
            assert error_of(await router.call_tool("s__echo", {"text": "well"})) is None
            second = error_of(await router.call_tool("s__echo", {"text": float("nan")}))
            return [(error.code, error.message, error.tool, error.attempts) for error in (first, second) if error]

    first, second = asyncio.run(main())

    assert first == second
    assert first[0] == "invalid_request"


def test_a_tool_that_is_switched_off_after_its_first_call_is_refused() -> None:
    async def main() -> list[str | None]:
        async with Router(Server("s", served)) as router:
            codes = []
            for change in (lambda: None, lambda: router.disable("s__echo"), lambda: router.enable("s__echo")):
                change()
                error = error_of(await router.call_tool("s__echo", {"text": "x"}))
                codes.append(None if error is None else error.code)
            return codes

    assert asyncio.run(main()) == [None, "unknown_tool", None]


# --- what is told of a call that is refused because of what it carries


UNSENDABLE: dict[str, dict[str, Any]] = {
    "no number": {"arguments": {"text": float("nan"), "word": "sesame-1"}},
    "no JSON": {"arguments": {"text": object(), "word": "sesame-1"}},
    "half a character": {"arguments": {"text": "\ud800", "word": "sesame-1"}},
    "too large": {"arguments": {"text": "sesame-1" * 1000}},
    "meta": {"arguments": {"text": "sesame-1"}, "meta": {"word": "sesame-1", "at": object()}},
}


@pytest.mark.parametrize("given", UNSENDABLE.values(), ids=UNSENDABLE.keys())
@pytest.mark.parametrize("content", [False, True], ids=["without content", "with content"])
def test_a_call_that_is_refused_for_what_it_carries_is_told_of_by_its_server_and_tool(
    given: dict[str, Any], content: bool
) -> None:
    traces, metered = Traces(), Metered()
    heard: list[Any] = []
    kept: list[Any] = []

    async def main() -> None:
        async with Router(
            Peer().server(limits=Limits(arguments=4096)),
            listeners=[heard.append],
            audit=kept.append,
            tracer_provider=traces.provider,
            meter_provider=metered.provider,
            capture_content=content,
        ) as router:
            await router.ready("peer")
            refused = error_of(await router.call_tool("peer.echo", **given))
            assert refused is not None
            assert (refused.code, refused.server, refused.tool) == ("invalid_request", "peer", "echo")

    run_virtual(main())
    (event,) = (one for one in heard if isinstance(one, CallFinished))
    assert (event.key, event.server, event.name, event.known) == ("peer__echo", "peer", "echo", True)
    (record,) = kept
    told = record.to_dict()
    assert (told["server"], told["tool"], told["known"], told["attempts"]) == ("peer", "echo", True, [])
    assert told["circuit_before"] == told["circuit_after"] == "closed"
    span = traces.one("execute_tool echo")
    assert (span["recloser.server.name"], span["gen_ai.tool.name"]) == ("peer", "echo")
    point = metered.one("recloser.call.duration", error__type="invalid_request")
    assert (point.attributes["recloser.server.name"], point.attributes["gen_ai.tool.name"]) == ("peer", "echo")
    shown = [event, told, point.attributes, *([] if content else [span.attributes])]
    assert "sesame-1" not in repr(shown)


def test_arguments_that_were_refused_are_not_hashed_by_the_audit_beyond_its_own_limit() -> None:
    kept: list[Any] = []

    async def main() -> None:
        async with Router(Peer().server(limits=Limits(arguments=4096)), audit=kept.append) as router:
            await router.ready("peer")
            await router.call_tool("peer__echo", {"text": "x" * 2_000_000})

    run_virtual(main())
    (record,) = kept
    assert (record.known, record.arguments.hmac_sha256) == (True, None)
    assert record.arguments.bytes >= 2_000_000


def test_a_prompt_and_a_resource_that_are_refused_for_what_they_carry_are_told_of_by_their_names() -> None:
    kept: list[Any] = []

    async def main() -> None:
        async with Router(full().server(), audit=kept.append) as router:
            await router.ready("peer")
            with pytest.raises(RouterError, match="cannot be sent as JSON"):
                await router.get_prompt("brief", {"name": "\ud800"})
            with pytest.raises(RouterError, match="cannot be sent as JSON"):
                await router.read_resource("note://1", meta={"at": object()})

    run_virtual(main())
    assert [(one.server, one.tool, one.known) for one in kept] == [("peer", "brief", True), ("peer", "note://1", True)]
