"""The alert rules, the dashboard and the page's queries ask for what there is, and the rules fire when they should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from recloser import Breaker, Bulkhead, Retry, Timeouts
from recloser.config import Telemetry
from support.promql import labels_of, metrics_of, series, wrong_with

ROOT: Final = Path(__file__).resolve().parents[2]
OBSERVE: Final = ROOT / "examples" / "observe"
ALERTS: Final = OBSERVE / "alerts.yaml"
CASES: Final = Path(__file__).with_name("alerts_cases.yaml")
PAGE: Final = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
RULES: Final[list[dict[str, Any]]] = [
    rule for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]
DASHBOARD: Final[dict[str, Any]] = json.loads((OBSERVE / "grafana-dashboard.json").read_text(encoding="utf-8"))
PROMTOOL: Final = shutil.which("promtool")
JQ: Final = shutil.which("jq")

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="NOT TESTED: promtool is not on the PATH (package prometheus)"
)
needs_jq = pytest.mark.skipif(JQ is None, reason="NOT TESTED: jq is not on the PATH (package jq)")


# --- the reader of expressions that the other tests rely on


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        (
            'sum by (recloser_server_name) (rate(recloser_call_duration_seconds_count{recloser_outcome="error"}[5m]))',
            [],
        ),
        ("rate(recloser_call_time_seconds_count[5m])", ["no metric recloser_call_time_seconds_count"]),
        ("recloser_call_active_total", ["no metric recloser_call_active_total"]),
        ("recloser_call_duration_seconds", ["no metric recloser_call_duration_seconds"]),
        ('recloser_call_active{recloser_outcome="error"}', ["no label recloser_outcome of ['recloser_call_active']"]),
        ("sum by (caller) (recloser_call_active)", ["no label caller of ['recloser_call_active']"]),
        (
            'recloser_circuit_breaker_status{recloser_circuit_breaker_state="opened"}',
            ["recloser_circuit_breaker_state is never 'opened'"],
        ),
        (
            'recloser_call_active / on (recloser_server_name) recloser_retry_tokens{error_type=~"x|timeout"}',
            ["no label error_type of", "no label error_type of recloser_retry_tokens", "error_type is never 'x'"],
        ),
    ],
)
def test_what_an_expression_asks_for_in_vain_is_found(expression: str, wrong: list[str]) -> None:
    found = wrong_with(expression)
    assert len(found) >= len(wrong)
    for each in wrong:
        assert any(one.startswith(each) for one in found), (each, found)
    assert wrong or not found


# --- alerts.yaml


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_a_rule_asks_for_what_there_is_and_says_what_is_wrong(rule: dict[str, Any]) -> None:
    assert wrong_with(rule["expr"]) == []
    assert metrics_of(rule["expr"])
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}
    said = " ".join(rule["annotations"].values())
    grouped = labels_of(" ".join(re.findall(r"\bby\s*\([^)]*\)", rule["expr"])))
    assert set(re.findall(r"\$labels\.(\w+)", said)) <= grouped - {"le"}
    assert "$labels.recloser_server_name" in rule["annotations"]["summary"]


def test_rules_have_names_of_their_own_and_the_page_says_what_to_do_about_each() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names)) == 12
    told = re.findall(r"^\| `(Recloser\w+)` \| .+ \| .+ \|$", PAGE, re.MULTILINE)
    assert sorted(told) == sorted(names)


def test_every_rule_has_cases() -> None:
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    assert (CASES.parent / cases["rule_files"][0]).resolve() == ALERTS
    fired = {test["alertname"] for each in cases["tests"] for test in each["alert_rule_test"] if test["exp_alerts"]}
    assert fired == {rule["alert"] for rule in RULES}
    for each in cases["tests"]:
        for given in each["input_series"]:
            # `instance` is no label of ours: Prometheus says with it which router it was.
            assert wrong_with(re.sub(r'\binstance="\w+",', "", given["series"])) == []


@needs_promtool
@pytest.mark.processes
@pytest.mark.parametrize(
    "words", [["check", "rules", str(ALERTS)], ["test", "rules", str(CASES)]], ids=["check", "test"]
)
def test_promtool_accepts_the_rules_and_they_fire_when_they_should(words: list[str]) -> None:
    done = subprocess.run([str(PROMTOOL), *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout + done.stderr


# --- grafana-dashboard.json


def queries(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


@pytest.mark.parametrize("panel", DASHBOARD["panels"], ids=[panel["title"] for panel in DASHBOARD["panels"]])
def test_a_panel_asks_for_what_there_is(panel: dict[str, Any]) -> None:
    for expression in queries(panel):
        assert wrong_with(expression) == []
    for target in panel["targets"]:
        assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "prometheus"
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert shown <= labels_of(target["expr"])
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_panels_do_not_overlap_and_have_names_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells
    for key in ("id", "title"):
        assert len({panel[key] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_dashboard_shows_every_metric_that_matters() -> None:
    shown = set().union(*(metrics_of(each) for panel in DASHBOARD["panels"] for each in queries(panel)))
    bare = {re.sub(r"_(bucket|sum|count)$", "", name) for name in series()}
    left_out = bare - {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    # A collector and the router's own exporter name the one differently; the other is in the fan-outs' durations.
    assert left_out == {"recloser_circuit_breaker_failure_rate", "recloser_fan_out_size"}


def test_the_variable_and_the_annotation_ask_for_what_there_is() -> None:
    (variable,) = DASHBOARD["templating"]["list"]
    found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
    assert found is not None
    metric, label = found.groups()
    assert wrong_with(f"sum by ({label}) ({metric})") == []
    for annotation in DASHBOARD["annotations"]["list"]:
        assert wrong_with(annotation["expr"]) == []


@needs_promtool
@pytest.mark.processes
def test_the_dashboard_marks_an_outage_once_where_it_begins(tmp_path: Path) -> None:
    (annotation,) = DASHBOARD["annotations"]["list"]
    name = "recloser_circuit_breaker_transitions_total"
    changes = {("closed", "open"): "_x3 1x20", ("half_open", "open"): "_x5 1 2 3 4x20"}
    given = [
        {
            "series": f'{name}{{recloser_server_name="gone",recloser_circuit_breaker_previous_state="{previous}"'
            f',recloser_circuit_breaker_state="{state}"}}',
            "values": values,
        }
        for (previous, state), values in changes.items()
    ]
    expression = annotation["expr"].replace("$server", ".*")
    marked = [{"labels": '{recloser_server_name="gone"}', "value": 1}]
    expected = [
        {"expr": expression, "eval_time": f"{minute}m", "exp_samples": marked if minute == 3 else []}
        for minute in range(10)
    ]
    case = {"interval": "1m", "input_series": given, "promql_expr_test": expected}
    (tmp_path / "case.yaml").write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [case]}))
    done = subprocess.run(
        [str(PROMTOOL), "test", "rules", str(tmp_path / "case.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_sources_are_those_that_are_set_up() -> None:
    known = {
        each["uid"] for each in yaml.safe_load((OBSERVE / "grafana" / "datasources.yaml").read_text())["datasources"]
    }
    used = set(re.findall(r'"uid": "(\w+)"', json.dumps(DASHBOARD["panels"])))
    assert used <= known


# --- the page


def page_queries() -> list[str]:
    (block,) = re.findall(r"^```promql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return [line for line in block.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("expression", page_queries())
def test_a_query_of_the_page_asks_for_what_there_is(expression: str) -> None:
    assert wrong_with(expression) == []


def test_the_options_that_the_page_and_the_rules_name_are_there() -> None:
    records = {"breaker": Breaker, "bulkhead": Bulkhead, "retry": Retry, "timeouts": Timeouts, "telemetry": Telemetry}
    named = re.findall(rf"`({'|'.join(records)})\.(\w+)`", PAGE + ALERTS.read_text(encoding="utf-8"))
    assert len(named) > 4
    for record, option in named:
        assert option in records[record].__dataclass_fields__, (record, option)


def audit_line(number: int, **changes: Any) -> str:
    told: dict[str, Any] = {
        "schema": "recloser.audit/1",
        "event": "call",
        "started": f"2026-01-02T03:04:{number % 60:02}.000000Z",
        "caller": "alice",
        "server": "search",
        "tool": "web",
        "result": {"bytes": 2000 + number},
    }
    return json.dumps(told | changes)


def commands() -> list[str]:
    return re.findall(r"^jq .*$", PAGE, re.MULTILINE)


def asked(command: str, lines: list[str], directory: Path) -> list[list[str]]:
    (directory / "audit.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


@needs_jq
@pytest.mark.processes
def test_the_audit_says_who_called_what_most_often_within_a_minute(tmp_path: Path) -> None:
    lines = [
        audit_line(0, event="gap", lost=2),
        *(audit_line(number) for number in range(3)),
        *(audit_line(number, caller="mallory") for number in range(40)),
        audit_line(1, caller=None, server=None, tool="no-such", result=None),
    ]
    told = asked(commands()[0], lines, tmp_path)
    assert told == [
        ["40", "2026-01-02T03:04", "mallory", "search", "web"],
        ["3", "2026-01-02T03:04", "alice", "search", "web"],
        ["1", "2026-01-02T03:04", "-", "-", "no-such"],
    ]


@needs_jq
@pytest.mark.processes
def test_the_audit_says_whose_results_were_far_larger_than_usual(tmp_path: Path) -> None:
    lines = [
        audit_line(0, event="gap", lost=2),
        *(audit_line(number) for number in range(9)),
        audit_line(9, caller="mallory", result={"bytes": 5_000_000}),
        # Always so large, and large for its tool but not large at all.
        *(audit_line(number, tool="dump", result={"bytes": 4_000_000}) for number in range(5)),
        *(audit_line(number, tool="tiny", result={"bytes": 10}) for number in range(5)),
        audit_line(6, tool="tiny", result={"bytes": 900}),
        audit_line(7, result=None),
    ]
    told = asked(commands()[1], lines, tmp_path)
    assert told == [["2026-01-02T03:04:09.000000Z", "mallory", "search", "web", "5000000", "2005"]]


def test_the_commands_ask_the_audit_for_fields_that_it_has() -> None:
    from recloser.telemetry.schema import schema

    known = {field["name"] for field in schema()["audit"]["call"]}
    assert len(commands()) == 2
    for command in commands():
        program = command.split("'")[1]
        named = set(re.findall(r"(?<![\w\]])\.([a-z_]+(?:\.[a-z_]+)*)", program))
        assert named
        assert named <= known
