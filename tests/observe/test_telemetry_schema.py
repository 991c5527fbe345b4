"""The schema of all telemetry is what the code says, and what is really emitted is what the schema says."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from recloser.metrics import METRICS
from recloser.telemetry.schema import FILE, prometheus_name, schema, text
from recloser.telemetry.schema.__main__ import main
from recloser.telemetry.schema.page import PAGE, filled
from support.metering import Point
from support.told import Telling, tell_all

ROOT: Final = Path(__file__).resolve().parents[2]
SCHEMA: Final = schema()
ATTRIBUTES: Final = SCHEMA["attributes"]
TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "int": (int,),
    "integer": (int,),
    "double": (float, int),
    "number": (float, int),
    "boolean": (bool,),
    "object": (dict,),
    "array of strings": (list, tuple),
    "array of objects": (list,),
}


@pytest.fixture(scope="module")
def telling() -> Telling:
    return tell_all()


def fits(value: Any, kind: str) -> bool:
    """Whether a value is of a type; a boolean is no number."""
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


# --- the files


@pytest.mark.parametrize("path", [FILE, PAGE], ids=str)
def test_the_files_are_what_the_code_says(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check"], ROOT)
    assert str(path) not in capsys.readouterr().err


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    for path in (FILE, PAGE):
        (tmp_path / path).write_text((ROOT / path).read_text(encoding="utf-8"), encoding="utf-8")
    main(["write"], tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", [FILE, PAGE], ids=str)
def test_a_file_that_says_something_else_is_found_and_put_right(
    path: Path, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check"], checkout) == 0
    file = checkout / path
    true = file.read_text(encoding="utf-8")
    file.write_text(true.replace("Time that a caller waited", "Time that a server took"), encoding="utf-8")
    assert main(["check"], checkout) == 1
    assert str(path) in capsys.readouterr().err
    assert main(["write"], checkout) == 0
    assert main(["check"], checkout) == 0
    assert file.read_text(encoding="utf-8") == true


def test_a_document_that_is_missing_is_made(checkout: Path) -> None:
    (checkout / FILE).unlink()
    assert main(["check"], checkout) == 1
    assert main(["write"], checkout) == 0
    assert (checkout / FILE).read_text(encoding="utf-8") == text()


@pytest.mark.processes
def test_the_command_runs_in_a_checkout(checkout: Path) -> None:
    words = [sys.executable, "-m", "recloser.telemetry.schema", "check"]
    done = subprocess.run(words, cwd=checkout, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_says_what_it_can_do(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], checkout) == main(["wite"], checkout) == 64
    assert "`write` or `check`" in capsys.readouterr().err


def test_a_slot_of_the_page_for_no_table_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="gauges"):
        filled("<!-- table: gauges -->\n<!-- end -->", SCHEMA)


def test_the_page_has_a_slot_for_every_table() -> None:
    from recloser.telemetry.schema import page

    slots = re.findall(r"<!-- table: (.+) -->", (ROOT / PAGE).read_text(encoding="utf-8"))
    assert sorted(slots) == sorted(page._TABLES)


# --- the schema by itself


def test_every_attribute_is_used_and_every_one_that_is_used_is_described() -> None:
    used = {name for each in (*SCHEMA["spans"], *SCHEMA["metrics"]) for name in each["attributes"]}
    assert used == set(ATTRIBUTES)


def test_every_name_stands_once() -> None:
    for names in (
        [span["name"] for span in SCHEMA["spans"]],
        [metric["name"] for metric in SCHEMA["metrics"]],
        [line["event"] for line in SCHEMA["logs"]["events"]],
        *([field["name"] for field in fields] for fields in SCHEMA["audit"].values()),
    ):
        assert len(names) == len(set(names))


def test_everything_has_a_meaning() -> None:
    def meanings(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from (each for key, each in value.items() if key in ("meaning", "description"))
            for each in value.values():
                yield from meanings(each)
        elif isinstance(value, list):
            for each in value:
                yield from meanings(each)

    said = list(meanings(SCHEMA))
    assert len(said) > 100
    assert [each for each in said if not re.fullmatch(r".+[.…]", each)] == []


def test_the_names_in_prometheus_are_those_of_its_exporter() -> None:
    prometheus = pytest.importorskip("opentelemetry.exporter.prometheus", reason="NOT TESTED: recloser[prometheus]")
    from opentelemetry.metrics import Observation
    from opentelemetry.sdk.metrics import MeterProvider
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    provider = MeterProvider([prometheus.PrometheusMetricReader(registry=registry)], shutdown_on_exit=False)
    meter = provider.get_meter("test")
    for metric in METRICS:
        if metric.instrument.startswith("observable"):
            getattr(meter, f"create_{metric.instrument}")(
                metric.name, callbacks=[lambda _: [Observation(1)]], unit=metric.unit
            )
        else:
            made = getattr(meter, f"create_{metric.instrument}")(metric.name, unit=metric.unit)
            (made.record if metric.instrument == "histogram" else made.add)(1)
    shown = generate_latest(registry).decode()
    families = set(re.findall(r"^# TYPE (\S+) ", shown, re.MULTILINE)) - {"target_info"}
    assert {prometheus_name(metric) for metric in METRICS} == families
    provider.shutdown()


# --- what is really emitted: spans


def described(span: ReadableSpan) -> dict[str, Any]:
    """What the schema says of a span."""
    (found,) = (
        each
        for each in SCHEMA["spans"]
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", ".+", re.escape(each["name"])), span.name)
    )
    return dict(found)


def test_every_span_is_described(telling: Telling) -> None:
    assert len(telling.spans) > 300
    for span in telling.spans:
        facts = described(span)
        assert span.kind.name in facts["kinds"], span.name
        assert span.instrumentation_scope is not None
        assert span.instrumentation_scope.name == SCHEMA["scope"]
        given = dict(span.attributes or {})
        always = {name for name, when in facts["attributes"].items() if when == "always"}
        assert always <= set(given), (span.name, always - set(given))
        assert set(given) <= set(facts["attributes"]), (span.name, set(given) - set(facts["attributes"]))
        assert (span.status.status_code.name == "ERROR") == ("error.type" in given), span.name
        assert span.status.description == given.get("error.type")
        assert not span.events
        assert not span.links or facts["links"], span.name


def test_every_attribute_of_a_span_holds_what_is_described(telling: Telling) -> None:
    for span in telling.spans:
        for name, value in (span.attributes or {}).items():
            check_value(name, value)


def check_value(name: str, value: Any) -> None:
    facts = ATTRIBUTES[name]
    assert fits(value, facts["type"]), (name, value)
    if "values" in facts and not facts["others"]:
        assert value in facts["values"], (name, value)


def test_every_span_that_is_described_is_emitted_with_every_kind_and_attribute(telling: Telling) -> None:
    seen: dict[str, set[str]] = {}
    groups: dict[str, set[str]] = {}
    for span in telling.spans:
        facts = described(span)
        seen.setdefault(facts["name"], set()).update({span.kind.name, *(["links"] if span.links else [])})
        groups.setdefault(facts["group"], set()).update(span.attributes or {})
    for facts in SCHEMA["spans"]:
        expected = {*facts["kinds"], *(["links"] if facts["links"] else [])}
        assert seen.get(facts["name"]) == expected, facts["name"]
        assert set(facts["attributes"]) <= groups[facts["group"]], facts["name"]


def test_a_span_stands_within_what_the_schema_says_and_within_each_of_them(telling: Telling) -> None:
    facts = {span.context.span_id: described(span) for span in telling.spans if span.context is not None}
    seen: dict[str, set[str]] = {}
    for span in telling.spans:
        own = described(span)
        if span.parent is None:
            parent = "caller" if "caller" in own["parents"] else "none"
        else:
            above = facts[span.parent.span_id]
            parent = "attempts" if above["group"] == "attempts" else above["name"]
        seen.setdefault(own["name"], set()).add(parent)
    assert seen == {span["name"]: set(span["parents"]) for span in SCHEMA["spans"]}


def test_a_connection_that_is_lost_is_no_answer_of_the_server(telling: Telling) -> None:
    lost = [
        dict(span.attributes or {})
        for span in telling.spans
        if described(span)["group"] == "attempts" and (span.attributes or {})["recloser.server.name"] == "pipe"
    ]
    (failed,) = (each for each in lost if "error.type" in each)
    assert failed["error.type"] == "connection_lost"
    assert "rpc.response.status_code" not in failed


# --- metrics


def test_every_series_is_described(telling: Telling) -> None:
    facts = {metric["name"]: metric for metric in SCHEMA["metrics"]}
    for point in telling.points:
        metric = facts[point.metric]
        always = {name for name, when in metric["attributes"].items() if when == "always"}
        assert always <= set(point.attributes) <= set(metric["attributes"]), point
        assert point.unit == metric["unit"]
        assert point.bounds == (None if metric["buckets"] is None else tuple(metric["buckets"]))
        for name, value in point.attributes.items():
            check_value(name, value)


def test_every_metric_that_is_described_is_emitted_with_every_attribute(telling: Telling) -> None:
    seen: dict[str, set[str]] = {}
    for point in telling.points:
        seen.setdefault(point.metric, set()).update(point.attributes)
    assert seen == {metric["name"]: set(metric["attributes"]) for metric in SCHEMA["metrics"]}


def test_calls_and_attempts_add_up(telling: Telling) -> None:
    def total(metric: str, *, value: bool = False, **wanted: str) -> float:
        methods = ("tools/call", "prompts/get", "resources/read", "completion/complete")
        points = [
            point
            for point in telling.points
            if point.metric == metric
            and point.attributes["mcp.method.name"] in methods
            and all(point.attributes.get(key.replace("__", ".")) == each for key, each in wanted.items())
        ]
        return sum(point.value if value else point.count for point in points)

    from recloser.events import AttemptFinished, CallFinished

    finished = [event for event in telling.events if isinstance(event, CallFinished)]
    attempts = total("mcp.client.operation.duration")
    assert attempts == sum(event.attempts for event in finished)
    assert attempts == sum(isinstance(event, AttemptFinished) for event in telling.events)
    assert total("recloser.call.duration") == len(finished)
    retries = total("recloser.call.retries", value=True)
    assert retries == sum(event.retries for event in finished) > 0
    untried = sum(event.attempts == 0 for event in finished)
    assert attempts == len(finished) - untried + retries
    rejected = sum(point.value for point in telling.points if point.metric == "recloser.circuit_breaker.rejections")
    assert 0 < rejected == total("recloser.call.duration", error__type="circuit_open") <= untried


def test_no_series_and_no_span_holds_a_caller_a_call_or_a_uri(telling: Telling) -> None:
    told = json.dumps([point.attributes for point in telling.points])
    for word in ("alice", "mem://", "test://", "no-such", "nobody"):
        assert word not in told
    identifiers = {event.call_id for event in telling.events if hasattr(event, "call_id")}
    assert not [each for each in identifiers if each in told]
    spans = json.dumps([[span.name, dict(span.attributes or {})] for span in telling.spans])
    for word in ("alice", "no-such", "nobody"):
        assert word not in spans


# --- logs


def test_every_line_is_described(telling: Telling) -> None:
    assert telling.spans
    lines = {line["event"]: line for line in SCHEMA["logs"]["events"]}
    for level, event, given in telling.lines:
        fields = {field["name"]: field for field in lines[event]["fields"]}
        assert logging.getLevelName(level).lower() in lines[event]["levels"], event
        assert set(given) <= set(fields), event
        for name, value in given.items():
            if value is not None:
                assert fits(value, fields[name]["type"]), (event, name, value)
                assert "values" not in fields[name] or value in fields[name]["values"], (event, name, value)
        required = {name for name, field in fields.items() if not field["nullable"] and name not in ("name", "tool")}
        listed = {name for name in required if fields[name]["type"].startswith("array")}
        assert event == "suppressed" or required - listed <= set(given), (event, required - set(given))


def test_every_line_that_is_described_is_written_at_every_level(telling: Telling) -> None:
    assert telling.spans
    seen: dict[str, set[str]] = {}
    for level, event, _ in telling.lines:
        seen.setdefault(event, set()).add(logging.getLevelName(level).lower())
    for line in SCHEMA["logs"]["events"]:
        assert seen.get(line["event"]) == set(line["levels"]), line["event"]


# --- audit


def flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        yield f"{prefix}{name}", value
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, dict):
                    yield from flat(each, f"{prefix}{name}[].")


def test_the_audit_s_lines_are_described_and_what_is_described_is_in_them(telling: Telling) -> None:
    fields = {field["name"]: field for field in SCHEMA["audit"]["call"]}
    seen: set[str] = set()
    filled: set[str] = set()
    for record in telling.audit:
        for name, value in flat(record.to_dict()):
            seen.add(name)
            if value is None:
                assert fields[name]["nullable"], name
            else:
                filled.add(name)
                assert fits(value, fields[name]["type"]), (name, value)
                assert "values" not in fields[name] or value in fields[name]["values"], (name, value)
    assert seen == filled == set(fields)


def test_the_line_of_a_gap_is_described() -> None:
    from datetime import UTC, datetime

    from recloser.audit import AuditGap

    moment = datetime(2026, 1, 1, tzinfo=UTC)
    line = AuditGap(lost=3, since=moment, until=moment).to_dict()
    assert list(line) == [field["name"] for field in SCHEMA["audit"]["gap"]]
    for field in SCHEMA["audit"]["gap"]:
        assert fits(line[field["name"]], field["type"])


def test_a_series_can_be_told_from_another_one(telling: Telling) -> None:
    points: list[Point] = telling.points
    keys = [(point.metric, tuple(sorted(point.attributes.items()))) for point in points]
    assert len(keys) == len(set(keys))
