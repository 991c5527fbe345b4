"""A router that is made of a configuration, and one in the hands of an operator."""

import asyncio

import pytest

from recloser import Router, RouterError, Timeouts, error_of
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp
from support.peers import Peer
from support.routers import hangs, names


def test_a_router_can_be_made_of_a_file_and_of_a_mapping(tmp_path):
    import json

    async def main():
        async with FaultyHttp() as faulty:
            content = {"mcpServers": {"s": {"url": faulty.url}}, "recloser": {"names": "bare"}}
            file = tmp_path / "mcp.json"
            file.write_text(json.dumps(content))
            for router in (Router.from_config(file), Router.from_config(str(file)), Router.from_dict(content)):
                async with router:
                    assert "echo" in names(await router.list_tools())
            async with Router.from_config(file, names="qualified") as router:
                assert "s__echo" in names(await router.list_tools())

    asyncio.run(main())


def test_a_secret_of_the_configuration_is_not_shown(tmp_path, monkeypatch):
    import sys

    monkeypatch.setenv("KEY", "s3cr3t-s3cr3t")
    code = "import os, sys; print(os.environ['KEY'], file=sys.stderr)"
    content = {"mcpServers": {"s": {"command": sys.executable, "args": ["-c", code], "env": {"KEY": "${KEY}"}}}}

    async def main():
        async with Router.from_dict(content) as router:
            told = router.health()["s"].stderr
            assert told
            assert "s3cr3t" not in told

    asyncio.run(main())


def test_a_server_can_be_asked_for_a_sign_of_life():
    async def main():
        peer, mute = Peer(), Peer(modern=False)
        quick = Timeouts(attempt=1, total=2)
        async with Router(peer.server(), mute.server("mute", timeouts=quick)) as router:
            await router.ready("mute")
            await router.probe("peer")
            assert peer.methods[-1] == "server/discover"
            mute.on["ping"] = hangs
            with pytest.raises(RouterError) as caught:
                await router.probe("mute")
            assert (caught.value.payload.code, caught.value.payload.delivered) == ("timeout", "no")
            with pytest.raises(RouterError, match="no server 'other'"):
                await router.probe("other")

    run_virtual(main())


def test_an_operator_can_take_a_server_out_of_use_and_let_it_in_again():
    async def main():
        async with Router(Peer().server(), Peer().server("other")) as router:
            await router.ready("peer")
            router.isolate("peer")
            refused = error_of(await router.call_tool("peer__echo"))
            assert (refused.code, refused.retry_after, refused.attempts) == ("circuit_open", None, 0)
            assert error_of(await router.call_tool("other__echo")) is None
            (tool,) = await router.list_tools(server="peer")
            assert tool.meta["recloser/available"] is False
            router.release("peer")
            assert error_of(await router.call_tool("peer__echo")) is None
            for method in (router.isolate, router.release):
                with pytest.raises(RouterError, match="no server 'none'"):
                    method("none")

    run_virtual(main())
