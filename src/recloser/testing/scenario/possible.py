"""What a strike or a load cannot do: keys that its kind does not know, words that mean nothing, arguments that do not
fit, servers that cannot be struck.

Nothing that a scenario says is ignored: what cannot be done is a mistake of its file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from recloser.config.mistakes import nearest
from recloser.testing.faulty.faults import LISTS
from recloser.testing.faulty.plan import Order
from recloser.testing.faulty.work import TOOLS as OFFERED
from recloser.testing.proxy.kinds import check_share, check_stream, checked
from recloser.testing.scenario.load import UNKNOWN
from recloser.testing.scenario.records import TOOLS, FleetServer, Strike, StrikeKind, finite
from recloser.testing.scenario.tools import NEEDED, make_policy

__all__ = ["CALLED", "Problem", "problems", "unheeded", "unknown"]

Problem: TypeAlias = tuple[tuple[str, ...], str]
"""Where in the table of a strike something is wrong, and what."""

SERVED: Final = tuple(each["name"] for each in OFFERED)
"""The tools of a server of the built-in fleet."""

CALLED: Final = tuple(dict.fromkeys((*TOOLS, *SERVED)))
"""The tools that `calls` may name there."""

STRUCK: Final = (*SERVED, UNKNOWN)
"""The tools whose calls can be struck there."""

METHODS: Final = (
    *("tools/call", *LISTS, "resources/read", "prompts/get", "completion/complete", "ping", "logging/setLevel"),
    *("initialize", "server/discover", "subscriptions/listen", "resources/subscribe", "resources/unsubscribe"),
    *("notifications/initialized", "notifications/cancelled", "notifications/progress"),
    *("notifications/roots/list_changed", "GET", "DELETE", "start", "response", "*"),
)
"""What `on` may name; `x/*` stands for all below x."""

UNHEEDED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({"open": ("callers", "pause"), "closed": ("rate",)})
"""The keys that a load of a kind does not heed."""

ASKED: Final[Mapping[str, str]] = MappingProxyType({"seconds": "sleep", "bytes": "big"})
"""What a load says for one tool alone."""

NARROWING: Final = ("tool", "on", "after", "times")
"""The keys that say which messages are struck, and how many of them."""

TAKEN: Final[Mapping[StrikeKind, tuple[frozenset[str], str]]] = MappingProxyType(
    {
        "fault": (frozenset(NARROWING), ""),
        "policy": (frozenset({"tool"}), "a policy strikes the calls of a tool, as often as its argument rate says"),
        "toxic": (frozenset(), "a proxy knows bytes and no messages"),
        "action": (frozenset(), "an action strikes all of a server, or what is around us, once"),
    }
)
"""Which of them each kind of strike takes, and why it takes no others."""

ACTION_ARGUMENTS: Final[Mapping[str, Mapping[str, type]]] = MappingProxyType(
    {"memory": {"megabytes": float}, "clock_step": {"seconds": float}, "collector_down": {"refuse": bool}}
)
"""What actions can be told; all others can be told nothing."""


def unknown(word: str, known: Sequence[str]) -> tuple[str, str]:
    """Return what is said of a word that means nothing, and the nearest word that is known, or all of them."""
    close = nearest(word, known)
    hint = f"did you mean {close!r}?" if close else f"known: {', '.join(known)}"
    return f"unknown: {json.dumps(word, ensure_ascii=False)}", hint


def unheeded(said: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield everything that a load says and that nothing would heed; `said` are the fields of `Load` that it says."""
    kind, tools = said.get("kind", "open"), {*said["tools"], *(call.tool for call in said["calls"])}
    other = "closed" if kind == "open" else "open"
    for key in UNHEEDED[kind]:
        if key in said:
            yield (key,), f"only a load of kind {other!r} has {key}, and this one is {kind!r}"
    if "cancel_after" in said and not said.get("cancel"):
        yield ("cancel_after",), "no caller gives up: say cancel, the share of calls that are given up"
    for key, tool in ASKED.items():
        if key in said and tool not in tools:
            yield (key,), f"only the tool {tool!r} is asked for {key}, and this load does not call it"


def problems(
    kind: StrikeKind, name: str, fields: Mapping[str, Any], servers: Mapping[str, FleetServer]
) -> Iterator[Problem]:
    """Yield everything that a strike says and that cannot be done.

    Args:
        kind: what it is.
        name: which of that kind; it is known.
        fields: what it says beside that, as in `Strike`.
        servers: those of the built-in fleet that it strikes.
    """
    yield from _ignored(kind, name, fields)
    arguments = fields.get("arguments", {})
    match kind:
        case "fault":
            yield from _fault(name, arguments, fields, servers)
        case "policy":
            yield from _policy(name, arguments, fields.get("tool"))
            if servers and "tool" in fields and not any(fnmatchcase(each, fields["tool"]) for each in STRUCK):
                yield ("tool",), "; ".join(unknown(fields["tool"], STRUCK))
        case "toxic":
            yield from _toxic(name, arguments)
            for each in servers.values():
                if each.transport == "stdio":
                    yield (
                        ("server",),
                        f"no proxy can stand before {each.name!r}: it is reached over stdio; use a policy",
                    )
        case _:
            yield from _action(name, arguments, servers)


