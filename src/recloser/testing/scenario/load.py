"""What a load calls, and when: calls that come at a rate whatever happens, and callers that wait for their answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import mcp_types as types

from recloser.errors import ErrorPayload
from recloser.testing.scenario.records import MARKED, SAFE_TOOLS, CallSpec, Load
from recloser.testing.scenario.tools import READ_ONLY

__all__ = ["NothingToCallError", "arguments_for", "drive", "sampled", "specs_for"]

UNKNOWN: Final = "no_such_tool"
TEXTS: Final = frozenset({"echo", "write", "upsert"})
"""Tools of the built-in fleet that refuse a text that is none; the others take any argument besides their own."""
TICK: Final = 1e-6
"""Seconds before the end in which nothing begins any more: so little a clock may not be able to wait for."""
SAMPLES: Final[Mapping[str, Any]] = {"string": "test", "integer": 1, "number": 1.0, "boolean": False}
"""What is given for an argument that is required and of which no more is known than its type."""


class NothingToCallError(ValueError):
    """A load has no tool that it could call; `unavailable` are the servers of it that did not come up, and why."""

    def __init__(self, message: str, unavailable: Mapping[str, ErrorPayload]) -> None:
        super().__init__(message)
        self.unavailable = unavailable


def specs_for(
    load: Load,
    servers: Sequence[str],
    marked: frozenset[str],
    offered: Mapping[str, Sequence[types.Tool]],
    problems: Mapping[str, ErrorPayload] = MappingProxyType({}),
) -> list[CallSpec]:
    """Return the kinds of calls that a load makes.

    Args:
        load: it.
        servers: the names of all servers.
        marked: those that `marked` stands for.
        offered: the tools of each server, under its own names, to choose read-only ones from.
        problems: why servers are not available.

    Raises:
        NothingToCallError: there are none.
    """

    def meant(name: str, by: Sequence[str]) -> bool:
        return name in by or (MARKED in by and name in marked)

    called = [name for name in servers if not load.servers or meant(name, load.servers)]
    if READ_ONLY in load.tools:
        found = [spec for name in called for spec in _read_only(name, offered.get(name, ()))]
    else:
        found = [
            CallSpec(server=name, tool=tool, safe=tool in SAFE_TOOLS, weight=weight)
            for name in called
            for tool, weight in load.tools.items()
        ]
    found += [replace(call, server=name) for call in load.calls for name in servers if meant(name, (call.server,))]
    if not found:
        unavailable = {name: problems[name] for name in called if name in problems}
        raise NothingToCallError(f"load {load.name!r} has nothing to call: {_why(called, unavailable)}", unavailable)
    return found


def _why(called: Sequence[str], unavailable: Mapping[str, ErrorPayload]) -> str:
    reasons = [f"{name} is not available: {payload.message.rstrip('.')}" for name, payload in unavailable.items()]
    there = [name for name in called if name not in unavailable]
    if there or not called:
        reasons.append(
            f"none of {', '.join(there) or 'no servers'} offers a tool that says it is read-only; name calls of your "
            'own in the scenario: calls = [{ server = "…", tool = "…", arguments = { … }, safe = true }]'
        )
    return "; ".join(reasons)


def _read_only(server: str, tools: Sequence[types.Tool]) -> Iterator[CallSpec]:
    for tool in tools:
        said = tool.annotations
        given = sampled(tool.input_schema)
        if said is not None and said.read_only_hint and given is not None:
            yield CallSpec(server=server, tool=tool.name, arguments=given, safe=True)


def sampled(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return arguments that a tool's input schema suggests, for what it requires; None where it suggests nothing."""
    properties = schema.get("properties") or {}
    given = {}
    for name in schema.get("required") or ():
        told = properties.get(name) or {}
        for key in ("const", "default"):
            if key in told:
                given[name] = told[key]
                break
        else:
            choices = told.get("examples") or told.get("enum") or [SAMPLES.get(str(told.get("type")))]
            given[name] = choices[0]
        if given[name] is None:
            return None
    return given


def arguments_for(spec: CallSpec, load: Load, label: str) -> tuple[str, Mapping[str, Any]]:
    """Return the tool and the arguments of a call of the built-in fleet; what its server writes down is their `text`.

    The label stands in it, also behind a text of the call's own, so that no two calls are one to who counts.
    """
    if spec.arguments:
        text = spec.arguments.get("text", "")
        if spec.tool in TEXTS and not isinstance(text, str):
            return spec.tool, spec.arguments  # wrong on purpose, and never run
        return spec.tool, {**spec.arguments, "text": f"{text} {label}".lstrip()}
    match spec.tool:
        case "add":
            return spec.tool, {"a": 1, "b": 2, "text": label}
        case "sleep":
            return spec.tool, {"seconds": load.seconds, "text": label}
        case "big":
            return spec.tool, {"bytes": load.bytes, "text": label}
        case "unknown":
            return UNKNOWN, {"text": label}
        case "bad_arguments":
            return "echo", {"text": 5}
        case "ask":
            return spec.tool, {"kind": "elicitation", "text": label}
        case _:
            return spec.tool, {"text": label}


async def drive(
    load: Load,
    specs: Sequence[CallSpec],
    make: Callable[[CallSpec], Awaitable[None]],
    *,
    numbers: random.Random,
    over: float,
    begun: float,
) -> None:
    """Make a load's calls from its beginning to its end; returns when the last one has been begun, or has ended.

    Args:
        load: it.
        specs: the kinds of its calls.
        make: makes one call and returns when it has ended.
        numbers: chooses what is called and when.
        over: when the scenario ends, in seconds since it began.
        begun: the moment of the event loop at which it began.
    """
    loop = asyncio.get_running_loop()
    end = begun + (over if load.end is None else min(load.end, over))
    weights = [spec.weight for spec in specs]
    left = load.total

    def chosen() -> CallSpec | None:
        nonlocal left
        if loop.time() >= end - TICK or left == 0:
            return None
        left = None if left is None else left - 1
        return numbers.choices(specs, weights)[0]

    async def call_again() -> None:
        while (spec := chosen()) is not None:
            await make(spec)
            await asyncio.sleep(load.pause)

    await asyncio.sleep(max(0.0, begun + load.begin - loop.time()))
    async with asyncio.TaskGroup() as group:
        if load.kind == "closed":
            for _ in range(load.callers):
                group.create_task(call_again())
            return
        due = loop.time()
        while (spec := chosen()) is not None:
            group.create_task(_one(make, spec))
            # Counted from when it was due: an open load does not slow down because the loop is late.
            due += numbers.expovariate(load.rate)
            await asyncio.sleep(min(due, end) - loop.time())


async def _one(make: Callable[[CallSpec], Awaitable[None]], spec: CallSpec) -> None:
    await make(spec)
