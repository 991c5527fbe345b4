"""What changes a catalog, and who hears of it."""

import pytest
from builders import Heard, catalog, listing, server, shown, tool

from recloser.catalog import Catalog, Revisions
from recloser.errors import CriticalError
from recloser.events import CatalogChanged


def test_a_first_listing_is_told():
    heard = Heard()
    made = Catalog([server("a")], emit=heard)
    made.update("a", listing("x", "y"))
    assert heard == [CatalogChanged(server="a", available=True, added=("a__x", "a__y"))]
    assert made.revisions == Revisions(tools=1)


def test_the_same_listing_again_is_no_change():
    made, heard = catalog(a=listing("x", prompts=["p"], resources=["r:1"], templates=["t:{x}"]))
    before = made.revisions
    made.update("a", listing("x", prompts=["p"], resources=["r:1"], templates=["t:{x}"], expires_at=5.0))
    assert heard == []
    assert made.revisions == before
    assert made.refresh_due(5.0) == ["a"]


def test_tools_that_come_and_go_are_told_by_name():
    made, heard = catalog(a=listing("x", "y"))
    made.update("a", listing("y", "z"))
    assert heard == [CatalogChanged(server="a", available=True, added=("a__z",), removed=("a__x",))]


def test_a_tool_that_is_described_anew_is_a_change():
    made, heard = catalog(a=listing(tool("x")))
    made.update("a", listing(tool("x", description="better")))
    assert heard == [CatalogChanged(server="a", available=True)]
    assert made.revisions.tools == 2


def test_another_order_is_shown_but_not_told_as_a_change():
    made, heard = catalog(a=listing("x", "y"))
    before = made.revisions
    made.update("a", listing("y", "x"))
    assert shown(made) == ["a__y", "a__x"]
    assert made.revisions == before
    assert heard == []


def test_what_cannot_be_seen_is_no_change():
    made, heard = catalog(server("a", exclude=["secret*"]), a=listing("x"))
    made.update("a", listing("x", "secret1", instructions="new"))
    assert heard == []


@pytest.mark.parametrize(
    ("offered", "revisions"),
    [
        (listing(prompts=["p"]), Revisions(prompts=1)),
        (listing(resources=["r:1"]), Revisions(resources=1)),
        (listing(templates=["t:{x}"]), Revisions(templates=1)),
    ],
)
def test_each_list_has_a_revision_of_its_own(offered, revisions):
    made, heard = catalog(server("a"))
    made.update("a", offered)
    assert made.revisions == revisions
    assert heard == [CatalogChanged(server="a", available=True)]


def test_an_outage_is_told_once_and_keeps_every_list():
    made, heard = catalog(a=listing("x", resources=["r:1"]))
    before = made.revisions
    made.set_available("a", False, since=1.0, code="timeout")
    made.set_available("a", False, since=1.0, code="timeout")
    made.set_available("a", False, since=1.0, code="circuit_open")
    assert heard == [CatalogChanged(server="a", available=False)]
    assert shown(made) == ["a__x"]
    assert made.list_tools()[0].meta["recloser/code"] == "circuit_open"
    assert made.list_resources()[0].meta["recloser/available"] is False
    made.set_available("a", True)
    assert heard[1:] == [CatalogChanged(server="a", available=True)]
    assert made.revisions == before


def test_a_listing_after_an_outage_makes_the_server_available():
    made, heard = catalog(a=listing("x"))
    made.set_available("a", False)
    made.update("a", listing("x"))
    assert heard[-1] == CatalogChanged(server="a", available=True)
    assert "recloser/available" not in made.list_tools()[0].meta


def test_a_server_that_was_never_listed_goes_down_unheard():
    made, heard = catalog(server("a"))
    made.set_available("a", False, code="unreachable")
    assert heard == []


def test_what_an_earlier_run_knew_is_shown_as_unavailable():
    made, heard = catalog(server("a"))
    made.restore("a", listing("x", expires_at=1.0))
    assert heard == [CatalogChanged(server="a", available=False, added=("a__x",))]
    assert made.list_tools()[0].meta["recloser/available"] is False
    assert made.refresh_due(2.0) == []


