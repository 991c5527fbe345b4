"""Scenario files: TOML to a checked scenario, with every mistake told at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from recloser.config.mistakes import Place, Report
from recloser.config.reading import read
from recloser.config.schema import check
from recloser.config.servers import Layer, make_record, make_server
from recloser.config.values import Values
from recloser.options import Server
from recloser.testing.faulty import FAULTS
from recloser.testing.scenario.possible import CALLED, problems, unheeded, unknown
from recloser.testing.scenario.records import (
    ACTIONS,
    OURSELVES,
    TOOLS,
    CallSpec,
    FleetServer,
    Limits,
    Load,
    Scenario,
    Strike,
    finite,
)
from recloser.testing.scenario.rules import GOALS, OPEN, RULES
from recloser.testing.scenario.schema import CALL, LIMITS, LOAD, SCENARIO, SERVER, STRIKE, STRIKES
from recloser.testing.scenario.tools import POLICIES, READ_ONLY, TOXICS

__all__ = ["load_scenario"]

_ARRAY: Final = re.compile(r"\s*\[\[\s*([A-Za-z0-9_-]+)\s*\]\]\s*(?:#.*)?")
_TABLE: Final = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?")
_KEY: Final = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*")(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"))*)\s*=""")
_PART: Final = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*\"""")


def load_scenario(path: Path) -> Scenario:
    """Return the scenario that a TOML file describes, checked.

    Raises:
        ConfigurationError: with every mistake in it, each with file, line, place and the nearest known word.
    """
    document = read(path)
    report = Report(str(path), dict(_places(path.read_text(encoding="utf-8-sig"))))
    scenario = _Reading(document.data, report, path).scenario()
    report.close(str)
    assert scenario is not None  # or there was a mistake
    return scenario


class _Reading:
    """One reading of one file; what changes is the report, written by all methods."""

    def __init__(self, data: Mapping[str, Any], report: Report, path: Path) -> None:
        self._data = data
        self._report = report
        self._path = path

    def scenario(self) -> Scenario | None:
        """Return the scenario as far as it is right; what is wrong is in the report."""
        top = check(SCENARIO, self._data, (), self._report)
        fleet = top.get("fleet", "built-in")
        self._own = fleet == "config"
        servers = self._servers(top.pop("servers", None))
        self._fleet = servers
        # A mistake in the list of servers would make a mistake of every place that names one.
        self._names_known = not self._report.wrong_below(("servers",))
        loads = [self._load(place, raw) for place, raw in self._tables(top, "load")]
        self._check_names(loads)
        strikes = [each for place, raw in self._tables(top, "timeline") for each in [self._strike(place, raw)]]
        said = self._checked(LIMITS, top.pop("limits", None) or {}, ("limits",))
        limits = self._made(Limits, said, ("limits",))
        rules = self._rules(top.pop("rules", ()))
        raw_says = top.pop("raw", "red")
        for key in ("title", "proves"):
            if not top.get(key) and key not in self._report.wrong_below(()):
                self._report.mistake((key,), "expected a sentence")
        if not servers and not self._own and not self._report.wrong_below(("servers",)):
            self._report.mistake(("servers",), "expected the servers of the fleet, [servers.<name>]")
        if not loads:
            self._report.mistake(("load",), "expected a load, [[load]]")
        made: Scenario | None = self._made(
            Scenario,
            top,
            (),
            name=self._path.stem,
            title=top.pop("title", ""),
            proves=top.pop("proves", ""),
            rules=rules,
            servers=servers,
            loads=tuple(load for load in loads if load is not None),
            timeline=tuple(strike for strike in strikes if strike is not None),
            limits=limits or Limits(),
            raw_holds=None if raw_says == "red" else raw_says,
            source=str(self._path),
        )
        if made is not None and "duration" not in self._report.wrong_below(()):
            self._in_time(made.duration, loads, strikes)
        return made

    def _in_time(self, duration: float, loads: Sequence[Load | None], strikes: Sequence[Strike | None]) -> None:
        spans = [("load", index, "begin", each.begin, "end", each.end) for index, each in enumerate(loads) if each]
        spans += [("timeline", index, "at", each.at, "until", each.until) for index, each in enumerate(strikes) if each]
        for table, index, first, begin, last, end in spans:
            beyond = [(first, begin)] if begin >= duration else []
            if end is not None and end > duration:
                beyond.append((last, end))
            for key, moment in beyond:
                self._report.mistake((table, index, key), f"the scenario ends after {duration:g} s, before {moment:g}")

    def _tables(self, top: dict[str, Any], key: str) -> Iterator[tuple[Place, Any]]:
        raw = top.pop(key, None) or []
        if not isinstance(raw, Sequence) or isinstance(raw, str):
            self._report.mistake((key,), f"expected tables [[{key}]]")
            return
        for index, each in enumerate(raw):
            yield (key, index), each

    def _checked(self, model: type[BaseModel], raw: Any, place: Place) -> dict[str, Any]:
        return check(model, raw, place, self._report)

    def _made(self, record: Callable[..., Any], said: Mapping[str, Any], place: Place, **settled: Any) -> Any:
        """Return a record, or None; a value that is wrong by itself is a mistake at its own place."""
        return make_record(partial(record, **settled), said, place, self._report)

    def _rules(self, said: Any) -> tuple[str, ...]:
        known = (*RULES, *GOALS)
        rules = tuple(map(str, said)) if isinstance(said, Sequence) and not isinstance(said, str) else ()
        for index, rule in enumerate(rules):
            if rule in rules[:index]:
                self._report.mistake(("rules", index), f"{rule} is said twice")
            elif rule in OPEN:
                self._report.mistake(("rules", index), f"rule {rule} cannot be judged yet: {OPEN[rule]}")
            elif rule not in known:
                self._unknown(("rules", index), rule, known)
        if not rules:
            self._report.mistake(("rules",), f"expected a list of the rules that are judged, of {', '.join(known)}")
        return rules

    def _unknown(self, place: Place, word: str, known: Sequence[str]) -> None:
        self._report.mistake(place, *unknown(word, known))

    # --- servers

    def _servers(self, raw: Any) -> dict[str, FleetServer]:
        if raw is None:
            return {}
        if self._own:
            self._report.mistake(("servers",), "a scenario for your own servers takes them from --config")
            return {}
        if not isinstance(raw, Mapping):
            self._report.mistake(("servers",), "expected tables [servers.<name>]")
            return {}
        made = {name: self._server(name, said, ("servers", name)) for name, said in raw.items()}
        return {name: server for name, server in made.items() if server is not None}

    def _server(self, name: str, raw: Any, place: Place) -> FleetServer | None:
        said = self._checked(SERVER, raw, place)
        facts = {key: said.pop(key) for key in ("transport", "era", "namespace") if key in said}
        if facts.get("namespace") and facts.get("transport", "http") != "http":
            self._report.mistake((*place, "namespace"), "only a server over http has a network")
        options = self._options(name, {"trusted": True, "command": "-", **said}, place)
        return None if options is None else FleetServer(name=name, options=options, **facts)

    def _options(self, name: str, said: dict[str, Any], place: Place) -> Server | None:
        """Return the server's options, checked by the same code as those of a configuration."""
        from recloser.config.schema import SERVER as OPTIONS

        plain = {key: value for key, value in said.items() if value is not None}
        checked = {**self._checked(OPTIONS, plain, place), "command": "-"}
        values = Values(self._report, environ={}, base=Path(), workspace=Path())
        return make_server(name, (Layer(place, {}), Layer(place, checked)), self._report, values)

    def _named(self, said: Any, place: Place) -> tuple[str, ...]:
        """Return the servers that are named, one or several; `marked` stands for those of the user's own."""
        names = (said,) if isinstance(said, str) else tuple(said) if isinstance(said, Sequence) else ()
        if not all(isinstance(name, str) for name in names) or not isinstance(said, Sequence):
            self._report.mistake(place, "expected the name of a server, or a list of them")
            return ()
        if not self._own and self._names_known:
            for name in names:
                if name not in self._fleet:
                    self._unknown(place, name, tuple(self._fleet))
        return names

    # --- loads

    def _load(self, place: Place, raw: Any) -> Load | None:
        said = self._checked(LOAD, raw, place)
        said["name"] = said.get("name") or f"load {int(place[-1]) + 1}"
        said["servers"] = self._named(said.get("servers", ()), (*place, "servers"))
        said["calls"] = tuple(self._calls(said.get("calls", ()), (*place, "calls")))
        tools = said.get("tools") or {}
        said["tools"] = tools
        if tools == READ_ONLY:
            said["tools"] = {READ_ONLY: 1.0}
            if not self._own:
                self._report.mistake((*place, "tools"), "'read-only' is for your own servers, fleet = 'config'")
        elif self._own and tools:
            expected = "expected 'read-only', or calls = [{ server = …, tool = …, arguments = { … } }]"
            self._report.mistake((*place, "tools"), f"these tools are the built-in fleet's; {expected}")
        else:
            said["tools"] = self._weights(tools, (*place, "tools"))
        if not said.get("tools") and not said["calls"] and not {"tools", "calls"} & self._report.wrong_below(place):
            self._report.mistake(place, "expected tools, or calls: what is called")
        wrong = self._report.wrong_below(place)
        if not {"kind", "tools", "calls", "cancel"} & wrong:
            for key, message in unheeded(said):
                self._report.mistake((*place, *key), message)
        load: Load | None = self._made(Load, said, place, name=said.pop("name"))
        return load

    def _check_names(self, loads: Sequence[Load | None]) -> None:
        """Tell of a load that has the name of an earlier one: the two would make the same calls at the same moments."""
        names = [None if load is None else load.name for load in loads]
        for index, name in enumerate(names):
            if name is not None and name in names[:index]:
                self._report.mistake(("load", index, "name"), f"another load has the name {name!r} already")

    def _weights(self, tools: Any, place: Place) -> dict[str, float]:
        if not isinstance(tools, Mapping):
            self._report.mistake(place, "expected a table of tools and their weights: { echo = 3, write = 1 }")
            return {}
        found = {}
        for tool, weight in tools.items():
            if tool not in TOOLS:
                self._unknown((*place, tool), tool, tuple(TOOLS))
            elif not finite(weight):
                self._report.mistake((*place, tool), f"expected a number, found {weight!r}")
            elif weight <= 0:
                self._report.mistake((*place, tool), f"expected a weight of more than 0, found {weight!r}")
            else:
                found[tool] = float(weight)
        return found

    def _calls(self, raw: Any, place: Place) -> Iterator[CallSpec]:
        if not isinstance(raw, Sequence) or isinstance(raw, str):
            self._report.mistake(place, "expected a list of tables { server = …, tool = …, arguments = { … } }")
            return
        for index, each in enumerate(raw):
            said = self._checked(CALL, each, (*place, index))
            missing = [key for key in ("server", "tool") if not said.get(key)]
            for key in missing:
                self._report.mistake((*place, index, key), f"expected the name of a {key}")
            if not missing:
                self._named(said["server"], (*place, index, "server"))
                if not self._own and said["tool"] not in CALLED:
                    self._unknown((*place, index, "tool"), said["tool"], CALLED)
                named = {key: said.pop(key) for key in ("server", "tool")}
                yield self._made(CallSpec, said, (*place, index), **named)

    # --- the timeline

    def _strike(self, place: Place, raw: Any) -> Strike | None:
        said = self._checked(STRIKE, raw, place)
        given = [kind for kind in STRIKES if said.get(kind) is not None]
        if len(given) != 1:
            if not set(STRIKES) & self._report.wrong_below(place):
                words = " and ".join(given) or "none of them"
                self._report.mistake(place, f"expected exactly one of {', '.join(STRIKES)}, found {words}")
            return None
        kind: Any = given[0]
        name = said.pop(kind)
        fields = {key: value for key, value in said.items() if key not in STRIKES and key != "server"}
        ours = kind == "action" and name in OURSELVES
        servers = self._named(said.get("server", ()), (*place, "server"))
        if ours and servers:
            self._report.mistake((*place, "server"), f"{name} strikes this process and no server")
        if not ours and not servers:
            self._report.mistake((*place, "server"), f"expected the server, or servers, that {name} strikes")
        self._check_strike(place, kind, name, servers, fields)
        strike: Strike | None = self._made(Strike, fields, place, kind=kind, name=name, servers=servers)
        return strike

    def _check_strike(
        self, place: Place, kind: Any, name: str, servers: Sequence[str], fields: Mapping[str, Any]
    ) -> None:
        known: Mapping[str, Any] = {"fault": FAULTS, "action": ACTIONS, "policy": POLICIES, "toxic": TOXICS}[kind]
        if name not in known:
            self._unknown((*place, kind), name, tuple(known))
        elif self._own and (kind == "fault" or (kind == "action" and name not in OURSELVES | {"kill"})):
            self._report.mistake((*place, kind), f"{name} needs the built-in fleet; use a policy or a toxic")
        else:
            struck = {each: self._fleet[each] for each in servers if each in self._fleet}
            for key, message in problems(kind, name, fields, struck):
                self._report.mistake((*place, *key), message)


def _places(text: str) -> Iterator[tuple[Place, int]]:
    """Yield the place and line of the tables and of the keys that stand on lines of their own."""
    table: Place = ()
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if found := _ARRAY.fullmatch(line):
            index = counts[found[1]] = counts.get(found[1], -1) + 1
            table = (found[1], index)
            yield table, number
        elif found := _TABLE.fullmatch(line):
            parts = _parts(found[1])
            if parts[0] in counts:
                # A table below the last one of an array.
                parts = (parts[0], counts[str(parts[0])], *parts[1:])
            table = parts
            yield table, number
        elif found := _KEY.match(line):
            yield (*table, *_parts(found[1])), number


def _parts(text: str) -> Place:
    return tuple(part.strip('"') for part in _PART.findall(text))
