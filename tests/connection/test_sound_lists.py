"""Lists that do not keep to the protocol: what can be used of them is, and what is wrong is told by its place."""

import logging

import pytest
from connection_kit import watched
from hypothesis import given
from hypothesis import strategies as st
from mcp_types.methods import parse_server_result
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, KNOWN_PROTOCOL_VERSIONS

from recloser import RouterError
from recloser.connection import sound as module
from recloser.connection.sound import sound
from recloser.testing.clock import run_virtual
from support.peers import ALL, INFO, Peer, Refusal, stamped, tool

VERSIONS = pytest.mark.parametrize("version", KNOWN_PROTOCOL_VERSIONS)
KEYS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}


def speaking(version, **lists):
    """A server of this version, and what it lists."""
    modern = version not in HANDSHAKE_PROTOCOL_VERSIONS
    peer = Peer(modern=modern, legacy=not modern)
    peer.capabilities = ALL

    async def initialize(line, params):
        return {"protocolVersion": version, "capabilities": ALL, "serverInfo": INFO}

    def lister(key):
        async def listed(line, params):
            return {key: lists.get(key, [])}

        return listed

    peer.on |= {method: lister(key) for method, key in KEYS.items()}
    if not modern:
        peer.on["initialize"] = initialize
    return peer


def answering(answer):
    async def answered(line, params):
        return answer

    return answered


