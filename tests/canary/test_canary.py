"""No secret that comes in anywhere goes out anywhere; and the search would have found it.

Canaries are put in at every way in, of a router in a process of its own on real servers: one of the same process, one
over stdio, two over HTTP. They are looked for in all that comes out: log, audit, spans, metrics, payloads, health, the
command line, and the traceback of a crash.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from canary_kit import MARKS, PLAIN_MARKS, WAYS_IN, found

SCENARIO: Final = str(Path(__file__).with_name("canary_scenario.py"))
WAYS_OUT: Final = ("log", "audit", "spans", "metrics", "payloads", "health", "cli")
CRASHES: Final = ("web__lost", "locked__any", "resource", "prompt", "ready", "spread", "unknown")

# A server's own words on stderr, and what a server of this process logs by itself: redacted, but told.
OWN_WORDS: Final = {"log": {"plain argument"}, "health": {"plain argument"}, "cli": {"plain argument"}}
PRESENCE: Final = {"log": "call_finished", "audit": "hmac_sha256", "spans": "execute_tool", "metrics": "recloser."}
PRESENCE_TOO: Final = {"payloads": "recloser.error/1", "health": "circuit", "cli": "Error: "}

pytestmark = [pytest.mark.thorough, pytest.mark.processes, pytest.mark.timeout(600)]


class Stories:
    """The stories of all modes, each a process; started together, since each waits a lot."""

    def __init__(self, directory: Path) -> None:
        self._told: dict[str, dict[str, str]] = {}
        self._running: dict[str, tuple[Path, subprocess.Popen[bytes]]] = {}
        for mode in ("closed", "content", "open"):
            place = directory / mode
            place.mkdir()
            with (place / "log.txt").open("wb") as log:
                command = [sys.executable, SCENARIO, "story", mode, str(place)]
                self._running[mode] = place, subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL)

    def __getitem__(self, mode: str) -> dict[str, str]:
        if mode not in self._told:
            place, process = self._running[mode]
            code = process.wait(300)
            assert code == 0, (place / "log.txt").read_text(errors="replace")[-3000:]
            self._told[mode] = {one.stem: one.read_text(errors="replace") for one in place.glob("*.txt")}
        return self._told[mode]

    def end(self) -> None:
        for _, process in self._running.values():
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory):
    made = Stories(tmp_path_factory.mktemp("canary"))
    yield made
    made.end()


NOWHERE = {"unauthorized"}
"""Ways in that lead nowhere, redaction or not: the text of a 401 is read and let go of."""


@pytest.mark.parametrize("way", WAYS_OUT)
def test_no_secret_and_no_content_goes_out(stories: Stories, way: str) -> None:
    told = stories["closed"][way]
    assert (PRESENCE | PRESENCE_TOO)[way] in told
    assert found(told, MARKS, PLAIN_MARKS) <= OWN_WORDS.get(way, set())


@pytest.mark.parametrize("way", [way for way in WAYS_OUT if way != "cli"])
def test_where_contents_are_captured_and_all_is_logged_no_secret_goes_out(stories: Stories, way: str) -> None:
    assert found(stories["content"][way]) == set()


def test_contents_stand_in_spans_where_they_are_captured(stories: Stories) -> None:
    assert found(stories["content"]["spans"], PLAIN_MARKS) == set(PLAIN_MARKS)


@pytest.mark.parametrize("way", WAYS_OUT)
def test_the_search_finds_secrets_at_every_way_out_where_redaction_is_switched_off(stories: Stories, way: str) -> None:
    assert found(stories["open"][way])


@pytest.mark.parametrize("way", WAYS_IN)
def test_the_search_finds_what_came_in_at_every_way_in_where_redaction_is_switched_off(
    stories: Stories, way: str
) -> None:
    assert (way in found("\n".join(stories["open"].values()))) is (way not in NOWHERE)


def crash(mode: str, name: str) -> str:
    done = subprocess.run(
        [sys.executable, SCENARIO, "crash", mode, "", name], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "recloser.errors." in done.stderr
    return done.stderr


@pytest.mark.parametrize("name", CRASHES)
def test_a_failed_call_that_nobody_catches_tells_no_secret_and_no_content(name: str) -> None:
    assert found(crash("closed", name), MARKS, PLAIN_MARKS) == set()


def test_the_search_finds_secrets_in_a_crash_where_redaction_is_switched_off() -> None:
    assert {"message", "argument", "header"} <= found(crash("open", "web__lost"))
