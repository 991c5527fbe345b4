"""All pieces of a scoreboard: measured lane by lane, kept, and put together."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import recloser

from . import piece
from .environments import Missing, cache, measured_on, python_of
from .peers import HERE, OPEN, PEERS, Peer
from .scenarios import SCENARIOS, Scenario
from .verdict import missed, put_together

__all__ = ["Wanted", "run"]

LIMIT: Final = 180.0
"""Seconds after which a piece counts as hung, whatever the peer did."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to measure."""

    peers: tuple[str, ...]
    scenarios: tuple[str, ...]
    rounds: int = 1
    era: str = "legacy"
    quick: bool = False
    lanes: int = 0
    again: bool = False
    install_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """One piece to measure."""

    peer: Peer
    scenario: Scenario
    tuned: bool
    number: int
    python: str
    era: str
    quick: bool

    @property
    def name(self) -> str:
        """Its name, for people and as a file's."""
        mode = "tuned" if self.tuned else "defaults"
        pace = "quick" if self.quick else "full"
        return f"{self.peer.name}.{mode}.{self.scenario.name}.{self.era}.{pace}.{self.number}"

    def digest(self) -> str:
        """Return what it depends on, in short, as it was when this was first asked."""
        return _digest(self.peer)

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return cache() / "pieces" / f"{self.name}.json"

    def kept(self) -> dict[str, Any] | None:
        """Return what was measured, if it still holds."""
        if not self.file.exists():
            return None
        found: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        return found if found.get("digest") == self.digest() else None

    def keep(self, seen: dict[str, Any]) -> None:
        """Keep what was measured."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(seen), encoding="utf-8")
        fresh.replace(self.file)


@functools.cache
def _digest(peer: Peer) -> str:
    # Once a run: a file that is edited meanwhile does not make worthless what the run has measured.
    files = [peer.adapter, HERE / "adapters" / "common.py"]
    files += [HERE / f"{name}.py" for name in ("driver", "piece", "fleet", "hosting", "scenarios")]
    if peer.requirements is None:
        files += sorted(Path(recloser.__file__).parent.rglob("*.py"))
    else:
        files.append(HERE / "requirements" / f"{peer.requirements}.txt")
    found = hashlib.sha256()
    for file in files:
        found.update(file.read_bytes())
    return found.hexdigest()[:16]


def _pinned(core: int) -> None:
    # A host, its servers and its runner share one core, so that two lanes do not share any.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def _measured(job: Job) -> dict[str, Any]:
    pace = piece.QUICK if job.quick else piece.Pace()
    playing = piece.play(job.peer, job.scenario, tuned=job.tuned, era=job.era, pace=pace, python=job.python)
    return asyncio.run(asyncio.wait_for(playing, LIMIT))


def _jobs(wanted: Wanted, pythons: dict[str, str]) -> Iterator[Job]:
    """Yield all pieces: of each scenario, every peer in turn, so that a noisy moment hits all of them."""
    for number in range(wanted.rounds):
        for name in wanted.scenarios:
            row = [
                Job(
                    peer=PEERS[peer],
                    scenario=SCENARIOS[name],
                    tuned=tuned,
                    number=number,
                    python=python,
                    era=wanted.era,
                    quick=wanted.quick,
                )
                for peer, python in pythons.items()
                if SCENARIOS[name].transport in PEERS[peer].transports
                for tuned in PEERS[peer].modes
            ]
            yield from row if number % 2 == 0 else reversed(row)


def _installed(wanted: Wanted) -> tuple[dict[str, str], dict[str, str]]:
    pythons, missing = {}, {}
    for name in wanted.peers:
        try:
            pythons[name] = python_of(PEERS[name])
        except Missing as reason:
            missing[name] = str(reason)
    return pythons, missing


async def _measure(jobs: list[Job], lanes: int) -> dict[str, str]:
    """Measure all pieces that are not there; return the peers that do not start, and why."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    waiting = list(reversed(jobs))
    broken: dict[str, str] = {}
    loop = asyncio.get_running_loop()

    async def lane(core: int) -> None:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context, initializer=_pinned, initargs=(core,)) as pool:
            while waiting:
                job = waiting.pop()
                if job.peer.name in broken:
                    continue
                begun = loop.time()
                try:
                    seen = await loop.run_in_executor(pool, _measured, job)
                except Exception as error:
                    broken[job.peer.name] = f"{type(error).__name__}: {error}"[:300]
                    print(f"{job.name}: {broken[job.peer.name]}", file=sys.stderr)
                    continue
                job.keep({**seen, "digest": job.digest(), "took": loop.time() - begun})
                print(f"{len(waiting):4} to go; {loop.time() - begun:5.1f} s  {job.name}", file=sys.stderr)

    await asyncio.gather(*(lane(core) for core in cores[: lanes or len(cores)]))
    return broken


async def run(wanted: Wanted) -> dict[str, Any]:
    """Measure what is wanted and return the document."""
    pythons, missing = _installed(wanted)
    jobs = [] if wanted.install_only else list(_jobs(wanted, pythons))
    todo = [job for job in jobs if wanted.again or job.kept() is None]
    print(f"{len(jobs)} pieces, {len(todo)} to measure", file=sys.stderr)
    missing |= await _measure(todo, wanted.lanes)
    pieces = [found for job in jobs if job.peer.name not in missing and (found := job.kept()) is not None]
    rows = put_together(pieces, deadline=piece.DEADLINE)
    return {
        "schema": "recloser.scoreboard/1",
        **measured_on(),
        "era": wanted.era,
        "rounds": wanted.rounds,
        "quick": wanted.quick,
        "deadline": piece.DEADLINE,
        "scenarios": {name: SCENARIOS[name].says for name in wanted.scenarios},
        "rows": rows,
        "missing": {**{PEERS[name].title: reason for name, reason in missing.items()}, **OPEN},
        "missed": missed(rows, deadline=piece.DEADLINE),
    }
