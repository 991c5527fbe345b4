"""How the name of a tool or prompt leads to its server, and how it is shown."""

import mcp_types as types
import pytest
from builders import Heard, catalog, listing, server, shown, tool

from recloser.catalog import Catalog, Listing, qualify
from recloser.errors import CriticalError


def refused(call, *arguments, **options):
    with pytest.raises(CriticalError) as caught:
        call(*arguments, **options)
    return caught.value.payload


def test_a_tool_is_found_by_every_form_of_its_name():
    made, _ = catalog(search=listing("web"), files=listing("grep"))
    entry = made.tool("search__web")
    assert (entry.name, entry.qualified, entry.server, entry.own) == ("search__web", "search__web", "search", "web")
    assert entry.tool.name == "web"
    assert entry.shown.name == "search__web"
    assert not entry.provisional
    for name, of in [
        ("search.web", None),
        ("web", None),
        ("web", "search"),
        ("search__web", "search"),
        ("search.web", "search"),
    ]:
        assert made.tool(name, of) is entry


def test_names_with_dots_are_found_by_every_form():
    made, _ = catalog(server("web.search"), server("web"), **{"web.search": listing("find.all"), "web": listing("go")})
    entry = made.tool(qualify("web.search", "find.all"))
    assert entry.own == "find.all"
    assert made.tool("web.search.find.all") is entry
    assert made.tool("find.all") is entry
    assert made.tool("find.all", "web.search") is entry


def test_a_name_that_two_servers_have_is_refused_naming_both():
    made, _ = catalog(search=listing("web"), docs=listing("web"))
    payload = refused(made.tool, "web")
    assert payload.code == "unknown_tool"
    assert payload.message == (
        "The tool 'web' is offered by 'search' and 'docs'; say which: 'search__web' and 'docs__web'"
    )
    assert payload.next_action == "fix_arguments"
    assert made.tool("web", "docs").server == "docs"


def test_a_dotted_name_that_fits_two_tools_is_refused():
    made, _ = catalog(server("a"), server("a.b"), **{"a": listing("b.c"), "a.b": listing("c")})
    assert "'a' and 'a.b'" in refused(made.tool, "a.b.c").message


def test_a_name_with_a_seam_has_no_bare_form_lest_it_be_taken_for_another_servers():
    made, _ = catalog(gateway=listing("search__web"), search=listing("web"))
    assert made.tool("search__web").server == "search"
    assert made.tool("gateway__search__web").server == "gateway"
    assert made.tool("search__web", "gateway").server == "gateway"


def test_an_unknown_tool_names_what_comes_nearest():
    made, _ = catalog(search=listing("web", "images", "news"), files=listing("grep"))
    payload = refused(made.tool, "search__wep")
    assert (payload.code, payload.tool, payload.server) == ("unknown_tool", "search__wep", None)
    assert payload.message.startswith("There is no tool 'search__wep'; did you mean 'search__web'")
    payload = refused(made.tool, "wep", "search")
    assert payload.server == "search"
    assert payload.message == "There is no tool 'wep' of server 'search'; did you mean 'web'?"


def test_an_unknown_tool_that_resembles_nothing_is_told_how_to_go_on():
    made, _ = catalog(search=listing("web"))
    assert refused(made.tool, "zzz").message == "There is no tool 'zzz'; list the tools to see what there is"


def test_a_name_of_any_length_is_refused_in_a_short_sentence():
    made, _ = catalog(search=listing("web"))
    payload = refused(made.tool, "x" * 1_000_000)
    assert len(payload.message) < 400
    assert len(payload.tool) <= 128


def test_the_nearest_names_are_found_among_very_many():
    made, _ = catalog(**{f"s{i}": listing(*(f"tool{j}" for j in range(50))) for i in range(40)}, zoo=listing("giraffe"))
    assert "'zoo__giraffe'" in refused(made.tool, "zoo__girafe").message


def test_an_unknown_server_is_refused_with_the_nearest():
    made, _ = catalog(search=listing("web"), files=listing())
    payload = refused(made.tool, "web", "serch")
    assert payload.code == "unknown_server"
    assert payload.message == "There is no server 'serch'; did you mean 'search'?"
    assert refused(made.tool, "web", "xyz").message == "There is no server 'xyz'; known are 'search' and 'files'"
    made, _ = catalog(*map(server, "abcde"))
    assert refused(made.tool, "web", "xyz").message == "There is no server 'xyz'; known are 'a', 'b', 'c' and 2 more"
    assert refused(Catalog([], emit=Heard()).prompt, "x", "xyz").message == "There is no server 'xyz'; none is"


@pytest.mark.parametrize("name", ["search__web", "search.web", "web"])
def test_a_server_not_listed_yet_is_asked_rather_than_its_tool_called_unknown(name):
    made, _ = catalog(server("search"), server("files"), files=listing("grep"))
    entry = made.tool(name)
    assert (entry.server, entry.own, entry.qualified, entry.name) == ("search", "web", "search__web", "search__web")
    assert entry.provisional
    assert entry.shown is None


