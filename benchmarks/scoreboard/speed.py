"""What each peer costs where nothing is wrong, side by side in one run; and what a server costs that keeps failing.

python -m benchmarks.scoreboard.speed [--peers a,b] [--rounds 3] [--quick] [--catalog] [--json FILE] [--write]

Every round asks every peer in turn, each at its defaults and in its own environment, as the scoreboard does. A ratio is
the median over rounds of a peer's figure over that of `mcp.Client` in the same round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Final

from .environments import Missing, measured_on, python_of
from .fleet import Piped, Served
from .hosting import Gone, Hosted, hosted
from .peers import OPEN, PEERS, Peer
from .speed_page import BASE, FIGURES, render, terminal

__all__ = ["Pace", "main"]

DEADLINE: Final = 5.0
OPENING: Final = 60.0
"""Seconds that a peer may take to start on its servers."""
FEW: Final = 2
TOOLS: Final = 50
ROOT: Final = Path(__file__).parents[2]
STOCKED: Final = ROOT / "benchmarks" / "servers" / "stocked.py"
REFUSES: Final = {"fault": "status_503", "times": None, "on": None, "arguments": {}}


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How much is measured: seconds of each load, and the number of servers of the larger host."""

    load: float = 1.5
    many: int = 10
    rest: float = 0.5
    """Seconds without a call before memory is read."""
    stocked: int = 200
    """Servers of the catalog, with `TOOLS` tools each."""
    lists: int = 5
    """How often the catalog is listed again."""


QUICK: Final = Pace(load=0.5, many=5, rest=0.2, stocked=10, lists=3)


@asynccontextmanager
async def _servers(stdio: int, http: Sequence[str]) -> AsyncIterator[dict[str, Piped | Served]]:
    """Prepare servers: `s0` and on over stdio, the others over HTTP by name."""
    with TemporaryDirectory(prefix="speed-") as place:
        async with AsyncExitStack() as stack:
            found: dict[str, Piped | Served] = {}
            for name in [f"s{number}" for number in range(stdio)]:
                found[name] = Piped(name, "legacy")
                stack.push_async_callback(found[name].close)
            for name in http:
                found[name] = await Served.start(name, "legacy", Path(place))
                stack.push_async_callback(found[name].close)
            yield found


async def _open(host: Hosted, servers: Mapping[str, Piped | Served], within: float) -> float:
    """Start the peer on its servers; return the seconds until each of them has answered a call."""
    begun = monotonic()
    addresses = [dict(server.address) for server in servers.values()]
    await host.send("open", servers=addresses, deadline=DEADLINE, tuned=False)
    await host.wait("opened", within=within)
    for number, name in enumerate(servers):
        await host.send("call", number=number, server=name, tool="echo", text=name, timeout=within, safe=True)
    ended = 0.0
    for number in range(len(servers)):
        outcome = (await host.wait("called", number=number, within=within))["outcome"]
        if not outcome[2]:
            raise RuntimeError(outcome[3])
        ended = max(ended, outcome[1])
    return ended - begun


async def _load(host: Hosted, seconds: float, names: Sequence[str]) -> list[list[Any]]:
    """Let one caller call each of the servers without a pause; return the outcomes of the second half of the time."""
    for name in names:
        await host.send("load", name=name, server=name, tool="echo", pause=0, timeout=DEADLINE, safe=True)
    await host.pause(seconds)
    outcomes = []
    for name in names:
        await host.send("stop", name=name)
        outcomes += (await host.wait("stopped", name=name, within=3 * DEADLINE))["outcomes"]
    half = (min(each[0] for each in outcomes) + max(each[1] for each in outcomes)) / 2
    return [each for each in outcomes if each[0] >= half] or outcomes


def _times(outcomes: Sequence[Sequence[Any]], *, succeeded: bool) -> list[float]:
    return sorted(each[1] - each[0] for each in outcomes if each[2] is succeeded)


async def _single(host: Hosted, peer: Peer, pace: Pace, seen: dict[str, float]) -> None:
    """A host with one server for each transport, and one that fails: the time of single calls."""
    over = [each for each in ("stdio", "http") if each in peer.transports]
    async with _servers(1, ["web", "failing"] if "http" in over else []) as servers:
        await _open(host, servers, OPENING + peer.starting)
        for transport in over:
            took = _times(await _load(host, pace.load, ["s0" if transport == "stdio" else "web"]), succeeded=True)
            seen[f"{transport}_p50"] = statistics.median(took)
            seen[f"{transport}_p99"] = took[min(len(took) - 1, int(0.99 * len(took)))]
        if "http" in over:
            await servers["failing"].behave(REFUSES)
            # Longer, for a circuit to open first, or whatever else a peer learns.
            took = _times(await _load(host, 3 * pace.load, ["failing"]), succeeded=False)
            if took:
                seen["failing"] = statistics.median(took)


