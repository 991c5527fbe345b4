"""The last failure of a server: whose it was, how old it is, and nothing secret in it."""

from __future__ import annotations

import asyncio
import json

from stats_kit import of_one, told

from recloser.telemetry.stats import Stats
from support.status import attempt, call, endpoint, health, payload


def test_without_a_failure_there_is_none() -> None:
    async def tell(heard: Stats) -> None:
        heard(attempt())
        heard(attempt(code="cancelled"))
        heard(call(code="circuit_open", type="transient", attempts=0))

    assert of_one(tell)["last_failure"] is None


def test_a_failure_has_health_s_sentence_and_the_tool_of_the_attempt() -> None:
    async def tell(heard: Stats) -> None:
        heard(attempt(code="timeout"))
        await asyncio.sleep(4)

    given = {"search": health("search", [endpoint(last_failure=payload(), last_failure_ago=4.0)])}
    (server,) = told(tell, given)["servers"]
    assert server["last_failure"] == {
        "ago": 4.0,
        "type": "transient",
        "code": "timeout",
        "tool": "web",
        "message": "server 'search' did not answer in time; try again later.",
    }


def test_a_failure_that_is_no_evidence_is_told_too() -> None:
    async def tell(heard: Stats) -> None:
        await asyncio.sleep(90)
        heard(attempt(code="unauthenticated"))

    given = {"search": health("search", [endpoint(last_failure=payload(), last_failure_ago=60.0)])}
    (server,) = told(tell, given)["servers"]
    assert (server["last_failure"]["code"], server["last_failure"]["type"]) == ("unauthenticated", "auth")
    assert (server["last_failure"]["ago"], server["last_failure"]["message"]) == (0.0, None)


def test_a_lost_connection_is_told_though_no_attempt_met_it() -> None:
    async def tell(heard: Stats) -> None:
        heard(attempt(code="timeout"))
        await asyncio.sleep(9)

    lost = payload("connection_lost", "the connection was lost.")
    given = {
        "search": health(
            "search",
            [
                endpoint("search/0", last_failure=payload(), last_failure_ago=8.0),
                endpoint("search/1", last_failure=lost, last_failure_ago=1.0),
            ],
        )
    }
    (server,) = told(tell, given)["servers"]
    assert server["last_failure"] == {
        "ago": 1.0,
        "type": "transient",
        "code": "connection_lost",
        "tool": None,
        "message": "the connection was lost.",
    }


def test_the_same_failure_again_is_as_young_as_its_last_time() -> None:
    async def tell(heard: Stats) -> None:
        await asyncio.sleep(10)
        heard(attempt(code="timeout"))
        await asyncio.sleep(1)

    given = {"search": health("search", [endpoint(last_failure=payload(), last_failure_ago=10.0)])}
    assert told(tell, given)["servers"][0]["last_failure"]["ago"] == 1.0


def test_a_name_that_no_server_has_listed_is_not_told() -> None:
    async def tell(heard: Stats) -> None:
        heard(attempt(code="invalid_request", name="what a caller made up", known=False))

    assert "made up" not in json.dumps(told(tell))


def test_a_secret_in_a_tool_s_name_or_a_message_is_not_told() -> None:
    async def tell(heard: Stats) -> None:
        heard(attempt(code="timeout", name="tool-hunter2hunter2"))

    said = payload(message="it said Bearer abcdefghijklmnop and hunter2hunter2")
    given = {"search": health("search", [endpoint(last_failure=said, last_failure_ago=0.0)], stderr="a line of stderr")}
    text = json.dumps(told(tell, given, secrets=["hunter2hunter2"]))
    assert "hunter2hunter2" not in text
    assert "abcdefghijklmnop" not in text
    assert "stderr" not in text
    assert "hunter2hunter2" in json.dumps(told(tell, given))
