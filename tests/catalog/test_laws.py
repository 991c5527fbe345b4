"""What holds for every catalog, whatever happens to it in whatever order."""

from contextlib import suppress

import mcp_types as types
from builders import Heard, listing, server
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from recloser import Retry
from recloser.catalog import Catalog, qualify
from recloser.errors import CriticalError

NAMES = ["a", "a.b", "a-b", "b", "x"]
TOOLS = ["x", "y", "_x", "b.c", "c", "a__x", "b", "é", "z" * 70, qualify("a", "b.c").removeprefix("a__")]

name = st.sampled_from(NAMES)
offered = st.lists(st.sampled_from(TOOLS), max_size=5)


class Changes(RuleBasedStateMachine):
    """A catalog, and next to it plainly what has been done to it."""

    @initialize(order=st.permutations(NAMES), count=st.integers(1, 5), names=st.sampled_from(["qualified", "bare"]))
    def begin(self, order, count, names):
        self.bare = names == "bare"
        self.heard = Heard()
        self.catalog = Catalog([server(each) for each in order[:count]], names=names, emit=self.heard)
        self.servers = dict.fromkeys(order[:count])
        self.up = dict.fromkeys(self.servers, False)
        self.off = set()
        self.told = {}
        self.ever = {}

    @rule(server=name, tools=offered)
    def is_listed(self, server, tools):
        if server in self.servers:
            self.catalog.update(server, listing(*tools, prompts=tools, resources=[f"r:{each}" for each in tools]))
            self.servers[server], self.up[server] = list(dict.fromkeys(tools)), True

    @rule(server=name, up=st.booleans())
    def goes_up_or_down(self, server, up):
        if server in self.servers:
            self.catalog.set_available(server, up, code=None if up else "timeout")
            self.up[server] = up

    @rule(server_name=name)
    def comes(self, server_name):
        if server_name not in self.servers:
            self.catalog.add_server(server(server_name))
            self.servers[server_name], self.up[server_name] = None, False

    @rule(server=name)
    def leaves(self, server):
        if server in self.servers:
            self.catalog.remove_server(server)
            del self.servers[server], self.up[server]
            self.off.discard(server)

    @rule(server_name=name, cost=st.integers(1, 9))
    def is_changed(self, server_name, cost):
        if server_name in self.servers:
            before = [each.name for each in self.catalog.list_tools()]
            self.catalog.replace_server(server(server_name, retry=Retry(cost=cost)))
            assert [each.name for each in self.catalog.list_tools()] == before

    @rule(server=name, on=st.booleans())
    def is_switched(self, server, on):
        if server in self.servers:
            (self.catalog.enable if on else self.catalog.disable)(server)
            (self.off.discard if on else self.off.add)(server)

    @precondition(lambda self: self.bare)
    @rule()
    def the_start_ends(self):
        with suppress(ValueError):
            self.catalog.settle_names()

    def visible(self):
        return [(each, own) for each, owns in self.servers.items() if owns and each not in self.off for own in owns]

    @invariant()
    def everything_offered_is_shown_once_in_order_under_names_of_its_own(self):
        shown = self.catalog.list_tools()
        entries = [self.catalog.tool(each.name) for each in shown]
        assert [(entry.server, entry.own) for entry in entries] == self.visible()
        assert len({each.name for each in shown}) == len(shown)
        assert all(entry.shown is each for entry, each in zip(entries, shown, strict=True))
        prompts = [self.catalog.prompt(each.name) for each in self.catalog.list_prompts()]
        assert [(entry.server, entry.own) for entry in prompts] == self.visible()
        uris = [each.uri for each in self.catalog.list_resources()]
        assert len(set(uris)) == len(uris)
        found = [self.catalog.resource(uri) for uri in uris]
        assert [(entry.server, entry.uri.removeprefix("r:")) for entry in found] == self.visible()

    @invariant()
    def a_qualified_name_never_changes_its_meaning(self):
        for each, own in self.visible():
            entry = self.catalog.tool(qualify(each, own))
            assert (entry.server, entry.own, entry.qualified) == (each, own, qualify(each, own))
            assert self.ever.setdefault(entry.qualified, (each, own)) == (each, own)

    @invariant()
    def every_form_leads_to_its_tool_or_is_refused_but_never_to_another(self):
        offers = [(each, own) for each, owns in self.servers.items() for own in owns or ()]
        for each, own in self.visible():
            assert self.catalog.tool(own, each).own == own
            assert self.catalog.tool(qualify(each, own), each).server == each
            for name in (f"{each}.{own}", own):
                # Who is switched off keeps a bare name that is shown, but has no say in whether an alias is good.
                shown = self.bare and "." not in name
                rivals = offers if shown else self.visible()
                answer = [(one, other) for one, other in rivals if name in (f"{one}.{other}", other)]
                try:
                    entry = self.catalog.tool(name)
                except CriticalError:
                    unlisted = [one for one, owns in self.servers.items() if owns is None and one not in self.off]
                    expected = any(name.startswith(f"{one}.") for one in unlisted)
                    assert len(answer) > 1 or "__" in name or expected
                else:
                    assert (entry.server, entry.own) in answer or entry.qualified == name
                    assert len(answer) == 1 or shown or "__" in name

    @invariant()
    def a_server_that_is_down_keeps_what_it_last_offered(self):
        for each in self.catalog.list_tools():
            owner = each.meta["recloser/server"]
            assert each.meta.get("recloser/available", True) is self.up[owner]

    @invariant()
    def who_only_listens_knows_what_is_shown(self):
        for event in self.heard:
            known = self.told.setdefault(event.server, {})
            for gone in event.removed:
                del known[gone]
            for new in event.added:
                assert new not in known
                known[new] = None
        self.heard.clear()
        shown = {}
        for each in self.catalog.list_tools():
            assert isinstance(each, types.Tool)
            shown.setdefault(each.meta["recloser/server"], set()).add(each.name)
        assert {each: set(known) for each, known in self.told.items() if known} == shown


Changes.TestCase.settings = settings(max_examples=60, stateful_step_count=25)
TestChanges = Changes.TestCase
