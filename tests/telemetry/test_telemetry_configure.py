"""What `configure` makes, over the wire; and what of it is a mistake."""

from __future__ import annotations

import io
import json
import logging
import socket
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from telemetry_kit import configured, record, run

from recloser.config import ConfigurationError, Telemetry, load
from recloser.events import CircuitChanged
from recloser.telemetry.variables import reading
from support.otlp import OtlpReceiver

pytestmark = pytest.mark.thorough


def test_spans_and_metrics_arrive_with_who_sent_them(collector: OtlpReceiver) -> None:
    with configured(otlp_endpoint=collector.url, service_name="mine", service_version="2") as made:
        record(made)
    (span,) = collector.spans()
    assert (span["name"], span["kind"], span["status"]) == ("work", "INTERNAL", "UNSET")
    assert span["resource"]["service.name"] == "mine"
    assert span["resource"]["service.version"] == "2"
    assert span["resource"]["service.instance.id"]
    (metric,) = collector.metrics()
    assert (metric["name"], metric["kind"], metric["temporality"]) == ("done", "sum", "cumulative")
    assert metric["points"] == [{"attributes": {"kind": "a"}, "value": 3}]
    assert metric["resource"] == span["resource"]


def test_an_environment_that_is_handed_in_says_who_we_are_and_an_argument_comes_before_it(
    collector: OtlpReceiver,
) -> None:
    environ = {"OTEL_SERVICE_NAME": "handed-in", "OTEL_RESOURCE_ATTRIBUTES": "service.name=no, a.b = c%20d ,e=,=f"}
    for said, name in (({}, "handed-in"), ({"service_name": "mine"}, "mine")):
        with configured(otlp_endpoint=collector.url, environ=environ, **said) as made:
            record(made)
        resource = collector.spans()[-1]["resource"]
        assert (resource["service.name"], resource["a.b"]) == (name, "c d")
        assert not {"e", "", "service.version"} & resource.keys()


def test_what_the_environment_says_arrives(collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_SERVICE_NAME": "from-env",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,service.instance.id=i-1",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=acme",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2",
    }
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    with configured(Telemetry(service_name="from-file", otlp_endpoint="http://127.0.0.1:9"), environ=None) as made:
        assert made.tracer_provider is not None
        for number in range(3):
            made.tracer_provider.get_tracer("test").start_span(f"work {number}").end()
    resource = collector.spans()[0]["resource"]
    assert resource["service.name"] == "from-env"
    assert resource["deployment.environment.name"] == "test"
    assert resource["service.instance.id"] == "i-1"
    assert "service.version" not in resource
    assert {each.headers["x-tenant"] for each in collector.requests} == {"acme"}
    assert {each.headers["content-encoding"] for each in collector.requests} == {"gzip"}
    assert len([each for each in collector.requests if each.path == "/v1/traces"]) == 2