def told(caplog, level=logging.WARNING):
    """What was told of the lists, at one level."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level and "keep to the protocol" in record.getMessage()
    ]


@pytest.mark.parametrize("modern", [True, False])
def test_entries_that_make_no_sense_are_left_out_and_the_others_stay(modern, caplog):
    bad = [{"name": 5}, {"title": "b"}, {"name": "c", "inputSchema": "x"}, "d", {"inputSchema": {"type": "object"}}]

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
    assert told(caplog) == [
        "server peer: entries that do not keep to the protocol are left out: "
        "tools[1] (name: Input should be a valid string), tools[2] (name: Field required), "
        "tools[3] 'c' (inputSchema: Input should be a valid dictionary or instance of InputSchema) and 2 more",
        "server peer: entries that do not keep to the protocol are left out: "
        "prompts[1] (name: Input should be a valid string)",
    ]


LOOSE = {
    "nothing": None,
    "an empty list": [],
    "empty": {},
    "no type": {"properties": {"a": {"type": "string"}}},
    "a type among others": {"type": ["object", "null"]},
    "a loud type": {"type": "OBJECT"},
    "a null type": {"type": None},
    "a reference": {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}},
    "one of several": {"oneOf": [{"type": "object"}]},
    "no properties": {"type": "object", "properties": [], "required": {}},
    "a property that is null": {"type": "object", "properties": {"a": None, "b": "string", "c": True}},
    "one that is required": {"type": "object", "required": "a"},
    "some that are required": {"type": "object", "required": ["a", 5]},
    "a schema without a name": {"type": "object", "$schema": 7},
}


@VERSIONS
@pytest.mark.parametrize("schema", LOOSE.values(), ids=LOOSE)
def test_a_tool_with_a_loose_schema_can_be_called_and_takes_none_of_the_others_away(schema, version):
    async def main():
        peer = speaking(version, tools=[{"name": "loose", "inputSchema": schema}, tool("echo")])
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            tools = {each.name: each for each in seen.listings[-1].tools}
            assert list(tools) == ["loose", "echo"]
            assert tools["loose"].input_schema["type"] == "object"
            assert await seen.call("loose") == "loose"
            assert await seen.call("echo") == "echo"

    run_virtual(main)


@VERSIONS
def test_a_tool_without_any_schema_can_be_called(version, caplog):
    caplog.set_level(logging.INFO)

    async def main():
        async with watched(speaking(version, tools=[{"name": "bare"}]).server()) as seen:
            await seen.connection.ready()
            assert seen.listings[-1].tools[0].input_schema == {"type": "object"}
            assert await seen.call("bare") == "bare"

    run_virtual(main)
    assert told(caplog) == []
    assert told(caplog, logging.INFO) == [
        "server peer: entries that do not keep to the protocol are mended: "
        "tools[0] 'bare' (inputSchema: Field required)"
    ]


@VERSIONS
@pytest.mark.parametrize("schema", [{"type": "string"}, {"type": ["null"]}, {"type": 5}, "object", ["a"]])
def test_a_tool_that_no_arguments_can_reach_is_left_out_by_name(schema, version, caplog):
    async def main():
        peer = speaking(version, tools=[{"name": "odd\n", "inputSchema": schema}, tool("echo")])
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            assert [each.name for each in seen.listings[-1].tools] == ["echo"]

    run_virtual(main)
    (warning,) = told(caplog)
    assert r"tools[0] 'odd\n' (inputSchema" in warning


@VERSIONS
@pytest.mark.parametrize("schema", [{"type": "array"}, {}, {"anyOf": []}, {"type": "object", "required": 1}, [], "x"])
def test_results_are_not_held_against_an_output_schema_that_is_none_of_this_version(schema, version):
    async def answered(line, params):
        return {"content": [{"type": "text", "text": "fine"}], "structuredContent": {"a": 1}}

    async def main():
        peer = speaking(version, tools=[tool("loose", outputSchema=schema), tool("echo")])
        peer.on["loose"] = answered
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            assert [each.name for each in seen.listings[-1].tools] == ["loose", "echo"]
            if version in HANDSHAKE_PROTOCOL_VERSIONS or not isinstance(schema, dict):
                assert seen.listings[-1].tools[0].output_schema is None
                assert await seen.call("loose") == "fine"

    run_virtual(main)


@VERSIONS
def test_what_an_entry_can_do_without_is_taken_out_of_it(version, caplog):
    odd = {"title": 5, "description": ["x"], "icons": [{}], "_meta": []}
    lists = {
        "tools": [tool("t", annotations={"readOnlyHint": "who knows"}, **odd)],
        "prompts": [{"name": "p", "arguments": {}, **odd}],
        "resources": [{"name": "r", "uri": "a:b", "size": "big", "annotations": {"priority": 9}, **odd}],
        "resourceTemplates": [{"name": "m", "uriTemplate": "a:{b}", "mimeType": 1, "annotations": [], **odd}],
    }

    async def main():
        async with watched(speaking(version, **lists).server()) as seen:
            await seen.connection.ready()
            listing = seen.listings[-1]
            entries = [*listing.tools, *listing.prompts, *listing.resources, *listing.templates]
            assert [each.name for each in entries] == ["t", "p", "r", "m"]
            assert {(each.title, each.description, each.icons, each.meta) for each in entries} == {(None,) * 4}
            assert listing.tools[0].annotations is None

    run_virtual(main)
    assert told(caplog) == []


@VERSIONS
def test_what_an_entry_needs_is_not_taken_out_of_it(version, caplog):
    lists = {
        "prompts": [{"name": "p", "arguments": [{"title": "nameless"}]}, {"name": "q"}],
        "resources": [{"name": "r", "uri": 5}, {"uri": "a:b"}, {"name": "s", "uri": "a:c"}],
        "resourceTemplates": [{"name": "m"}, {"name": "n", "uriTemplate": "a:{b}"}],
    }

    async def main():
        async with watched(speaking(version, **lists).server()) as seen:
            await seen.connection.ready()
            listing = seen.listings[-1]
            entries = [*listing.prompts, *listing.resources, *listing.templates]
            assert [each.name for each in entries] == ["q", "s", "n"]

    run_virtual(main)
    assert [warning.partition("left out: ")[2] for warning in told(caplog)] == [
        "resources[0] 'r' (uri: Input should be a valid string), resources[1] (name: Field required)",
        "resourceTemplates[0] 'm' (uriTemplate: Field required)",
        "prompts[0] 'p' (arguments.0: Field required)",
    ]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
KEYWORDS = ("type", "properties", "required", "$schema", "oneOf")
SCHEMAS = VALUES | st.fixed_dictionaries({}, optional=dict.fromkeys(KEYWORDS, VALUES))
MEMBERS = ("name", "title", "description", "annotations", "icons", "_meta", "execution", "uri", "uriTemplate", "size")
ENTRIES = VALUES | st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys((*MEMBERS, "arguments"), VALUES),
        "name": st.text(),
        "inputSchema": SCHEMAS,
        "outputSchema": SCHEMAS,
    },
)


@given(st.sampled_from(list(KEYS)), st.sampled_from(KNOWN_PROTOCOL_VERSIONS), st.lists(ENTRIES, max_size=3))
def test_whatever_a_server_lists_the_sdk_takes_what_is_left_of_it(method, version, entries):
    good = {"name": "good", "uri": "a:b", "uriTemplate": "a:{b}", "inputSchema": {"type": "object"}}
    page = stamped(method, {KEYS[method]: [*entries, good]})
    left = sound("peer", method, version, page)
    parse_server_result(method, version, left)
    assert left[KEYS[method]][-1] == good
    assert sound("peer", method, version, left) is left


def test_a_list_is_looked_at_twice_at_the_most_however_odd_it_is(monkeypatch):
    looks = []

    def counted(method, version, page, inner=module._wrong):
        looks.append(len(page["tools"]))
        return inner(method, version, page)

    monkeypatch.setattr(module, "_wrong", counted)
    odd = [{"name": f"t{number}", "inputSchema": {"type": "object" if number % 3 else 5}} for number in range(300)]
    assert len(sound("peer", "tools/list", "2025-06-18", {"tools": odd})["tools"]) == 200
    assert looks == [300, 100]
    assert sound("peer", "tools/list", "2025-06-18", {"tools": odd[1:3]}) == {"tools": odd[1:3]}
    assert looks == [300, 100, 2]


@pytest.mark.parametrize("answer", [{"tools": "x"}, {}, {"tools": [], "nextCursor": 5}])
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


HINTS = {"ttlMs": [None, 1.5, "soon", [], -1], "cacheScope": [None, "shared", 5, []]}


@VERSIONS
@pytest.mark.parametrize(("hint", "value"), [(hint, value) for hint, values in HINTS.items() for value in values])
def test_a_hint_about_caching_that_cannot_be_read_is_none(hint, value, version, caplog):
    caplog.set_level(logging.INFO)

    async def main():
        peer = speaking(version)
        for method, key in KEYS.items():
            entry = {"name": "n", "uri": "a:b", "uriTemplate": "a:{b}", "inputSchema": {"type": "object"}}
            peer.on[method] = answering({key: [entry], hint: value})
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            listing = seen.listings[-1]
            for entries in (listing.tools, listing.prompts, listing.resources, listing.templates):
                assert [each.name for each in entries] == ["n"]
            assert listing.expires_at is None

    run_virtual(main)
    assert told(caplog) == []
    assert sorted(told(caplog, logging.INFO)) == [
        f"server peer: hints that do not keep to the protocol count as none: {hint} of {method}"
        for method in sorted(KEYS)
    ]


@VERSIONS
def test_a_resource_can_be_read_whatever_its_hints_about_caching_are(version):
    page = stamped("resources/read", {"contents": [], "ttlMs": None, "cacheScope": 1})
    parse_server_result("resources/read", version, sound("peer", "resources/read", version, page))


@pytest.mark.parametrize("modern", [True, False])
def test_a_list_that_is_null_is_an_empty_one(modern):
    async def main():
        async def nothing(line, params):
            return {"prompts": None}

        peer = Peer(modern=modern, legacy=not modern, on={"prompts/list": nothing})
        peer.tools = [tool("echo")]
        async with watched(peer.server(era="modern" if modern else "legacy")) as seen:
            await seen.connection.ready()
            assert [tool.name for tool in seen.listings[-1].tools] == ["echo"]
            assert seen.listings[-1].prompts == ()

    run_virtual(main)


def test_what_is_no_page_is_left_to_its_reader_and_a_null_list_is_empty():
    for answer in ({"tools": "x"}, {}):
        assert sound("peer", "tools/list", "2025-06-18", answer) == answer
    assert sound("peer", "tools/call", "2025-06-18", {"tools": None}) == {"tools": None}
    assert sound("peer", "tools/list", "2025-06-18", {"tools": None, "a": 1}) == {"tools": [], "a": 1}
