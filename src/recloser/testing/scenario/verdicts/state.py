"""Rules about what is left and what is told: leftovers (7), secrets (8), listings (11), eras (12)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from recloser.testing.scenario.observed import Run, Sample
from recloser.testing.scenario.verdicts.clocks import meant_to_fail
from recloser.testing.scenario.verdicts.numbers import counted, in_time
from recloser.testing.scenario.verdicts.verdict import Verdict, said, unseen

__all__ = ["eras", "leftovers", "listings", "secrets"]

PATIENT: Final = 2.0
"""Seconds that closing may take beyond what the slowest server is given: for a loop that lags."""


def leftovers(run: Run) -> Verdict:
    """Rule 7: when all is closed, nothing that was not there before is there."""
    if run.leftovers is None:
        return unseen("the run was ended before everything was closed")
    cases = list(run.leftovers)
    cases += [f"{server}: {counted(count, 'permit')} still taken" for server, count in run.in_flight.items() if count]
    cases += [f"{each.server}.{each.tool} at {each.began:.2f} s hung" for each in run.samples if each.outcome == "hung"]
    given = max((server.timeouts.shutdown for server in run.options.values()), default=0.0)
    if run.closing > given + PATIENT:
        cases.append(f"closing took {in_time(run.closing)}; the slowest server is given {in_time(given)}")
    good = f"closed in {in_time(run.closing)}; no task, process, socket, thread or permit was left"
    return said(cases, good, f"{counted(len(cases), 'thing')} left")


def secrets(run: Run) -> Verdict:
    """Rule 8: what was planted is found nowhere."""
    if run.leaks is None:
        return unseen("no secret was planted")
    errors = sum(each.outcome == "failed" for each in run.samples)
    if not errors:
        return unseen("no call failed, so that no error could tell a secret")
    looked = f"{counted(run.telemetry, 'piece')} of telemetry and {counted(errors, 'error')}"
    good = f"in all logs, events, audit lines and looks at health, {looked}: no secret, argument or result"
    return said(list(run.leaks), good, f"what was planted was found in {counted(len(run.leaks), 'place')}")


def listings(run: Run) -> Verdict:
    """Rule 11: a known tool stays listed, and a failed call says which server it is about and what to do."""
    down = {server: list(_down(run, server)) for server in sorted(run.struck_servers) if run.known.get(server)}
    cases = []
    seen = 0
    for look in run.listings:
        really = any(_within(look.at, windows) for windows in down.values())
        seen += really
        if not (really or run.during(look.at)):
            continue
        if look.error is not None:
            cases.append(f"at {look.at:.1f} s the list could not be had: {look.error}")
        elif look.missing:
            names = ", ".join(look.missing[:3])
            cases.append(f"at {look.at:.1f} s {counted(len(look.missing), 'known tool')} missing: {names}")
    for each in run.samples:
        if not meant_to_fail(run, each) and _within(each.ended, down.get(each.server, ())):
            cases += _told_badly(each)
    if not seen and not cases:
        return unseen("nobody looked at the list of tools while a server was down of which a tool was known")
    good = f"all known tools were listed, {counted(seen, 'look')} while servers were down"
    return said(cases, good, f"{counted(len(cases), 'case')}, {counted(seen, 'look')} while servers were down")


def _within(moment: float, windows: Iterable[tuple[float, float]]) -> bool:
    return any(began <= moment <= ended for began, ended in windows)


def _down(run: Run, server: str) -> Iterator[tuple[float, float]]:
    """Yield when a server was really down: from a fault to its first answer afterwards, if something failed there."""
    mine = [each for each in run.samples if each.server == server and not meant_to_fail(run, each)]
    tried = {each.label for each in mine}
    failed = [(each.began, each.ended) for each in mine if each.outcome in ("failed", "hung")]
    # Also what a further attempt has made good.
    failed += [
        (each.began, each.ended)
        for each in run.attempts
        if each.server == server and each.code is not None and each.label in tried
    ]
    for began, ended in run.windows(server):
        later = [each for each in mine if each.began >= ended]
        until = min((each.ended for each in later if each.good), default=run.ended if later else ended)
        if any(first <= until and last >= began for first, last in failed):
            yield began, until


def _told_badly(each: Sample) -> Iterator[str]:
    where = f"{each.server}.{each.tool} at {each.began:.2f} s"
    if each.code in ("unknown_tool", "unknown_server"):
        yield f"{where}: its server was not available, and it was called {each.code}"
    if each.code == "circuit_open" and each.retry_after is None:
        yield f"{where}: circuit_open does not say when it is worth trying again"


def eras(run: Run) -> Verdict:
    """Rule 12: each server is spoken to in the newest era that it speaks, at every connection."""
    ready = [mark for mark in run.connections if mark.state == "ready" and mark.version is not None]
    if not ready:
        return unseen("no connection told which protocol it speaks")
    cases = []
    spoken: dict[str, str] = {}
    for mark in ready:
        known = run.scenario.servers.get(mark.server)
        modern = mark.version in MODERN_PROTOCOL_VERSIONS
        if known is not None and modern is not (known.era != "legacy"):
            word = "the stateless" if modern else "the handshake"
            cases.append(f"{mark.server}, which is {known.era}, was spoken to in {word} era at {mark.at:.1f} s")
        spoken[mark.server] = str(mark.version)
    served = {each.server for each in run.samples if each.good}
    cases += [f"{server} never answered a call" for server in sorted(spoken) if server not in served]
    told = ", ".join(f"{server} {version}" for server, version in sorted(spoken.items()))
    return said(cases, f"{counted(len(ready), 'connection')}, each in its server's era: {told}", told)