@pytest.mark.parametrize(("sampler", "arrived"), [("always_off", 0), ("parentbased_always_on", 1)])
def test_the_sampler_of_the_environment_is_used(
    sampler: str, arrived: int, collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    with configured(otlp_endpoint=collector.url) as made:
        record(made)
    assert len(collector.spans()) == arrived


def test_by_default_everything_is_sampled(collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_TRACES_SAMPLER", raising=False)
    with configured(otlp_endpoint=collector.url) as made:
        assert made.tracer_provider is not None
        assert "ParentBased{root:AlwaysOnSampler" in made.tracer_provider.sampler.get_description()
        record(made)
    assert len(collector.spans()) == 1


def test_the_sdk_s_own_tracer_is_off_and_every_other_is_on(collector: OtlpReceiver) -> None:
    with configured(otlp_endpoint=collector.url) as made:
        assert made.tracer_provider is not None
        for scope in ("mcp-python-sdk", "recloser", "app"):
            made.tracer_provider.get_tracer(scope).start_span(f"of {scope}").end()
    assert [span["scope"] for span in collector.spans()] == ["recloser", "app"]


def test_with_an_sdk_that_cannot_switch_a_tracer_off_it_stays_on(
    collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    class Old(TracerProvider):
        def __init__(self, *, resource: Any, shutdown_on_exit: bool) -> None:
            super().__init__(resource=resource, shutdown_on_exit=shutdown_on_exit)

    monkeypatch.setattr("opentelemetry.sdk.trace.TracerProvider", Old)
    with configured(otlp_endpoint=collector.url) as made:
        assert made.tracer_provider is not None
        made.tracer_provider.get_tracer("mcp-python-sdk").start_span("of the SDK").end()
    assert [span["scope"] for span in collector.spans()] == ["mcp-python-sdk"]


def test_an_sdk_that_makes_no_instance_id_gets_one(collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.sdk.resources import Resource

    monkeypatch.setattr(Resource, "create", staticmethod(lambda attributes=None: Resource(attributes or {})))
    with configured(otlp_endpoint=collector.url) as made:
        record(made)
    assert len(collector.spans()[0]["resource"]["service.instance.id"]) == 36


def test_without_a_place_to_send_to_nothing_is_made() -> None:
    with configured(logs="json", stream=io.StringIO()) as made:
        assert (made.tracer_provider, made.meter_provider, made.prometheus_port) == (None, None, None)
        assert repr(made) == "Configured(logs)"
        assert made.shutdown()


def test_only_what_is_asked_for_is_made(collector: OtlpReceiver) -> None:
    with configured(otlp_endpoint=collector.url, environ={"OTEL_METRICS_EXPORTER": "none"}) as made:
        assert made.meter_provider is None
        assert repr(made) == "Configured(spans)"
    with configured(otlp_endpoint=collector.url, environ={"OTEL_TRACES_EXPORTER": "none"}) as made:
        assert made.tracer_provider is None
        assert repr(made) == "Configured(metrics)"


def test_prometheus_can_fetch_the_metrics_from_this_machine_alone() -> None:
    with configured(prometheus_port=0) as made:
        assert made.prometheus_port
        assert made.meter_provider is not None
        made.meter_provider.get_meter("test").create_counter("done").add(3, {"kind": "a"})
        with urllib.request.urlopen(f"http://127.0.0.1:{made.prometheus_port}/metrics") as page:
            text = page.read().decode()
        assert 'done_total{kind="a"' in text
        assert 'service_name="recloser"' in text
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{made.prometheus_port}/metrics")


def test_a_port_that_is_taken_is_a_mistake_and_nothing_is_left_running(collector: OtlpReceiver) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=rf"prometheus_port: port {port} of 127\.0\.0\.1 cannot be listened"
        ):
            configured(otlp_endpoint=collector.url, prometheus_port=port, logs="json", stream=io.StringIO())
    assert not [each for each in logging.getLogger("recloser").handlers if type(each).__module__.startswith("recloser")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5000"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "abc"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "-1"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "bogus"),
    ],
)
def test_a_variable_that_the_sdk_does_not_accept_is_a_mistake_and_nothing_is_left_running(
    name: str, value: str, collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(threading.enumerate())
    # Named by the error itself, or the only ones that the part that failed reads.
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "7")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        configured(otlp_endpoint=collector.url, prometheus_port=0)
    assert str(caught.value).startswith(f"configuration: {name}: OpenTelemetry does not accept what it says: ")
    left = {each for each in set(threading.enumerate()) - before if "otel" in each.name.lower()}
    assert left == set()


def test_of_several_variables_that_may_be_meant_all_are_named(
    collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with pytest.raises(ConfigurationError, match=r"^configuration: OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_SCHEDULE_DELAY: "):
        configured(otlp_endpoint=collector.url)


def test_metrics_are_sent_as_often_as_an_argument_says_whatever_a_variable_does(
    collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "3600000")
    with configured(otlp_endpoint=collector.url, metrics_every=0.02) as made:
        record(made)
        collector.wait(lambda collector: collector.points("done"))  # before the end, which sends what is left


@pytest.mark.parametrize("seconds", [0, -1])
def test_metrics_cannot_be_sent_every_no_seconds(seconds: float, collector: OtlpReceiver) -> None:
    with pytest.raises(ValueError, match=r"^metrics_every must be more than 0, got "):
        configured(otlp_endpoint=collector.url, metrics_every=seconds)


@pytest.mark.parametrize("said", ["often", float("nan"), True])
def test_how_often_metrics_are_sent_is_a_number(said: Any, collector: OtlpReceiver) -> None:
    with pytest.raises(TypeError, match=rf"^metrics_every must be a number, got {said!r}$"):
        configured(otlp_endpoint=collector.url, metrics_every=said)


def test_what_no_variable_can_have_caused_is_no_mistake_of_a_configuration() -> None:
    with pytest.raises(RuntimeError, match=r"^ours$"), reading("OTEL_NOTHING_SUCH_"):
        raise RuntimeError("ours")


def test_an_error_without_a_word_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", "nothing_such")
    said = r"PROVIDER: OpenTelemetry does not accept what it says: StopIteration$"
    with pytest.raises(ConfigurationError, match=said), reading("OTEL_PYTHON_TRACER_PROVIDER"):
        raise StopIteration


@pytest.mark.processes
@pytest.mark.parametrize("module", ["recloser", "recloser.telemetry"])
def test_a_propagator_that_is_not_there_keeps_nobody_from_importing_what_needs_none(module: str) -> None:
    done = run(f"import {module}", OTEL_PROPAGATORS="b3")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("signal", ["traces", "metrics"])
def test_without_the_exporter_it_is_said_what_to_install(signal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.metric_exporter", None)
    other = "metrics" if signal == "traces" else "traces"
    environ = {f"OTEL_{other.upper()}_EXPORTER": "none"}
    with pytest.raises(ConfigurationError) as caught:
        configured({"recloser": {"telemetry": {"otlp_endpoint": "http://127.0.0.1:4318"}}}, environ=environ)
    assert str(caught.value) == (
        "configuration: recloser.telemetry.otlp_endpoint: sending to a collector needs the package "
        "opentelemetry-exporter-otlp-proto-http; pip install 'recloser[otlp]'"
    )


def test_without_the_exporter_what_only_the_environment_asks_for_is_left_out_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.metric_exporter", None)
    with configured(environ={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}) as made:
        assert (made.tracer_provider, made.meter_provider) == (None, None)
    assert "pip install 'recloser[otlp]'; nothing is sent" in caplog.text


def test_without_the_package_for_prometheus_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.prometheus", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'recloser\[prometheus\]'"):
        configured(prometheus_port=0)


def test_what_is_passed_over_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with configured(environ={"OTEL_TRACES_EXPORTER": "zipkin"}):
        assert "OTEL_TRACES_EXPORTER: zipkin is passed over" in caplog.text


# --- the configuration


def test_a_configuration_comes_as_a_file_a_mapping_or_as_it_was_loaded(tmp_path: Path) -> None:
    source = {"recloser": {"telemetry": {"log_level": "error", "service_name": "mine"}}}
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps(source), encoding="utf-8")
    for each in (source, file, str(file), load(source), Telemetry(log_level="error", service_name="mine")):
        with configured(each) as made:
            assert (made.settings.log_level, made.settings.service_name, made.settings.logs) == ("error", "mine", "off")
    with configured() as made:
        assert made.settings == Telemetry(logs="off")


def test_arguments_come_before_the_configuration() -> None:
    with configured(
        Telemetry(logs="off", log_level="error"), logs="json", log_level="debug", stream=io.StringIO()
    ) as made:
        assert made.logging
        assert (made.settings.logs, made.settings.log_level) == ("json", "debug")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"otlp_endpoint": "collector:4318"}, "telemetry.otlp_endpoint must be a URL like .*, got 'collector:4318'"),
        ({"prometheus_port": 70000}, "telemetry.prometheus_port must be from 0 to 65535, got 70000"),
        ({"log_level": "loud"}, "telemetry.log_level must be one of 'debug', .*, got 'loud'"),
        ({"logs": "xml"}, "telemetry.logs must be one of 'auto', .*, got 'xml'"),
    ],
)
def test_an_argument_of_a_wrong_value_is_refused_by_its_name(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        configured(**wrong)


def test_secrets_of_all_sources_are_hidden_in_the_log() -> None:
    stream = io.StringIO()
    source = {"mcpServers": {"s": {"command": "x", "env": {"API_KEY": "secret-of-server"}}}}
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret-of-collector", "OTEL_SDK_DISABLED": "true"}
    with configured(source, logs="json", stream=stream, environ=environ, secrets=["secret-of-caller"]):
        logging.getLogger("recloser").warning("secret-of-server secret-of-collector secret-of-caller")
    assert json.loads(stream.getvalue())["event"] == "[redacted] [redacted] [redacted]"


def test_the_listener_writes_events_and_its_last_words_at_the_end() -> None:
    stream = io.StringIO()
    event = CircuitChanged(server="s", endpoint="s/0", previous="closed", state="open", reason="failures")
    with configured(logs="json", stream=stream) as made:
        for _ in range(10):
            made.listener(event)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["circuit_changed"] * 5 + ["suppressed"]
    with configured() as made:
        made.listener(event)
        assert not made.logging
