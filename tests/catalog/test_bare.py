"""Bare names: who holds one, and what becomes of the others."""

import pytest
from builders import catalog, listing, server, shown

from recloser.catalog import qualify
from recloser.errors import CriticalError
from recloser.events import CatalogChanged


def test_tools_and_prompts_are_shown_under_their_own_names():
    made, _ = catalog(names="bare", a=listing("x-y", prompts=["p"]), b=listing("z"))
    made.settle_names()
    assert shown(made) == ["x-y", "z"]
    assert [each.name for each in made.list_prompts()] == ["p"]
    entry = made.tool("z")
    assert (entry.name, entry.qualified) == ("z", "b__z")
    assert made.tool("b__z") is made.tool("b.z") is entry


def test_a_collision_at_start_is_refused_naming_both():
    made, _ = catalog(names="bare", a=listing("x"), b=listing("x"))
    with pytest.raises(ValueError, match="'x' is a tool of both 'a' and 'b'"):
        made.settle_names()


def test_many_collisions_are_refused_in_one_sentence():
    made, _ = catalog(names="bare", a=listing(*"pqrstu"), b=listing(*"pqrstu"))
    with pytest.raises(ValueError, match="; and 3 more; set a priority"):
        made.settle_names()


def test_qualified_names_never_collide():
    made, _ = catalog(a=listing("x"), b=listing("x"))
    made.settle_names()
    assert shown(made) == ["a__x", "b__x"]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_the_higher_priority_holds_the_name_whoever_is_listed_first(order):
    made, heard = catalog(server("a"), server("b", priority=5), names="bare")
    for name in order:
        made.update(name, listing("x"))
    made.settle_names()
    assert shown(made) == ["a__x", "x"]
    assert made.tool("x").server == "b"
    assert made.tool("a__x").server == "a"
    last = {event.server: event for event in heard}
    assert last["a"].shadowed == ("x",)
    assert last["b"].shadowed == ()


def test_a_name_that_is_taken_over_at_start_is_told_of_both():
    made, heard = catalog(server("a"), server("b", priority=5), names="bare", a=listing("x"))
    made.update("b", listing("x"))
    assert heard == [
        CatalogChanged(server="b", available=True, added=("x",)),
        CatalogChanged(server="a", available=True, added=("a__x",), removed=("x",), shadowed=("x",)),
    ]


def test_at_run_time_the_first_holder_keeps_the_name_whatever_the_priority():
    made, heard = catalog(server("a"), names="bare", a=listing("x"))
    made.settle_names()
    made.add_server(server("b", priority=9))
    made.update("b", listing("x", "y"))
    assert shown(made) == ["x", "b__x", "y"]
    assert heard == [CatalogChanged(server="b", available=True, added=("b__x", "y"), shadowed=("x",))]
    assert made.tool("x").server == "a"
    made.settle_names()


def test_a_server_that_comes_too_late_for_its_bare_names_is_told_of_once_in_the_log(caplog):
    made, _ = catalog(server("a"), server("b"), server("c", priority=1), names="bare", a=listing("x", "y"))
    made.update("c", listing("y"))
    made.settle_names()
    assert not caplog.records
    made.update("b", listing("x", "z"))
    made.set_available("b", False)
    made.update("b", listing("x", "y"))
    assert [record.getMessage() for record in caplog.records] == [
        "server b: other servers have these names, so its own stay qualified: x",
        "server b: other servers have these names, so its own stay qualified: y",
    ]


def test_settling_again_refuses_nothing_that_has_come_since():
    made, _ = catalog(server("a"), names="bare", a=listing("x"))
    made.settle_names()
    made.add_server(server("b"))
    made.update("b", listing("x"))
    made.settle_names()
    assert made.tool("x").server == "a"


def test_a_holder_that_is_down_or_switched_off_keeps_its_name():
    made, _ = catalog(server("a"), server("b", priority=-1), names="bare", a=listing("x"), b=listing("x"))
    made.settle_names()
    made.set_available("a", False)
    assert made.tool("x").server == "a"
    made.disable("a")
    assert shown(made) == ["b__x"]
    with pytest.raises(CriticalError, match="switched off"):
        made.tool("x")