@pytest.mark.parametrize(
    ("name", "own", "qualified"),
    [("web", "web", "search__web"), ("search.web", "web", "search__web"), ("search__web", "web", "search__web")],
)
def test_a_server_not_listed_yet_is_asked_when_it_is_named_apart(name, own, qualified):
    made, _ = catalog(server("search"), server("files"))
    entry = made.tool(name, "search")
    assert (entry.own, entry.qualified, entry.provisional) == (own, qualified, True)


def test_an_altered_name_leads_to_its_server_before_that_is_listed():
    long = "x" * 70
    made, _ = catalog(server("web.search"), server("a-rather-long-name-of-a-server"), server("other"))
    assert made.tool(qualify("web.search", "find")).server == "web.search"
    entry = made.tool(qualify("a-rather-long-name-of-a-server", long))
    assert (entry.server, entry.provisional) == ("a-rather-long-name-of-a-server", True)
    assert entry.qualified == qualify("a-rather-long-name-of-a-server", long)


def test_a_dotted_name_leads_to_the_longest_server_that_is_not_listed_yet():
    made, _ = catalog(server("a"), server("a.b"), server("c"))
    assert (made.tool("a.b.x").server, made.tool("a.b.x").own) == ("a.b", "x")


def test_a_bare_name_that_several_unlisted_servers_may_have_is_refused_naming_them():
    made, _ = catalog(server("search"), server("docs"), server("files"), files=listing("grep"))
    payload = refused(made.tool, "web")
    assert payload.message.endswith("(not listed so far, and may have it: 'search' and 'docs')")


def test_a_name_of_a_listed_server_never_goes_to_one_that_is_not_listed():
    made, _ = catalog(server("search"), server("files"), files=listing("grep"))
    assert refused(made.tool, "files__gone").code == "unknown_tool"
    assert refused(made.tool, "files.gone").code == "unknown_tool"
    assert refused(made.tool, "gone", "files").server == "files"


def test_a_tool_that_is_hidden_is_unknown_listed_or_not():
    servers = [server("files", include=["read_*", "grep"], exclude=["*_secret"]), server("b")]
    made, _ = catalog(*servers)
    assert made.tool("files__read_all").provisional
    for name in ("files__write", "files.write", "files__read_secret"):
        assert refused(made.tool, name).code == "unknown_tool"
    assert refused(made.tool, "write", "files").code == "unknown_tool"
    made.update("files", listing("read_all", "read_secret", "write", "grep", "GREP"))
    assert shown(made) == ["files__read_all", "files__grep"]
    assert refused(made.tool, "files__write").code == "unknown_tool"


def test_a_tool_that_an_earlier_run_did_not_know_is_asked_for_until_the_server_is_listed():
    made, _ = catalog(server("search"))
    made.restore("search", listing("web"))
    assert not made.tool("search__web").provisional
    assert made.tool("search__new").provisional
    made.update("search", listing("web"))
    assert refused(made.tool, "search__new").code == "unknown_tool"


def test_what_an_earlier_run_knew_never_replaces_what_this_one_has_listed():
    made, heard = catalog(search=listing("web"))
    made.restore("search", listing("old"))
    assert shown(made) == ["search__web"]
    assert heard == []


def test_a_server_that_is_down_keeps_its_tools_marked():
    made, _ = catalog(search=listing(tool("web", meta={"own": 1})), files=listing("grep"))
    made.set_available("search", False, since=12.5, code="unreachable")
    web, grep = made.list_tools()
    assert web.meta == {
        "own": 1,
        "recloser/server": "search",
        "recloser/available": False,
        "recloser/since": 12.5,
        "recloser/code": "unreachable",
    }
    assert grep.meta == {"recloser/server": "files"}
    made.set_available("search", False)
    assert made.list_tools()[0].meta == {"own": 1, "recloser/server": "search", "recloser/available": False}
    assert made.tool("search__web").server == "search"


def test_an_outage_changes_nothing_that_goes_into_a_prompt():
    made, _ = catalog(search=listing(tool("web", description="Search.")))
    before = made.list_tools()[0].model_dump(exclude={"meta"})
    made.set_available("search", False, code="timeout")
    assert made.list_tools()[0].model_dump(exclude={"meta"}) == before


def test_the_servers_own_models_are_not_changed():
    own = tool("web")
    made, _ = catalog(search=listing(own))
    assert (own.name, own.meta) == ("web", None)
    assert made.tool("search__web").tool is own


def test_tools_are_shown_in_the_order_of_configuration_then_in_the_servers():
    made, _ = catalog(server("b"), server("a"))
    made.update("a", listing("z", "y"))
    made.update("b", listing("x", "w"))
    assert shown(made) == ["b__x", "b__w", "a__z", "a__y"]


def test_a_tool_that_is_listed_twice_counts_once(caplog):
    made, _ = catalog(a=listing(tool("x", description="first"), tool("x", description="second")))
    assert [each.description for each in made.list_tools()] == ["first"]
    assert "server a lists 1 tools twice" in caplog.text