async def _few(host: Hosted, peer: Peer, pace: Pace, seen: dict[str, float]) -> None:
    """A host with few servers over stdio: its memory, which that of many is compared with."""
    async with _servers(FEW, []) as servers:
        await _open(host, servers, OPENING + peer.starting)
        await host.pause(pace.rest)
        seen["_few"] = private(os.getpid())


async def _many(host: Hosted, peer: Peer, pace: Pace, seen: dict[str, float]) -> None:
    """A host with many servers over stdio: its start, calls to all of them at once, and its memory."""
    async with _servers(pace.many, []) as servers:
        seen["start"] = await _open(host, servers, OPENING + peer.starting)
        await host.pause(pace.rest)
        seen["memory"] = max(0.0, (private(os.getpid()) - seen["_few"]) / (pace.many - FEW))
        outcomes = [each for each in await _load(host, pace.load, list(servers)) if each[2]]
        took = max(each[1] for each in outcomes) - min(each[0] for each in outcomes)
        seen["many"] = took / len(outcomes)


@asynccontextmanager
async def _stock(servers: int) -> AsyncIterator[list[dict[str, Any]]]:
    """Run one process with so many servers over HTTP, and return their addresses."""
    command = (sys.executable, str(STOCKED), str(servers), str(TOOLS))
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None  # it is a pipe
        async with asyncio.timeout(OPENING):
            port = int(await process.stdout.readline())
        yield [{"name": f"s{number}", "url": f"http://127.0.0.1:{port}/{number}/mcp"} for number in range(servers)]
    finally:
        process.kill()
        await process.wait()


async def _catalog(host: Hosted, peer: Peer, pace: Pace, seen: dict[str, float]) -> None:
    """A host with very many servers and tools: until it knows them all, and listing them once more."""
    async with _stock(pace.stocked) as addresses:
        begun = monotonic()
        await host.send("open", servers=addresses, deadline=DEADLINE, tuned=False)
        await host.wait("opened", within=OPENING + peer.starting)
        took = []
        for number in range(1 + pace.lists):
            # What is asked for is the number of tools: the answer is right where it says the same.
            call = {"server": "", "tool": "", "text": str(pace.stocked * TOOLS), "timeout": OPENING, "safe": True}
            await host.send("call", number=number, **call)
            outcome = (await host.wait("called", number=number, within=2 * OPENING))["outcome"]
            if not outcome[2]:
                raise RuntimeError(f"its list: {outcome[3]}")
            took.append(outcome[1] - (outcome[0] if number else begun))
        seen["catalog"], seen["list"] = took[0], statistics.median(took[1:])


async def measure(
    peer: Peer, python: str, pace: Pace, *, catalog_only: bool = False
) -> tuple[dict[str, float], str | None, dict[str, str]]:
    """Return one peer's figures in seconds and bytes, why some are missing, and its versions."""
    parts = [] if catalog_only else [(_single, peer), (_few, peer), (_many, peer)]
    parts += [] if peer.lister is None else [(_catalog, peer.lister)]
    seen: dict[str, float] = {}
    versions: dict[str, str] = {}
    try:
        for part, wanted in parts:
            begun = monotonic()
            async with hosted(wanted, python) as host:
                if not catalog_only:
                    seen.setdefault("import", monotonic() - begun)
                versions = host.versions
                try:
                    await part(host, peer, pace, seen)
                finally:
                    await host.end(within=DEADLINE)
    except (Gone, TimeoutError, RuntimeError, ValueError) as error:
        return seen, _reason(error), versions
    return seen, None, versions


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ").splitlines()[0][:160]


def private(parent: int) -> float:
    """Return the bytes of memory of this process's hosts that they share with nobody; servers are not counted."""
    total = 0.0
    for pid in _descendants(parent):
        try:
            if b"faulty" in Path(f"/proc/{pid}/cmdline").read_bytes():
                continue
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue  # it has just ended
        fields = dict(line.split(":", 1) for line in text.splitlines()[1:])
        total += sum(int(fields[name].split()[0]) * 1024 for name in ("Private_Clean", "Private_Dirty"))
    return total


def _descendants(parent: int) -> list[int]:
    """Return all processes that this one has started, and theirs."""
    found = []
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in map(int, task.read_text(encoding="ascii").split()):
            found += [child, *_descendants(child)]
    return found


def ratios(rounds: Sequence[Mapping[str, Mapping[str, float]]], peer: str) -> dict[str, float]:
    """Return the median over rounds of a peer's figures over the base's in the same round."""
    found = {}
    for figure in FIGURES:
        pairs = [
            (each[peer][figure], each[BASE][figure])
            for each in rounds
            if figure in each.get(peer, {}) and each.get(BASE, {}).get(figure)
        ]
        if pairs:
            found[figure] = round(statistics.median(ours / base for ours, base in pairs), 3)
    return found