def test_a_name_whose_holder_is_gone_goes_to_the_next():
    made, heard = catalog(server("a"), server("b", priority=-1), names="bare", a=listing("x"), b=listing("x"))
    made.settle_names()
    made.remove_server("a")
    assert shown(made) == ["x"]
    assert made.tool("b__x") is made.tool("x")
    assert heard == [
        CatalogChanged(server="a", available=False, removed=("x",)),
        CatalogChanged(server="b", available=True, added=("x",), removed=("b__x",)),
    ]
    made.update("b", listing())
    assert shown(made) == []


def test_a_name_that_looks_qualified_is_never_shown_bare():
    made, _ = catalog(names="bare", a=listing("b__x", ""), b=listing("x"))
    made.settle_names()
    assert shown(made) == ["a__b__x", "a__", "x"]
    assert made.tool("b__x").server == "b"


def test_a_name_with_a_dot_is_never_shown_bare_but_can_be_said():
    made, _ = catalog(names="bare", a=listing("x.y", prompts=["p.q"]), b=listing("z"))
    made.settle_names()
    assert shown(made) == [qualify("a", "x.y"), "z"]
    assert made.tool("x.y") is made.tool("a.x.y") is made.tool(qualify("a", "x.y"))
    assert made.prompt("p.q").server == "a"


@pytest.mark.parametrize("names", ["qualified", "bare"])
def test_a_tool_that_is_called_like_anothers_dotted_name_takes_nothing_over(names):
    made, heard = catalog(server("bank", priority=10), names=names, bank=listing("pay", prompts=["bill"]))
    made.settle_names()
    before = shown(made)
    made.add_server(server("evil"))
    made.update("evil", listing("bank.pay", prompts=["bank.bill"]))
    assert shown(made)[:1] == before
    assert heard[-1].shadowed == ()
    for find, name in ((made.tool, "bank.pay"), (made.prompt, "bank.bill")):
        with pytest.raises(CriticalError, match=r"'bank'.* 'evil'"):
            find(name)
    made.remove_server("bank")
    assert made.tool("bank.pay").server == "evil"


@pytest.mark.parametrize("names", ["qualified", "bare"])
def test_a_dotted_name_of_a_server_that_is_not_listed_yet_is_taken_over_by_none(names):
    made, _ = catalog(server("bank"), server("evil"), names=names, evil=listing("bank.pay"))
    with pytest.raises(CriticalError, match=r"'bank'.* 'evil'"):
        made.tool("bank.pay")
    assert made.tool("bank.pay", "evil").server == "evil"
    assert made.tool("bank.pay", "bank").server == "bank"
    made.update("bank", listing("earn"))
    assert made.tool("bank.pay").server == "evil"
    made.remove_server("bank")
    made.add_server(server("bank"))
    made.disable("bank")
    assert made.tool("bank.pay").server == "evil"


def test_a_server_whose_name_makes_anothers_tool_ambiguous_renames_nothing():
    made, _ = catalog(server("a"), names="bare", a=listing("b.x"))
    made.settle_names()
    before = shown(made)
    made.add_server(server("b"))
    made.update("b", listing("x"))
    assert shown(made) == [*before, "x"]
    assert made.tool(before[0]).server == "a"
    with pytest.raises(CriticalError, match=r"'a'.* 'b'"):
        made.tool("b.x")


def test_prompts_of_one_name_do_not_keep_a_router_from_starting():
    made, _ = catalog(names="bare", a=listing(prompts=["p"]), b=listing(prompts=["p"]))
    made.settle_names()
    assert [each.name for each in made.list_prompts()] == ["p", "b__p"]
    assert made.prompt("p").server == "a"


def test_of_several_that_wait_for_a_name_the_highest_priority_gets_it():
    servers = [server("a", priority=3), server("b", priority=1), server("c", priority=2)]
    made, _ = catalog(*servers, names="bare", a=listing("x"), b=listing("x"), c=listing("x"))
    made.settle_names()
    made.remove_server("a")
    assert shown(made) == ["b__x", "x"]
    assert made.tool("x").server == "c"