def test_a_listener_sees_the_catalog_as_it_is_afterwards():
    seen = []
    made = Catalog([server("a")], emit=lambda event: seen.append([each.name for each in made.list_tools()]))
    made.update("a", listing("x"))
    made.disable("a")
    assert seen == [["a__x"], []]


def test_servers_are_added_and_removed():
    made, heard = catalog(a=listing("x"))
    made.add_server(server("b"))
    made.update("b", listing("y", resources=["r:1"]))
    assert shown(made) == ["a__x", "b__y"]
    assert [each.name for each in made.servers] == ["a", "b"]
    heard.clear()
    made.remove_server("a")
    assert heard == [CatalogChanged(server="a", available=False, removed=("a__x",))]
    assert shown(made) == ["b__y"]
    with pytest.raises(CriticalError):
        made.tool("a__x")


def test_nothing_is_kept_of_a_server_that_is_removed():
    made, _ = catalog(a=listing("x", prompts=["p"], resources=["r:1"], templates=["t:{x}"]))
    made.remove_server("a")
    for index in (made._tools._index, made._prompts._index, made._resources._listed, made._resources._templates):
        assert not index._firm
        assert not index._aliases


def test_a_server_that_comes_back_begins_anew():
    made, _ = catalog(a=listing("x"), b=listing("y"))
    made.disable("a")
    made.remove_server("a")
    made.add_server(server("a"))
    assert made.enabled("a")
    assert made.listing("a") is None
    assert made.tool("a__x").provisional


def test_a_server_that_is_changed_keeps_its_place_its_names_and_its_tools():
    made, heard = catalog(server("a", priority=5), server("b"), names="bare", a=listing("x"), b=listing("x", "y"))
    made.settle_names()
    made.disable("y")
    heard.clear()
    made.replace_server(server("a", idempotent=["x"]))
    assert shown(made) == ["x", "b__x"]
    assert (made.tool("x").server, made.tool("x").safe) == ("a", True)
    assert [each.name for each in made.servers] == ["a", "b"]
    assert heard == []
    made.replace_server(server("b", exclude=["x"]))
    assert heard == [CatalogChanged(server="b", available=True, removed=("b__x",))]
    assert shown(made) == ["x"]


def test_a_name_that_two_servers_share_stays_refused_while_one_of_them_is_changed():
    made, _ = catalog(a=listing("x"), b=listing("x"))
    made.replace_server(server("a", priority=1))
    with pytest.raises(CriticalError, match="a__x"):
        made.tool("x")


def test_what_is_switched_off_stays_so_when_its_server_is_changed_unless_the_configuration_says_otherwise():
    made, _ = catalog(a=listing("x", "y"))
    made.disable("a__x")
    made.replace_server(server("a", priority=1))
    assert shown(made) == ["a__y"]
    made.replace_server(server("a", enabled=False))
    assert shown(made) == []
    made.replace_server(server("a"))
    assert shown(made) == ["a__y"]
    made.disable("a")
    made.replace_server(server("a", priority=2))
    assert not made.enabled("a")


def test_what_a_changed_server_does_not_list_any_more_is_gone_when_it_has_listed_anew():
    made, _ = catalog(a=listing("x", "y"))
    made.replace_server(server("a", priority=1))
    assert made.tool("a__z").provisional
    made.update("a", listing("y"))
    assert shown(made) == ["a__y"]
    with pytest.raises(CriticalError):
        made.tool("a__z")


def test_two_servers_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two servers named 'a'"):
        Catalog([server("a"), server("a")], emit=Heard())


def test_only_known_servers_are_changed():
    made, _ = catalog(server("search"))
    for change in (
        lambda: made.update("serch", listing()),
        lambda: made.restore("serch", listing()),
        lambda: made.set_available("serch", True),
        lambda: made.remove_server("serch"),
        lambda: made.listing("serch"),
        lambda: made.enabled("serch"),
    ):
        with pytest.raises(CriticalError, match="did you mean 'search'"):
            change()


