"""Where the commands' spans, metrics, logs and audit go."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recloser import Router
from recloser.cli import main
from recloser.cli.app import app
from recloser.cli.demo import METRICS_EVERY, every
from recloser.cli.observing import Observing
from support.commands import recloser, server, write
from support.otlp import OtlpReceiver

pytestmark = [pytest.mark.thorough, pytest.mark.processes]

MATH = {"math": server("math")}


@pytest.fixture
def collector() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


def call(config: str, *options: str) -> list[str]:
    return ["call", config, "math__add", "a=1", "b=2", *options]


def names(collector: OtlpReceiver) -> set[str]:
    return {span["name"] for span in collector.spans()}


def test_a_call_is_seen_by_the_collector_in_the_audit_and_in_the_log(
    tmp_path: Path, collector: OtlpReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = tmp_path / "audit.jsonl"
    options = ["--otlp", collector.url, "--audit", str(audit), "--log-level", "debug", "--log-format", "json"]
    assert main(call(write(tmp_path, MATH), *options)) == 0
    out, err = capsys.readouterr()
    assert out == "3\n"
    collector.wait(lambda collector: collector.points("recloser.call.duration") and collector.spans())
    (call_span,) = collector.named("execute_tool add")
    (attempt,) = collector.named("tools/call add")
    assert (attempt["parent_id"], attempt["kind"]) == (call_span["span_id"], "CLIENT")
    assert call_span["resource"]["service.name"] == "recloser"
    (line,) = [json.loads(line) for line in audit.read_text().splitlines()]
    logged = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    (finished,) = [each for each in logged if each["event"] == "call_finished"]
    assert finished["trace_id"] == line["trace_id"] == call_span["trace_id"]
    assert {each["logger"].partition(".")[0] for each in logged} >= {"recloser"}


def test_the_other_commands_have_the_same_options(tmp_path: Path, collector: OtlpReceiver) -> None:
    config = write(tmp_path, MATH)
    for command in ("tools", "check"):
        collector.clear()
        audit = tmp_path / command
        assert main([command, config, "--otlp", collector.url, "--audit", str(audit)]) == 0
        assert "recloser.connect" in names(collector)
        assert audit.read_text() == ""


def test_what_the_configuration_says_takes_effect(
    tmp_path: Path, collector: OtlpReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {
        "otlp_endpoint": collector.url,
        "service_name": "from-file",
        "audit": "audit.jsonl",
        "logs": "console",
        "log_level": "debug",
        "capture_content": True,
        "attempt_span_kind": "internal",
    }
    assert main(call(write(tmp_path, MATH, telemetry=told))) == 0
    out, err = capsys.readouterr()
    assert out == "3\n"
    assert " call_finished call_id=" in err
    (call_span,) = collector.named("execute_tool add")
    assert call_span["resource"]["service.name"] == "from-file"
    assert json.loads(call_span["attributes"]["gen_ai.tool.call.arguments"]) == {"a": 1, "b": 2}
    assert collector.named("tools/call add")[0]["kind"] == "INTERNAL"
    assert len((tmp_path / "audit.jsonl").read_text().splitlines()) == 1


def test_the_command_line_comes_before_the_configuration(
    tmp_path: Path, collector: OtlpReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"otlp_endpoint": "http://127.0.0.1:9", "audit": "one", "logs": "console", "log_level": "debug"}
    options = ["--otlp", collector.url, "--audit", str(tmp_path / "two"), "--log-level", "error"]
    assert main(call(write(tmp_path, MATH, telemetry=told), *options)) == 0
    assert "execute_tool add" in names(collector)
    assert (tmp_path / "two").exists()
    assert not (tmp_path / "one").exists()
    assert capsys.readouterr() == ("3\n", "")


def test_a_command_does_not_need_the_port_at_which_a_program_of_this_configuration_shows_its_metrics(
    tmp_path: Path,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = write(tmp_path, {}, telemetry={"prometheus_port": taken.getsockname()[1]})
        assert main(["check", config]) == 0


def test_unless_somebody_asks_for_it_nothing_is_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for told in ({}, {"logs": "off"}):
        assert main(call(write(tmp_path, MATH, telemetry=told))) == 0
        assert capsys.readouterr() == ("3\n", "")


@pytest.mark.parametrize(
    ("options", "told", "start"),
    [
        (["--log-level", "info"], {}, "{"),
        (["--log-level", "info"], {"logs": "off"}, "{"),
        (["--log-level", "info"], {"logs": "console"}, "2"),
        (["--log-format", "console"], {}, "2"),
        (["--log-format", "json"], {"logs": "console"}, "{"),
        ([], {"logs": "auto"}, "{"),
    ],
)
def test_the_form_of_log_lines(
    options: list[str], told: dict[str, Any], start: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(call(write(tmp_path, MATH, telemetry=told), *options)) == 0
    out, err = capsys.readouterr()
    assert out == "3\n"
    assert err.startswith(start)
    assert "connection_changed" in err


def test_verbose_logs_what_happens_for_people_who_watch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(tmp_path, MATH, telemetry={"log_level": "error"})
    assert main(["--verbose", *call(config)]) == 0
    assert "connection_changed" in capsys.readouterr().err
    assert main(call(config)) == 0
    assert capsys.readouterr().err == ""


def test_verbose_shows_where_recloser_itself_failed(capsys: pytest.CaptureFixture[str]) -> None:
    @app.command("break")
    def break_() -> None:
        logging.getLogger("recloser").warning("about to fail")
        raise RuntimeError("broken")

    try:
        assert main(["-v", "break"]) == 70
        *lines, last = capsys.readouterr().err.splitlines()
        events = [json.loads(line) for line in lines]
        assert [each["event"] for each in events] == ["about to fail", "failed"]
        assert events[1]["exception"][0]["exc_value"] == "broken"
        assert last.startswith("Error: recloser itself failed: RuntimeError: broken")
        assert main(["break"]) == 70
        assert len(capsys.readouterr().err.splitlines()) == 1
    finally:
        app.registered_commands.pop()


def test_secrets_of_the_configuration_are_in_no_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    servers = {"bad": {"command": "/nowhere/secret-of-mine", "env": {"API_KEY": "secret-of-mine"}}}
    assert main(["tools", write(tmp_path, servers), "--log-level", "debug"]) == 70
    assert "secret-of-mine" not in capsys.readouterr().err.replace("/nowhere/secret-of-mine", "")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def test_a_collector_that_is_not_there_costs_a_warning_and_no_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert main(call(write(tmp_path, MATH), "--otlp", url)) == 0
    out, err = capsys.readouterr()
    assert out == "3\n"
    assert err.startswith("Warning: Not all that was recorded has arrived")


def test_a_collector_that_redirects_costs_a_warning_and_no_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with OtlpReceiver(status=308, location="https://127.0.0.1:1/v1/traces") as collector:
        assert main(call(write(tmp_path, MATH), "--otlp", collector.url)) == 0
    out, err = capsys.readouterr()
    assert out == "3\n"
    assert err.startswith("Warning: Not all that was recorded has arrived")


def test_a_collector_that_never_answers_does_not_hold_up_the_end_of_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")
    with OtlpReceiver(hold=True) as collector:
        done = recloser(*call(write(tmp_path, MATH), "--otlp", collector.url))
    assert (done.returncode, done.stdout) == (0, "3\n")
    assert done.stderr.startswith("Warning: Not all that was recorded has arrived")


def test_an_audit_file_that_cannot_be_written_is_told_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "no" / "audit"
    config = write(tmp_path, MATH)
    assert main(call(config, "--audit", str(nowhere))) == 78
    assert capsys.readouterr().err == (
        f"Error: configuration: --audit: {nowhere} cannot be written: No such file or directory\n"
    )
    assert main(call(write(tmp_path, MATH, telemetry={"audit": "no/audit"}))) == 78
    assert "recloser.telemetry.audit: " in capsys.readouterr().err


def test_a_call_whose_audit_is_lost_has_succeeded_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "Warning: 1 record of the audit was lost: /dev/full could not be written.\n"
    assert main(call(write(tmp_path, MATH), "--audit", "/dev/full")) == 0
    assert capsys.readouterr() == ("3\n", said)
    # Where there is a log, it says why, and is not ended before that.
    assert main(call(write(tmp_path, MATH), "--audit", "/dev/full", "--log-level", "error")) == 0
    first, *_, last = capsys.readouterr().err.splitlines(keepends=True)
    assert "cannot be written to /dev/full: No space left on device" in json.loads(first)["event"]
    assert last == said


def test_the_end_of_a_command_counts_the_records_that_were_lost(capsys: pytest.CaptureFixture[str]) -> None:
    async def refused() -> None:
        async with Observing(audit=Path("/dev/full")).begun() as options, Router(**options) as router:
            for _ in range(3):
                await router.call_tool("nobody__has_it", {})

    asyncio.run(refused())
    assert capsys.readouterr().err == "Warning: 3 records of the audit were lost: /dev/full could not be written.\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--otlp", "127.0.0.1:4318"], "must be a URL like http://127.0.0.1:4318"),
        (["--log-level", "loud"], "--log-level"),
        (["--log-format", "xml"], "--log-format"),
    ],
)
def test_an_option_with_a_wrong_value_is_a_usage_error(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tools", write(tmp_path, {}), *options]) == 64
    assert said in " ".join(capsys.readouterr().err.split())


def test_without_the_exporter_a_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.metric_exporter", None)
    assert main(["tools", write(tmp_path, {}), "--otlp", "http://127.0.0.1:4318"]) == 78
    assert "pip install 'recloser[otlp]'" in capsys.readouterr().err


def test_a_variable_that_opentelemetry_does_not_accept_is_a_mistake_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    assert main(["tools", write(tmp_path, {}), "--otlp", "http://127.0.0.1:4318"]) == 78
    assert capsys.readouterr() == (
        "",
        "Error: configuration: OTEL_BSP_MAX_QUEUE_SIZE: OpenTelemetry does not accept what it says: "
        "max_queue_size must be a positive integer\n",
    )


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("OTEL_PROPAGATORS", "Propagator nobody_s not found"),
        ("OTEL_PYTHON_TRACER_PROVIDER", "StopIteration"),
        ("OTEL_PYTHON_METER_PROVIDER", "StopIteration"),
    ],
)
def test_a_part_of_opentelemetry_that_is_not_there_is_a_mistake_and_no_traceback(
    variable: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "nobody_s")
    done = recloser("--version")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith(
        f"Error: configuration: {variable}: OpenTelemetry does not accept what it says: {said}"
    )
    assert len(done.stderr.splitlines()) == 1


def test_the_demo_sends_its_story(collector: OtlpReceiver, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    done = recloser("demo", "--otlp", collector.url, "--audit", str(audit))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    (retried,) = collector.named("execute_tool sum_of_primes")
    assert [each["status"] for each in collector.children(retried)] == ["ERROR", "UNSET"]
    assert {"recloser.fan_out", "recloser.connect", "execute_tool get_weather"} <= names(collector)
    rejected = [each for each in collector.named("execute_tool search") if not collector.children(each)]
    assert {each["attributes"]["error.type"] for each in rejected} == {"circuit_open"}
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert {each["trace_id"] for each in lines} <= set(collector.traces())
    # What was so while it ran, and how it is in the end: a collector shows for minutes what it heard last.
    circuits = [
        point
        for metric in collector.metrics()
        if metric["name"] == "recloser.circuit_breaker.status"
        for point in metric["points"]
    ]
    seen = [each["attributes"]["recloser.server.name"] for each in circuits if _open(each)]
    assert set(seen) == {"search"}
    assert len(collector.points("recloser.circuit_breaker.status")) == 16
    assert not [each for each in collector.points("recloser.circuit_breaker.status") if _open(each)]


def _open(point: dict[str, Any]) -> bool:
    return point["attributes"]["recloser.circuit_breaker.state"] == "open" and point["value"] == 1


def test_the_demo_sends_its_metrics_every_second_unless_a_variable_says_how_often() -> None:
    assert every({}) == every({"OTEL_METRIC_EXPORT_INTERVAL": " "}) == METRICS_EVERY == 1
    assert every({"OTEL_METRIC_EXPORT_INTERVAL": "5000"}) is None


def test_a_command_that_logs_nothing_loads_no_structlog_and_one_that_sends_nothing_no_sdk(tmp_path: Path) -> None:
    code = (
        "import sys; from recloser.cli import main; main(['tools', sys.argv[1]]);"
        "print([name for name in ('structlog', 'opentelemetry.sdk', 'requests') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, write(tmp_path, MATH)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_command_that_is_interrupted_ends_its_telemetry_too(tmp_path: Path, collector: OtlpReceiver) -> None:
    async def interrupted() -> None:
        async with Observing(otlp=collector.url, audit=tmp_path / "audit").begun() as options:
            options["tracer_provider"].get_tracer("test").start_span("begun").end()
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert names(collector) == {"begun"}