def test_of_two_tools_whose_altered_names_are_made_to_meet_one_is_left_out(monkeypatch, caplog):
    monkeypatch.setattr("recloser.catalog.names._hash", lambda server, tool: "0123456789")
    made, _ = catalog(a=listing("x.y", "x y", "z"))
    assert shown(made) == ["a__x_y_0123456789", "a__z"]
    assert "share the name a__x_y_0123456789" in caplog.text
    made.update("a", listing("x y"))
    assert made.tool("a__x_y_0123456789").own == "x y"
    made.remove_server("a")
    assert shown(made) == []


@pytest.mark.parametrize(
    ("options", "hints", "safe"),
    [
        ({}, {}, False),
        ({}, {"read_only_hint": True}, False),
        ({"trusted": True}, {}, False),
        ({"trusted": True}, {"read_only_hint": True}, True),
        ({"trusted": True}, {"idempotent_hint": True}, True),
        ({"trusted": True}, {"read_only_hint": False, "idempotent_hint": False}, False),
        ({"idempotent": ["x"]}, {}, True),
        ({"idempotent": ["y"]}, {}, False),
        ({"idempotent": ["*"]}, {}, True),
    ],
)
def test_what_is_safe_to_repeat_is_said_by_configuration_or_a_trusted_server(options, hints, safe):
    made, _ = catalog(server("a", **options), a=listing(tool("x", **hints)))
    assert made.tool("a__x").safe is safe


def test_configuration_says_what_is_safe_before_the_server_is_listed():
    made, _ = catalog(server("a", idempotent=["x"], trusted=True))
    assert made.tool("a__x").safe
    assert not made.tool("a__y").safe


def test_tags_come_from_configuration_and_from_the_server_itself():
    made, _ = catalog(
        server("a", tags={"all"}, tool_tags={"x": ["mine"]}),
        a=listing(
            tool("x", meta={"tags": ["own", 3]}),
            tool("y", meta={"fastmcp": {"tags": ["fast"]}, "_fastmcp": {"tags": ["old"]}}),
            tool("z", meta={"tags": "no list", "fastmcp": "no mapping"}),
        ),
    )
    assert made.tool("a__x").tags == {"all", "mine", "own"}
    assert made.tool("a__y").tags == {"all", "fast", "old"}
    assert made.tool("a__z").tags == {"all"}
    assert shown(made, tags={"mine", "fast"}) == ["a__x", "a__y"]
    assert shown(made, tags=set()) == []


def test_a_list_is_the_callers_own():
    made, _ = catalog(a=listing("x"))
    made.list_tools().clear()
    assert shown(made) == ["a__x"]


def test_a_list_is_built_once_until_something_changes():
    made, _ = catalog(a=listing("x"), b=listing("y"))
    first = made.list_tools(tags=None)
    assert all(one is other for one, other in zip(first, made.list_tools(), strict=True))
    made.update("b", listing("z"))
    assert shown(made) == ["a__x", "b__z"]


def test_asking_for_ever_new_tags_keeps_few_lists():
    made, _ = catalog(a=listing("x"))
    for number in range(200):
        assert shown(made, tags={str(number)}) == []
    assert len(made._lists._kept) <= 64


def test_prompts_are_named_like_tools():
    made, _ = catalog(a=listing(prompts=["review"]), b=listing(prompts=["plan"]))
    assert [each.name for each in made.list_prompts()] == ["a__review", "b__plan"]
    entry = made.prompt("a__review")
    assert (entry.server, entry.own, entry.provisional) == ("a", "review", False)
    assert made.prompt("a.review") is made.prompt("review") is made.prompt("review", "a") is entry
    payload = refused(made.prompt, "reviw")
    assert (payload.code, payload.tool) == ("invalid_request", None)
    made.add_server(server("c"))
    assert made.prompt("c__x").provisional
    assert made.prompt("c__x").qualified == "c__x"


def test_prompts_bear_the_tags_of_their_server_and_their_own():
    own = types.Prompt(name="y", _meta={"tags": ["mine"]})
    made, _ = catalog(server("a", tags={"t"}), server("b"), a=listing(prompts=["x"]), b=Listing(prompts=(own,)))
    assert [each.name for each in made.list_prompts(tags={"t"})] == ["a__x"]
    assert [each.name for each in made.list_prompts(tags={"mine"})] == ["b__y"]


def test_a_reference_to_complete_is_put_in_the_servers_words():
    made, _ = catalog(a=listing(prompts=["review"], templates=["db://{table}"]), b=listing(resources=["db://x"]))
    assert made.completion(types.PromptReference(name="a__review", title="T")) == (
        "a",
        types.PromptReference(name="review", title="T"),
    )
    for uri in ("db://{table}", "a:db://{table}"):
        assert made.completion(types.ResourceTemplateReference(uri=uri)) == (
            "a",
            types.ResourceTemplateReference(uri="db://{table}"),
        )
    assert made.completion(types.ResourceTemplateReference(uri="b:db://x"))[0] == "b"
    assert made.completion(types.ResourceTemplateReference(uri="db://{table}"), "a")[0] == "a"
