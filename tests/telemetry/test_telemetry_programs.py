"""What `configure` does to a whole program: it leaves alone what is not its own, and its end never hangs."""

from __future__ import annotations

import json
import socket
import sys

import pytest
from opentelemetry import metrics, trace
from telemetry_kit import configured, record, run

from recloser.telemetry import configure
from support.otlp import OtlpReceiver

pytestmark = pytest.mark.thorough


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


# --- an application of its own


APPLICATION = """
import sys
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from recloser.telemetry import configure
tracers, meters = TracerProvider(), MeterProvider()
trace.set_tracer_provider(tracers)
metrics.set_meter_provider(meters)
with configure(otlp_endpoint=sys.argv[1], logs="json", log_level="info") as made:
    assert (made.tracer_provider, made.meter_provider) == (None, None)
    assert trace.get_tracer_provider() is tracers and metrics.get_meter_provider() is meters
tracers.get_tracer("app").start_span("still alive").end()
assert meters.get_meter("app").create_counter("c")
"""

OURS = """
import sys
from opentelemetry import metrics, trace
from recloser.telemetry import configure
made = configure(otlp_endpoint=sys.argv[1], logs="off")
assert trace.get_tracer_provider() is made.tracer_provider
assert metrics.get_meter_provider() is made.meter_provider
second = configure(otlp_endpoint=sys.argv[1], logs="off")
assert (second.tracer_provider, second.meter_provider) == (None, None)
trace.get_tracer("app").start_span("work").end()
metrics.get_meter("app").create_counter("done").add(1)
"""


@pytest.mark.processes
def test_an_application_s_own_providers_are_left_alone(collector: OtlpReceiver) -> None:
    done = run(APPLICATION, collector.url)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert collector.requests == []
    told = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert told == [f"{what} go where the application's own provider sends them" for what in ("spans", "metrics")]


@pytest.mark.processes
def test_where_there_are_none_ours_are_the_process_s_and_its_end_hands_all_over(collector: OtlpReceiver) -> None:
    done = run(OURS, collector.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [span["name"] for span in collector.spans()] == ["work"]
    assert collector.points("done")


def test_the_process_s_providers_are_not_touched_unless_wanted(collector: OtlpReceiver) -> None:
    before = trace.get_tracer_provider(), metrics.get_meter_provider()
    with configured(otlp_endpoint=collector.url):
        assert (trace.get_tracer_provider(), metrics.get_meter_provider()) == before


@pytest.mark.processes
def test_importing_it_and_setting_up_nothing_loads_neither_the_sdk_nor_structlog() -> None:
    heavy = ["opentelemetry.sdk", "opentelemetry.exporter", "prometheus_client", "requests", "structlog"]
    code = "import sys; from recloser.telemetry import configure; configure(logs='off');"
    code += f"print([name for name in {heavy} if name in sys.modules])"
    done = run(code)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# --- the end


def test_what_has_arrived_is_told_and_the_end_comes_once(collector: OtlpReceiver) -> None:
    made = configured(otlp_endpoint=collector.url)
    record(made)
    assert made.shutdown()
    sent = len(collector.requests)
    assert made.shutdown()
    assert len(collector.requests) == sent


def test_what_could_not_be_sent_is_told(caplog: pytest.LogCaptureFixture) -> None:
    made = configured(otlp_endpoint=f"http://127.0.0.1:{free_port()}")
    record(made)
    assert not made.shutdown(30)
    assert not made.shutdown(30)


def test_a_collector_that_refuses_is_told() -> None:
    with OtlpReceiver(status=400) as collector:
        made = configured(otlp_endpoint=collector.url)
        record(made)
        assert not made.shutdown(30)
        assert {each.path for each in collector.requests} == {"/v1/traces", "/v1/metrics"}
        assert collector.spans() == []


def test_a_collector_that_never_answers_holds_the_end_up_no_longer_than_it_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")
    with OtlpReceiver(hold=True) as collector:
        made = configured(otlp_endpoint=collector.url, environ=None)
        record(made)
        assert not made.shutdown(0.05)  # without a deadline of ours this would take ten minutes


LAST_WORDS = """
import sys
from opentelemetry import metrics, trace
from recloser.telemetry import configure
configure(otlp_endpoint=sys.argv[1], prometheus_port=0, logs="json")
for _ in range(2000):
    trace.get_tracer("app").start_span("work").end()
metrics.get_meter("app").create_counter("done").add(1)
"""


@pytest.mark.processes
def test_a_process_ends_although_its_collector_never_answers() -> None:
    with OtlpReceiver(hold=True) as collector:
        done = run(LAST_WORDS, collector.url, OTEL_EXPORTER_OTLP_TIMEOUT="600")
        assert collector.requests
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.processes
def test_a_process_ends_although_nobody_listens_and_says_so_once() -> None:
    done = run(LAST_WORDS, f"http://127.0.0.1:{free_port()}", OTEL_BSP_SCHEDULE_DELAY="10")
    assert (done.returncode, done.stdout) == (0, "")
    told = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert 0 < len(told) <= 8, told


def test_a_crash_of_a_process_that_is_all_ours_is_told_redacted() -> None:
    before = sys.excepthook
    with configure(logs="off", secrets=["hunter2hunter2"], whole_process=True, set_global=False, environ={}):
        assert sys.excepthook is not before
    assert sys.excepthook is before
