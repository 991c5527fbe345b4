"""Qualified names: valid everywhere, never shared, readable back."""

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from recloser.catalog import qualify
from recloser.catalog.names import MAX_NAME, read_back
from recloser.options import Server

VALID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_server_name(name):
    try:
        Server(name, command="x")
    except ValueError:
        return False
    return True


# Few letters on purpose: names that are nearly alike are where names could meet.
servers = st.one_of(
    st.text("ab_.-0", min_size=1, max_size=6),
    st.text("ab_.-0", min_size=20, max_size=70),
).filter(is_server_name)
tools = st.one_of(
    st.text("ab_.-0é ", max_size=6),
    st.text("ab_.-0", min_size=20, max_size=90),
    st.text(max_size=20),
    st.from_regex(r"[ab_.]{0,4}_[0-9a-f]{10}", fullmatch=True),
)


@given(servers, tools)
def test_a_name_is_valid_for_every_llm_api(server, tool):
    assert VALID.fullmatch(qualify(server, tool))


@given(servers, tools, servers, tools)
@example("a", "_x", "a", "x")
@example("a", "__x", "a", "_x")
@example("a.b", "x", "a_b", "x")
@example("a-b", "x", "a_b", "x")
@example("a", "b__c", "a", "b_c")
@example("a", "x.y", "a", qualify("a", "x.y").removeprefix("a__"))
@example("a", "x" * 80, "a", qualify("a", "x" * 80).removeprefix("a__"))
@example("a" * 64, "x", "a" * 65, "x")
@example("a", "", "a", "_")
@example("a", "\ud800", "a", "\ud801")
def test_two_tools_never_share_a_name(server, tool, other_server, other_tool):
    assume((server, tool) != (other_server, other_tool))
    assert qualify(server, tool) != qualify(other_server, other_tool)


@given(servers, tools)
def test_a_name_always_tells_that_it_is_qualified(server, tool):
    assert "__" in qualify(server, tool)


@given(servers, tools)
def test_a_plain_name_is_read_back_exactly_and_an_altered_one_is_known_as_the_servers(server, tool):
    name = qualify(server, tool)
    own = read_back(name, server)
    assert own is not None
    if name == f"{server}__{tool}":
        assert own == tool


@given(st.text("ab_-0", min_size=1, max_size=6).filter(is_server_name), st.text("ab_-0", max_size=6), servers)
def test_a_plain_name_is_read_back_for_no_other_server(server, tool, other):
    assume(server != other)
    assert qualify(server, tool) == f"{server}__{tool}"
    assert read_back(f"{server}__{tool}", other) is None


@pytest.mark.parametrize(
    ("server", "tool", "name"),
    [
        ("search", "web", "search__web"),
        ("search", "web-2_x", "search__web-2_x"),
        ("a", "_x", "a___x"),
        ("web.search", "find", "web_search__find_"),
        ("search", "web.find", "search__web_find_"),
        ("search", "läuft", "search__l_uft_"),
    ],
)
def test_a_name_stays_as_close_to_the_original_as_it_can(server, tool, name):
    made = qualify(server, tool)
    assert made == name if not name.endswith("_") else re.fullmatch(re.escape(name) + "[0-9a-f]{10}", made)


def test_a_long_name_keeps_the_beginnings_of_both_parts():
    made = qualify("a-rather-long-name-of-a-server-somewhere", "and-a-tool-whose-name-does-not-end")
    assert made.startswith("a-rather-long-name-of-a-__and-a-tool-whose-name-does-_")
    assert len(made) == MAX_NAME


def test_a_name_is_the_same_in_every_process():
    assert qualify("web.search", "find") == "web_search__find_e53e5facd0"


def test_a_name_without_the_servers_beginning_is_not_the_servers():
    assert read_back("docs__web", "search") is None
    assert read_back(qualify("docs.x", "web"), "search") is None