def _ignored(kind: StrikeKind, name: str, fields: Mapping[str, Any]) -> Iterator[Problem]:
    taken, why = TAKEN[kind]
    for key in NARROWING:
        if key in fields and key not in taken:
            yield (key,), f"{name} takes no {key}: {why}"
    if name == "kill" and "until" in fields:
        yield ("until",), "a kill is over at once; action = 'down' keeps a server down"


def _refused(make: Callable[[], object], place: tuple[str, ...]) -> Iterator[Problem]:
    try:
        make()
    except (ValueError, TypeError) as error:
        yield place, str(error)


def _each(make: Callable[[Mapping[str, Any]], object], arguments: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with each argument by itself; with all of them together where each is right."""
    together = [*_refused(partial(make, arguments), ("arguments",))]
    alone = [
        problem
        for key, value in (arguments if together else {}).items()
        for problem in _refused(partial(make, {key: value}), ("arguments",))
    ]
    yield from alone or together


def _policy(name: str, arguments: Mapping[str, Any], tool: str | None) -> Iterator[Problem]:
    needed = NEEDED.get(name, {})
    if not needed.keys() <= arguments.keys():
        made = Strike(kind="policy", name=name, arguments={})
        yield from _refused(partial(make_policy, made, seed=0), ("arguments",))

    def make(said: Mapping[str, Any]) -> object:
        # One that is missing is told above, and hides nothing here.
        narrowed = tool if said is arguments else None
        return make_policy(Strike(kind="policy", name=name, arguments={**needed, **said}, tool=narrowed), seed=0)

    yield from _each(make, arguments)


def _fault(
    name: str, arguments: Mapping[str, Any], fields: Mapping[str, Any], servers: Mapping[str, FleetServer]
) -> Iterator[Problem]:
    wrong = [*_each(lambda said: Order.of(name, arguments=said), arguments)]
    yield from wrong
    if wrong:
        return
    order = Order.of(name, arguments=arguments)
    narrowed = {key: fields[key] for key in ("tool", "on") if key in fields}
    if "tool" in fields and fields["tool"] not in STRUCK:
        yield ("tool",), "; ".join(unknown(fields["tool"], STRUCK))
    if "on" in fields and not _is_method(fields["on"]):
        yield ("on",), "; ".join(unknown(fields["on"], METHODS))
    else:
        yield from _refused(partial(Order.of, name, arguments=arguments, **narrowed), ("tool",))
    for each in servers.values():
        for _, why in _refused(partial(order.check, each.transport, each.era), ()):
            yield ("server",), f"{each.name}: {why}"


def _is_method(pattern: str) -> bool:
    return pattern in METHODS or (pattern.endswith("/*") and any(each.startswith(pattern[:-1]) for each in METHODS))


def _toxic(name: str, arguments: Mapping[str, Any]) -> Iterator[Problem]:
    if name == "down":
        yield from _unknown(name, arguments, ())
        return
    more = {"stream": check_stream, "toxicity": check_share}
    for key, check in more.items():
        if key in arguments:
            yield from _refused(partial(check, arguments[key]), ("arguments", key))
    numbers = {key: value for key, value in arguments.items() if key not in more}
    yield from _refused(partial(checked, name, numbers), ("arguments",))


def _action(name: str, arguments: Mapping[str, Any], servers: Mapping[str, FleetServer]) -> Iterator[Problem]:
    known = ACTION_ARGUMENTS.get(name, {})
    yield from _unknown(name, arguments, known)
    for key, kind in known.items():
        value = arguments.get(key, kind())
        if kind is bool and not isinstance(value, bool):
            yield ("arguments", key), f"expected true or false, found {value!r}"
        elif kind is float and not finite(value):
            yield ("arguments", key), f"expected a number, found {value!r}"
    if name == "partition":
        for each in servers.values():
            if each.transport == "stdio":
                yield ("server",), f"{each.name} is spoken to over stdio: there is no network to cut"
            elif not each.namespace:
                yield ("server",), f"{each.name} has no network of its own; set namespace = true"


def _unknown(name: str, arguments: Mapping[str, Any], known: Mapping[str, Any] | tuple[str, ...]) -> Iterator[Problem]:
    for key in arguments:
        if key not in known:
            yield ("arguments", key), f"{name} has no argument {key!r}; known: {', '.join(known) or 'none'}"
