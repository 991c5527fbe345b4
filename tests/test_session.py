"""One server's own face: the SDK client's methods, under the server's own names."""

import inspect

import mcp_types as types
import pytest
from mcp import Client

from recloser import Router, RouterError, error_of
from recloser.session import ServerSession
from recloser.testing.clock import run_virtual
from support.peers import ALL, MODERN, Peer

RESOURCE = {"name": "note", "uri": "note://1"}
TEMPLATE = {"name": "notes", "uriTemplate": "note://{n}"}
PROMPT = {"name": "brief"}


def peer():
    made = Peer()
    made.capabilities = ALL

    def listing(key, item):
        async def handler(line, params):
            return {key: [item]}

        return handler

    async def read(line, params):
        return {"contents": [{"uri": params["uri"], "text": "inside"}]}

    async def prompt(line, params):
        text = f"{params['name']} {params['arguments']}"
        return {"messages": [{"role": "user", "content": {"type": "text", "text": text}}]}

    async def complete(line, params):
        assert "cursor" not in params
        told = f"{params['ref']} {params['argument']} {params.get('context')}"
        return {"completion": {"values": [told]}}

    made.on |= {
        "resources/list": listing("resources", RESOURCE),
        "resources/templates/list": listing("resourceTemplates", TEMPLATE),
        "prompts/list": listing("prompts", PROMPT),
        "resources/read": read,
        "prompts/get": prompt,
        "completion/complete": complete,
    }
    return made


def with_session(test):
    async def main():
        async with Router(peer().server(), peer().server("other")) as router:
            await test(router.session("peer"))

    run_virtual(main)


OF_A_CONNECTION = {
    "listen",
    "send_progress_notification",
    "send_roots_list_changed",
    "set_logging_level",
    "subscribe_resource",
    "unsubscribe_resource",
}


def test_its_methods_take_what_those_of_the_sdks_client_take():
    ours = {name: member for name, member in vars(ServerSession).items() if inspect.iscoroutinefunction(member)}
    offered = {name for name, member in vars(Client).items() if inspect.isfunction(member) and name[0] != "_"}
    assert offered - set(ours) == OF_A_CONNECTION
    for name, member in ours.items():
        theirs = inspect.signature(getattr(Client, name)).parameters
        taken = inspect.signature(member).parameters
        # A server's questions are answered by the router's callbacks, round by round.
        assert set(theirs) - set(taken) <= {"input_responses", "request_state"}
        for parameter in taken.values():
            assert parameter.name in theirs, f"{name}({parameter.name})"
            assert parameter.kind is theirs[parameter.name].kind


def test_lists_show_the_servers_own_names_and_are_whole():
    async def test(session):
        tools = await session.list_tools(cursor="anything")
        assert [one.name for one in tools.tools] == ["echo"]
        assert tools.next_cursor is None
        assert [one.uri for one in (await session.list_resources()).resources] == ["note://1"]
        assert [one.uri_template for one in (await session.list_resource_templates()).resource_templates] == [
            "note://{n}"
        ]
        assert [one.name for one in (await session.list_prompts()).prompts] == ["brief"]
        assert len((await session.list_tools(meta={"a": 1}, cache_mode="refresh")).tools) == 1
        assert session.protocol_version == MODERN
        assert repr(session) == "ServerSession('peer')"

    with_session(test)


def test_calls_go_to_this_server_whoever_else_has_the_same_names():
    async def test(session):
        assert (await session.call_tool("echo", {"text": "hi"}, 5, meta={"a": 1})).content[0].text == "hi"
        assert (await session.read_resource("note://1", cache_mode="bypass")).contents[0].text == "inside"
        assert await session.send_ping() == types.EmptyResult()
        prompt = await session.get_prompt("brief", {"city": "Bonn"})
        assert prompt.messages[0].content.text == "brief {'city': 'Bonn'}"

    with_session(test)


def test_arguments_are_completed():
    async def test(session):
        ref = types.PromptReference(type="ref/prompt", name="brief")
        done = await session.complete(ref, {"name": "city", "value": "B"})
        assert "'name': 'brief'" in done.completion.values[0]
        assert done.completion.values[0].endswith("None")
        template = types.ResourceTemplateReference(type="ref/resource", uri="note://{n}")
        done = await session.complete(template, {"name": "n", "value": "1"}, {"city": "Bonn"})
        assert "{'arguments': {'city': 'Bonn'}}" in done.completion.values[0]

    with_session(test)


def test_errors_come_as_everywhere():
    async def test(session):
        assert error_of(await session.call_tool("nothing")).code == "unknown_tool"
        with pytest.raises(RouterError):
            await session.get_prompt("nothing")

    with_session(test)


def test_a_server_that_is_not_known_has_no_face():
    async def main():
        async with Router(peer().server()) as router:
            with pytest.raises(RouterError) as caught:
                router.session("nobody")
            assert caught.value.payload.code == "unknown_server"

    run_virtual(main)