def medians(rounds: Sequence[Mapping[str, Mapping[str, float]]], peer: str) -> dict[str, float]:
    """Return the median over rounds of a peer's figures."""
    values = {figure: [each[peer][figure] for each in rounds if figure in each.get(peer, {})] for figure in FIGURES}
    return {figure: statistics.median(found) for figure, found in values.items() if found}


async def run(names: Sequence[str], rounds: int, pace: Pace, *, catalog_only: bool = False) -> dict[str, Any]:
    """Measure all peers in turn, round after round, and return the document."""
    missing: dict[str, str] = dict(OPEN)
    on = measured_on()
    pythons = {}
    for name in names:
        try:
            pythons[name] = python_of(PEERS[name])
        except Missing as reason:
            missing[PEERS[name].title] = str(reason)
    seen: list[dict[str, dict[str, float]]] = []
    notes: dict[str, list[str]] = {name: [] for name in pythons}
    versions: dict[str, dict[str, str]] = {}
    for number in range(rounds):
        seen.append({})
        for name in pythons if number % 2 == 0 else reversed(list(pythons)):
            begun = monotonic()
            figures, reason, versions[name] = await measure(PEERS[name], pythons[name], pace, catalog_only=catalog_only)
            seen[-1][name] = figures
            if reason is not None:
                notes[name].append(reason)
            print(f"round {number + 1}  {monotonic() - begun:5.1f} s  {name}  {reason or ''}", file=sys.stderr)
    return {
        "schema": "recloser.speed/1",
        **on,
        "rounds": rounds,
        "many": pace.many,
        "catalog": {"date": on["date"], "rounds": rounds, "servers": pace.stocked, "tools": pace.stocked * TOOLS},
        "peers": {
            name: {
                "title": PEERS[name].title,
                "versions": versions[name],
                "figures": medians(seen, name),
                "ratios": ratios(seen, name),
                "note": f"in {len(said)} of {rounds} rounds: {said[-1]}" if (said := notes[name]) else None,
            }
            for name in pythons
        },
        "missing": missing,
    }


def with_catalog(document: dict[str, Any], catalog: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with the catalog of another one, which was measured later and alone."""
    peers = dict(document["peers"])
    for name, row in catalog["peers"].items():
        if name not in peers:
            continue
        more = {
            "figures": {**peers[name]["figures"], **row["figures"]},
            "ratios": {**peers[name]["ratios"], **row["ratios"]},
        }
        notes = [note for note in (peers[name]["note"], row["note"]) if note]
        peers[name] = {**peers[name], **more, "note": "; ".join(dict.fromkeys(notes)) or None}
    return {**document, "catalog": catalog["catalog"], "peers": peers}


def absent(document: Mapping[str, Any]) -> dict[str, str]:
    """Return who is not in a document, and why: a peer that is newer than it was not measured."""
    told = document["missing"]
    peers = [peer for name, peer in PEERS.items() if name not in document["peers"]]
    return {**{peer.title: told.get(peer.title, "not measured here") for peer in peers}, **OPEN}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoreboard.speed", description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=lambda text: text.split(","), default=list(PEERS))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true", help="one round, few servers")
    parser.add_argument(
        "--catalog", action="store_true", help="measure the catalog alone, beside what docs/speed.json has"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the document here too")
    parser.add_argument("--write", action="store_true", help="write docs/speed.{json,md}")
    parser.add_argument("--render", action="store_true", help="measure nothing: make the page of docs/speed.json")
    given = parser.parse_args(argv)
    if unknown := [name for name in given.peers if name not in PEERS]:
        parser.error(f"unknown peer {', '.join(unknown)}; known: {', '.join(PEERS)}")
    place = ROOT / "docs" / "speed.json"
    if given.render:
        document = json.loads(place.read_text(encoding="utf-8"))
        document["missing"] = absent(document)
    else:
        pace = replace(QUICK if given.quick else Pace())
        rounds = given.rounds or (1 if given.quick else 3)
        document = asyncio.run(run(given.peers, rounds, pace, catalog_only=given.catalog))
        if given.catalog:
            document = with_catalog(json.loads(place.read_text(encoding="utf-8")), document)
    text = f"{json.dumps(document, indent=1)}\n"
    if given.json is not None:
        given.json.write_text(text, encoding="utf-8")
    if given.write or given.render:
        place.write_text(text, encoding="utf-8")
        place.with_suffix(".md").write_text(render(document), encoding="utf-8")
    print(terminal(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