@pytest.mark.parametrize("what", ["a", "a__x", "a.x", "x", "tag"])
def test_what_is_switched_off_is_gone_from_the_list_and_refused(what):
    made, heard = catalog(server("a", tool_tags={"x": ["tag"]}), server("b"), a=listing("x"), b=listing("y"))
    made.disable(what)
    made.disable(what)
    assert shown(made) == ["b__y"]
    assert heard == [CatalogChanged(server="a", available=True, removed=("a__x",))]
    for name in ("a__x", "a.x", "x"):
        with pytest.raises(CriticalError, match="is switched off here") as caught:
            made.tool(name)
        assert (caught.value.payload.code, caught.value.payload.server) == ("unknown_tool", "a")
    heard.clear()
    made.enable(what)
    assert heard == [CatalogChanged(server="a", available=True, added=("a__x",))]
    assert made.tool("x").server == "a"


def test_a_server_that_is_switched_off_shows_nothing():
    made, _ = catalog(
        a=listing("x", prompts=["p"], resources=["r:1"], templates=["t:{x}"], expires_at=1.0), b=listing()
    )
    made.disable("a")
    assert not made.list_tools()
    assert not made.list_prompts()
    assert not made.list_resources()
    assert not made.list_resource_templates()
    assert made.refresh_due(2.0) == []
    assert not made.enabled("a")
    for ask, name in (
        (made.prompt, "a__p"),
        (made.resource, "r:1"),
        (made.resource, "a:r:1"),
        (made.resource, "a:q:1"),
    ):
        with pytest.raises(CriticalError, match="switched off"):
            ask(name)


def test_a_tag_of_a_server_switches_all_of_it_off():
    made, _ = catalog(server("a", tags={"beta"}), a=listing("x", prompts=["p"], resources=["r:1"]))
    made.disable("beta")
    assert not made.list_tools()
    assert not made.list_prompts()
    assert not made.list_resources()
    assert not made.enabled("a")
    made.enable("beta")
    assert shown(made) == ["a__x"]


def test_a_tag_that_a_server_states_itself_can_be_switched_off():
    made, _ = catalog(a=listing(tool("x", meta={"tags": ["danger"]}), "y"))
    made.disable("danger")
    assert shown(made) == ["a__y"]


def test_a_server_that_is_configured_as_off_begins_so():
    made, _ = catalog(server("a", enabled=False), server("b"), a=listing("x"))
    assert shown(made) == []
    with pytest.raises(CriticalError, match="switched off"):
        made.tool("a__x")
    made.enable("a")
    assert shown(made) == ["a__x"]


def test_a_tool_can_be_switched_off_before_its_server_is_listed():
    made, _ = catalog(server("a"), server("b"))
    made.disable("a__x")
    with pytest.raises(CriticalError, match="switched off"):
        made.tool("a__x")
    made.update("a", listing("x", "y"))
    assert shown(made) == ["a__y"]


def test_what_nothing_is_called_cannot_be_switched():
    made, _ = catalog(server("a"), server("b"), b=listing("y", "same"))
    with pytest.raises(CriticalError, match="There is no tool 'nonsense'"):
        made.disable("nonsense")
    made.update("a", listing("same"))
    with pytest.raises(CriticalError, match="is offered by 'a' and 'b'"):
        made.disable("same")


def test_a_bare_name_is_good_again_when_the_other_that_has_it_is_switched_off():
    made, _ = catalog(a=listing("x"), b=listing("x"))
    made.disable("a")
    assert made.tool("x").server == "b"


def test_only_what_has_expired_is_due():
    made, _ = catalog(
        a=listing("x", expires_at=10.0), b=listing("y", expires_at=20.0), c=listing("z"), d=listing(expires_at=1.0)
    )
    made.set_available("d", False)
    made.add_server(server("e"))
    assert made.refresh_due(9.9) == []
    assert made.refresh_due(10.0) == ["a"]
    assert made.refresh_due(30.0) == ["a", "b"]


def test_all_listings_are_there_for_a_snapshot():
    made, _ = catalog(server("a"), server("b"), b=listing("y"))
    assert [(each.name, offered.tools[0].name) for each, offered in made.listings()] == [("b", "y")]
    assert made.listing("a") is None
    assert made.listing("b").tools[0].name == "y"
