from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import MCPError

from recloser.facts import HttpFacts, facts_of, original_data, seconds_asked, type_name

FACTS = HttpFacts(kind="status", sent=True, status=503, retry_after=2.0)


def test_facts_survive_the_way_through_json() -> None:
    data = json.loads(json.dumps(FACTS.to_data({"x": 1})))
    assert facts_of(MCPError(1, "m", data)) == FACTS
    assert facts_of(data) == FACTS
    assert original_data(data) == {"x": 1}


@pytest.mark.parametrize(
    "forged", [{"recloser": {"kind": "status", "sent": False}}, {"recloser": 1}, {}, None, "text", 7]
)
def test_a_server_cannot_write_facts(forged: object) -> None:
    assert facts_of(MCPError(1, "m", forged)) is None
    assert original_data(forged) == forged


def test_facts_check_themselves() -> None:
    with pytest.raises(ValueError, match="unknown kind 'weather'"):
        HttpFacts(kind="weather", sent=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="facts about a status need one"):
        HttpFacts(kind="status", sent=True)
    with pytest.raises(ValueError, match="must not be negative"):
        HttpFacts(kind="status", sent=True, status=503, retry_after=-1.0)


NOON = "Fri, 21 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Fri, 21 Nov 2026 12:01:00 GMT", "date": NOON}, 60.0),
        ({"retry-after": "Fri, 21 Nov 2026 12:01:00 GMT", "date": "?"}, 90.0),
        ({"retry-after": "Fri, 21 Nov 2026 11:00:00 GMT", "date": NOON}, None),
        ({"retry-after": "-7"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "\u0667"}, None),
        ({"retry-after": "99999999999"}, 1e10),
        ({"retry-after": "9" * 400}, 1e10),
        ({"retry-after": "0.0000000001"}, 1e-10),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT", "date": NOON}, 1e10),
        ({"retry-after": "Friday, 21-Nov-26 12:01:00 GMT", "date": NOON}, 60.0),
        ({"retry-after": "30, 60"}, 60.0),
        ({"retry-after": "60,30,soon"}, 60.0),
        ({"retry-after": "30, Fri, 21 Nov 2026 12:01:00 GMT", "date": NOON}, 60.0),
        ({"retry-after": "Sat Nov 21 12:01:00 2026, 30, Fri, 21 Nov 2026 12:00:10 GMT", "date": NOON}, 60.0),
        ({"retry-after": ", ,"}, None),
        ({"retry-after": "7," + "," * 99_999}, 7.0),
        ({"retry-after": "Fri, 99 Nov 2026 12:00:00 GMT"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_what_a_server_asks_us_to_wait_is_read_or_passed_over(headers: dict[str, str], expected: float | None) -> None:
    noon = 1795262400.0
    assert seconds_asked(headers, wall=lambda: noon - 30.0) == expected


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of a process can be set only where there is tzset")
def test_a_date_without_a_zone_is_one_of_greenwich_wherever_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"retry-after": "Sat Nov 21 12:01:00 2026", "date": NOON}
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert seconds_asked(headers) == 60.0
        assert seconds_asked({"retry-after": NOON, "date": "Sat Nov 21 11:59:00 2026"}) == 60.0
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.text(max_size=40) | st.dates().map(str), st.text(max_size=20))
def test_no_header_of_a_server_raises(asked: str, date: str) -> None:
    found = seconds_asked({"retry-after": asked, "date": date}, wall=lambda: 0.0)
    assert found is None or found >= 0


def test_a_date_means_nothing_without_a_clock() -> None:
    assert seconds_asked({"retry-after": NOON}) is None


def test_types_are_named_as_people_know_them() -> None:
    assert (type_name(KeyError()), type_name(MCPError(1, "m")), type_name(MCPError)) == (
        "KeyError",
        "mcp.MCPError",
        "mcp.MCPError",
    )
