"""The report: a document with everything in it, and one page that needs nothing else."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from chaos.chaos_kit import failed, member, sample, scenario, seen, struck
from chaos.verdict_kit import attempt
from recloser import Server
from recloser.testing.scenario import judge
from recloser.testing.scenario.observed import Attempt, CircuitMark, ConnectionMark, Lag
from recloser.testing.scenario.report import document, page
from recloser.testing.scenario.report.document import OUTCOMES, outcome_of
from recloser.testing.scenario.report.svg import log_ticks, number, seconds, tag, ticks


def circuit(at: float, previous: str, state: str) -> CircuitMark:
    return CircuitMark(at=at, server="sick", previous=previous, state=state, reason="failures")


def full(samples=None, **facts):
    samples = (
        samples
        if samples is not None
        else [
            *(sample(0.05 * index, 0.01 + 0.001 * index, number=index) for index in range(20)),
            *(sample(0.1 * index, 0.002, server="well") for index in range(40)),
            sample(1.2, 0.3, attempts=2),
            failed(1.1, 0.5),
            failed(1.3, 0.0001, code="circuit_open", retry_after=1.0),
            failed(1.4, 0.1, code="unauthenticated", kind="auth"),
            failed(1.5, 0.1, code="MCPError", kind=None),
            sample(1.5, 0.1, outcome="cancelled", cancel_at=1.6),
            sample(1.6, 2.4, outcome="hung"),
            sample(2.3, 0.01),
            sample(3.9, 0.4),
        ]
    )
    given = {
        "scenario": scenario("1", "7", "recovery", servers=(member("sick"), member("well", transport="stdio"))),
        "circuits": [
            circuit(1.4, "closed", "open"),
            circuit(1.9, "open", "half_open"),
            circuit(2.0, "half_open", "closed"),
        ],
        "connections": [ConnectionMark(at=0.0, server="sick", state="ready", generation=1, version="2026-07-28")],
        "attempts": [Attempt(server="sick", label="x", number=1, began=1.0, ended=1.1, code=None)],
        "struck": [
            struck(),
            struck(began=1.5, ended=1.8, tool="write"),
            struck(server=None, began=3.0, ended=None),
            struck(began=2.1, ended=2.1001),
        ],
        "lags": [Lag(at=1.0, late=0.02, busy=0.01)],
        "leftovers": (),
        "notes": ("something & <other>",),
    } | facts
    return seen(*sorted(samples, key=lambda each: each.began), **given)


def told(run=None):
    run = full() if run is None else run
    return document(run, judge(run), command="recloser chaos run x --seed 1")


def test_the_document_is_json_and_has_it_all():
    found = json.loads(json.dumps(told()))
    assert found["schema"] == "recloser.chaos/1"
    assert (found["verdict"], found["target"], found["seed"]) == ("broke", "router", 1)
    assert [each["rule"] for each in found["rules"]] == ["1", "7", "recovery"]
    assert found["numbers"]["calls"] == 69
    assert found["numbers"]["outcomes"] == {
        "answered": 62,
        "retried": 1,
        "rejected": 1,
        "transient": 1,
        "auth": 1,
        "critical": 1,
        "cancelled": 1,
        "hung": 1,
    }
    assert sum(sum(counts) for counts in found["calls"]["counts"].values()) == 69
    sick, well = found["servers"]
    assert (sick["opened"], sick["connected"], sick["struck"], well["struck"]) == (1, 1, True, False)
    assert [each["state"] for each in sick["circuit"]] == ["closed", "open", "half_open", "closed"]
    assert set(found["latency"]["groups"]) == {"healthy", "struck"}
    assert found["recoveries"][0] == {"server": "sick", "fault": "hang_call", "ended": 2.0, "took": pytest.approx(0.31)}
    assert set(found["versions"]) == {"recloser", "mcp", "python", "system", "implementation"}
    assert found["numbers"]["p50"] == pytest.approx(0.002)


def test_a_raw_client_has_no_circuits_and_its_failures_no_class():
    found = told(full(target="raw"))
    assert all(server["circuit"] == [] for server in found["servers"])
    assert outcome_of(failed(kind=None)) == "critical"


def test_the_worst_verdict_decides_and_a_part_of_a_run_is_never_a_pass():
    held = full(scenario=scenario("7"), samples=[sample()])
    assert told(held)["verdict"] == "held"
    assert told(full(scenario=scenario("7"), samples=[sample()], interrupted=True))["verdict"] == "interrupted"
    assert told(full(scenario=scenario("7"), samples=[sample()], leftovers=None))["verdict"] == "unseen"
    assert told(full(interrupted=True))["verdict"] == "broke"


def drawings(text):
    return [ET.fromstring(found) for found in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def test_the_page_needs_nothing_but_itself_and_every_drawing_is_well_formed():
    text = page(told())
    assert text.startswith("<!doctype html>")
    assert "<script" not in text
    assert not re.search(r"(src|href)\s*=|url\((?!#)|@import|https?://(?!www\.w3\.org/2000/svg)", text)
    assert "something &amp; &lt;other&gt;" in text
    assert len(text) < 300_000
    named = [each for each in drawings(text) if each.get("role") == "img"]
    assert len(named) == 9
    for each in named:
        assert each.get("aria-label")
        assert [child.tag.rpartition("}")[2] for child in each][:2] == ["title", "desc"]


def test_every_outcome_has_a_texture_and_every_texture_is_there():
    text = page(told())
    for name in OUTCOMES:
        assert f'class="o-{name}"' in text
        assert f".o-{name} " in text
    made = set(re.findall(r'<pattern id="(\w+)"', text))
    assert set(re.findall(r"url\(#(\w+)\)", text)) == made


def test_light_and_dark_set_the_same_colours_and_paper_sets_those_that_it_needs():
    text = page(told())
    light, dark = (
        set(re.findall(r"(--[\w-]+):", block)) for block in re.findall(r":root \{(.*?)\}", text, re.DOTALL)[:2]
    )
    assert light == dark
    assert set(re.findall(r"var\((--[\w-]+)\)", text)) <= light


@pytest.mark.parametrize(
    ("facts", "headline"),
    [
        ({"scenario": scenario("7"), "samples": [sample()]}, "The rule held"),
        ({"scenario": scenario("7", "1"), "samples": [sample()]}, "All 2 rules held"),
        ({"scenario": scenario("7", "answered"), "samples": [sample(1.5)]}, "The rule and the goal held"),
        (
            {"scenario": scenario("answered", "recovery"), "samples": [sample(1.5), sample(2.1)], "struck": [struck()]},
            "Both goals held",
        ),
        (
            {
                "scenario": scenario("answered", "evidence", "recovery"),
                "samples": [sample(1.5), sample(2.1)],
                "attempts": [attempt(1.1, code="overloaded", label=str(number)) for number in range(5)],
                "circuits": [],
            },
            "All 3 goals held",
        ),
        ({"scenario": scenario("7", "11"), "samples": [sample()]}, "Rule 11 could not be seen"),
        ({"scenario": scenario("7"), "samples": [sample()], "interrupted": True}, "Interrupted after 4.0 of 4 s"),
        (
            {"scenario": scenario("7", "answered"), "samples": [failed()], "leftovers": ("x",)},
            "Rule 7 and the goal &#x27;answered&#x27; broke",
        ),
    ],
)
def test_the_headline_says_what_came_out(facts, headline):
    assert f'<p class="big">{headline}</p>' in page(told(full(**facts)))


def test_a_run_in_which_nothing_was_answered_still_has_a_page():
    text = page(told(full(samples=[failed()], struck=[], circuits=[], notes=())))
    assert "How long answers took" not in text
    assert "Faults: none" in text
    assert "axis is logarithmic" in page(told(full(samples=[sample(took=0.0)])))  # in virtual time
    empty = page(told(full(samples=[], struck=[], circuits=[], notes=(), target="raw")))
    assert "no calls" in empty


def test_a_panel_of_its_own_where_all_servers_were_struck():
    text = page(told(full(samples=[sample(0.5), sample(0.6)])))
    assert "servers that had one" in text
    assert "servers without a fault" not in text


def test_one_s_own_servers_are_called_so():
    assert "your own servers" in page(told(full(scenario=scenario("7", fleet="config"))))


def test_of_one_s_own_servers_it_is_told_how_they_were_reached():
    servers = [Server("a", command="x"), Server("b", "http://127.0.0.1:9/mcp"), Server("c", "http://127.0.0.1:9/sse")]
    ready = [
        ConnectionMark(at=0.0, server=name, state=state, generation=1, version=version)
        for name, state, version in [
            ("a", "ready", "2025-11-25"),
            ("b", "ready", "2025-11-25"),
            ("b", "closed", None),
            ("b", "ready", "2026-07-28"),
        ]
    ]
    run = full(
        samples=[sample(server=name) for name in ("a", "b", "c", "unknown")],
        scenario=replace(scenario("7", fleet="config"), servers={}),
        options={server.name: server for server in servers},
        connections=ready,
    )
    found = told(run)
    assert [(each["name"], each["transport"], each["era"]) for each in found["servers"]] == [
        ("a", "stdio", "legacy"),
        ("b", "http", "modern"),
        ("c", "sse", None),
        ("unknown", None, None),
    ]
    shown = page(found)
    assert "<td>stdio legacy</td>" in shown
    assert "<td>http modern</td>" in shown
    assert "<td>sse</td>" in shown


def test_drawing_is_exact():
    assert [number(value) for value in (0, 1.0, 1.25, 100.0, -0.04)] == ["0", "1", "1.2", "100", "-0"]
    assert tag("a", "b", class_="c", stroke_width=1.5, rx=None) == '<a class="c" stroke-width="1.5">b</a>'
    assert tag("a", x="<") == '<a x="&lt;"/>'
    assert ticks(0, 3) == [0.0]
    assert ticks(9.0, 4) == [0.0, 2.5, 5.0, 7.5]
    assert log_ticks(0.002, 0.3) == pytest.approx([0.001, 0.01, 0.1, 1.0])
    assert log_ticks(0.1, 0.1) == pytest.approx([0.1, 1.0])
    assert [seconds(value) for value in (2.5, 0.25, 0.0001)] == ["2.5 s", "250 ms", "100 µs"]
