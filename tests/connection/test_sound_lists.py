"""Lists that do not keep to the protocol: what can be used of them is, and what is wrong is told by its place."""

import pytest
from connection_kit import watched

from recloser import RouterError
from recloser.testing.clock import run_virtual
from support.peers import ALL, Peer, Refusal, tool


@pytest.mark.parametrize("modern", [True, False])
def test_entries_that_make_no_sense_are_left_out_and_the_others_stay(modern, caplog):
    bad = [{"name": 5}, {"name": "b"}, {"name": "c", "inputSchema": "x"}, "d", {"inputSchema": {"type": "object"}}]

    async def main():
        peer = Peer(modern=modern, legacy=not modern)
        peer.capabilities = ALL
        peer.tools = [tool("a"), *bad, tool("e")]

        async def listed(line, params):
            return {"tools": peer.tools}

        async def prompts(line, params):
            return {"prompts": [{"name": "p"}, {"name": None}]}

        peer.on |= {"tools/list": listed, "prompts/list": prompts}
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            assert [each.name for each in seen.listings[-1].tools] == ["a", "e"]
            assert [each.name for each in seen.listings[-1].prompts] == ["p"]

    run_virtual(main)
    told = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert told == [
        "server peer: entries that do not keep to the protocol are left out: "
        "tools[1].name, tools[2].inputSchema, tools[3].inputSchema and 2 more",
        "server peer: entries that do not keep to the protocol are left out: prompts[1].name",
    ]


@pytest.mark.parametrize("answer", [{"tools": None}, {"tools": "x"}, {}])
def test_a_list_that_is_none_is_a_violation(answer):
    async def listed(line, params):
        return answer

    async def main():
        async with watched(Peer(on={"tools/list": listed}).server()) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            assert caught.value.payload.code == "protocol_violation"

    run_virtual(main)


def test_a_list_that_is_refused_in_the_middle_is_no_fault_of_a_callers_arguments():
    async def pages(line, params):
        if "cursor" in params:
            raise Refusal(-32602, "no such cursor")
        return {"tools": [tool("echo")], "nextCursor": "2"}

    async def main():
        async with watched(Peer(on={"tools/list": pages}).server()) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            payload = caught.value.payload
            assert (payload.code, payload.delivered, payload.cause.jsonrpc_code) == ("protocol_violation", "no", -32602)
            assert payload.next_action != "fix_arguments"

    run_virtual(main)
