"""What arguments, the environment and a configuration come to between them."""

# ruff: noqa: E501 - the tables are quoted as they are, one case a line

from __future__ import annotations

from typing import Any

import pytest

from recloser.config import Telemetry
from recloser.telemetry.plan import Overrides, Plan, plan, secrets_of
from recloser.version import __version__


def planned(said: dict[str, Any] | None = None, known: dict[str, Any] | None = None, /, **environ: str) -> Plan:
    return plan(Overrides(**said or {}), Telemetry(**known or {}), environ)


def urls(made: Plan) -> tuple[str | None, str | None]:
    return made.traces and made.traces.url, made.metrics and made.metrics.url


BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
METRICS = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
FILE = {"otlp_endpoint": "http://file:4318"}
ARGUMENT = {"otlp_endpoint": "http://argument:4318"}


def test_nothing_is_exported_unless_somebody_says_where_to() -> None:
    assert planned().empty
    assert not planned(ARGUMENT).empty
    assert not planned({"prometheus_port": 0}).empty


@pytest.mark.parametrize(
    ("said", "known", "environ", "traces", "metrics"),
    [
        ({}, FILE, {}, "http://file:4318/v1/traces", "http://file:4318/v1/metrics"),
        ({}, FILE, {BASE: "http://env:1/"}, "http://env:1/v1/traces", "http://env:1/v1/metrics"),
        ({}, FILE, {BASE: ""}, "http://file:4318/v1/traces", "http://file:4318/v1/metrics"),
        ({}, {}, {TRACES: "http://env:1/x"}, "http://env:1/x", None),
        ({}, {}, {METRICS: "http://env:1/x"}, None, "http://env:1/x"),
        ({}, FILE, {TRACES: "http://env:1/x"}, "http://env:1/x", "http://file:4318/v1/metrics"),
        ({}, {}, {BASE: "http://env:1", TRACES: "http://t:1/x"}, "http://t:1/x", "http://env:1/v1/metrics"),
        (ARGUMENT, FILE, {BASE: "http://env:1", TRACES: "http://env:1/x"}, "http://argument:4318/v1/traces", "http://argument:4318/v1/metrics"),
        ({"otlp_endpoint": "http://a:1/v1/traces"}, {}, {}, "http://a:1/v1/traces", "http://a:1/v1/metrics"),
        ({"otlp_endpoint": "https://a/otlp/?key=1"}, {}, {}, "https://a/otlp/v1/traces?key=1", "https://a/otlp/v1/metrics?key=1"),
        ({}, {}, {"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318/v1/traces", None),
        (ARGUMENT, FILE, {"OTEL_TRACES_EXPORTER": "none"}, None, "http://argument:4318/v1/metrics"),
        (ARGUMENT, FILE, {"OTEL_METRICS_EXPORTER": "None"}, "http://argument:4318/v1/traces", None),
        (ARGUMENT, {}, {"OTEL_METRICS_EXPORTER": "prometheus,otlp"}, "http://argument:4318/v1/traces", "http://argument:4318/v1/metrics"),
        (ARGUMENT, {}, {"OTEL_METRICS_EXPORTER": "prometheus"}, "http://argument:4318/v1/traces", None),
        (ARGUMENT, FILE, {"OTEL_SDK_DISABLED": "TRUE", BASE: "http://env:1"}, None, None),
        (ARGUMENT, FILE, {"OTEL_SDK_DISABLED": "yes"}, "http://argument:4318/v1/traces", "http://argument:4318/v1/metrics"),
    ],
)  # fmt: skip
def test_an_argument_comes_before_the_environment_and_that_before_the_file(
    said: dict[str, Any], known: dict[str, Any], environ: dict[str, str], traces: str | None, metrics: str | None
) -> None:
    assert urls(planned(said, known, **environ)) == (traces, metrics)


def test_who_said_it_is_known_and_what_only_the_environment_said_is_optional() -> None:
    for made, named_by, optional in (
        (planned(ARGUMENT), "otlp_endpoint", False),
        (planned({}, FILE), "recloser.telemetry.otlp_endpoint", False),
        (planned(**{BASE: "http://env:1"}), BASE, True),
        (planned(**{TRACES: "http://env:1"}), TRACES, True),
        (planned(OTEL_TRACES_EXPORTER="otlp"), "OTEL_TRACES_EXPORTER", True),
    ):
        assert made.traces is not None
        assert (made.traces.named_by, made.traces.optional) == (named_by, optional)


@pytest.mark.parametrize(
    ("said", "known", "environ", "address"),
    [
        ({}, {}, {}, None),
        ({}, {}, {"OTEL_EXPORTER_PROMETHEUS_PORT": "1"}, None),
        ({}, {"prometheus_port": 2}, {}, ("127.0.0.1", 2)),
        ({}, {"prometheus_port": 2}, {"OTEL_EXPORTER_PROMETHEUS_PORT": "1"}, ("127.0.0.1", 1)),
        ({"prometheus_port": 0}, {"prometheus_port": 2}, {"OTEL_EXPORTER_PROMETHEUS_PORT": "1"}, ("127.0.0.1", 0)),
        ({}, {}, {"OTEL_METRICS_EXPORTER": "prometheus"}, ("127.0.0.1", 9464)),
        ({}, {"prometheus_port": 2}, {"OTEL_METRICS_EXPORTER": "prometheus"}, ("127.0.0.1", 2)),
        ({}, {}, {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_HOST": "0.0.0.0"}, ("0.0.0.0", 9464)),
        ({"prometheus_port": 1}, {}, {"OTEL_METRICS_EXPORTER": "none"}, None),
        ({"prometheus_port": 1}, {}, {"OTEL_METRICS_EXPORTER": "otlp"}, ("127.0.0.1", 1)),
        ({"prometheus_port": 1}, {}, {"OTEL_SDK_DISABLED": "true"}, None),
        ({"serve_metrics": False}, {"prometheus_port": 2}, {"OTEL_METRICS_EXPORTER": "prometheus"}, None),
    ],
)  # fmt: skip
def test_where_prometheus_fetches_metrics(
    said: dict[str, Any], known: dict[str, Any], environ: dict[str, str], address: tuple[str, int] | None
) -> None:
    assert planned(said, known, **environ).prometheus == address


@pytest.mark.parametrize(
    ("said", "known", "environ", "resource"),
    [
        ({}, {}, {}, {"service.name": "recloser", "service.version": __version__}),
        ({}, {"service_name": "mine"}, {}, {"service.name": "mine"}),
        ({"service_name": "a"}, {"service_name": "mine"}, {"OTEL_SERVICE_NAME": "env"}, {"service.name": "a"}),
        ({}, {"service_name": "mine"}, {"OTEL_SERVICE_NAME": "env"}, {}),
        ({}, {}, {"OTEL_RESOURCE_ATTRIBUTES": "a=b, service.name = env"}, {}),
        ({}, {}, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=,service.version=7"}, {"service.name": "recloser"}),
        ({"service_name": "a", "service_version": "1"}, {}, {"OTEL_RESOURCE_ATTRIBUTES": "service.version=7"}, {"service.name": "a", "service.version": "1"}),
        ({}, {}, {"OTEL_SDK_DISABLED": "true"}, {"service.name": "recloser", "service.version": __version__}),
    ],
)  # fmt: skip
def test_who_we_are_is_said_in_the_same_order(
    said: dict[str, Any], known: dict[str, Any], environ: dict[str, str], resource: dict[str, str]
) -> None:
    assert planned(said, known, **environ).resource == resource


def test_an_export_takes_two_seconds_unless_the_environment_says_otherwise() -> None:
    assert planned(ARGUMENT).timeout == 2.0
    for name in ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"):
        assert planned(ARGUMENT, **{name: "5"}).timeout is None


@pytest.mark.parametrize(
    ("environ", "note"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin,console"}, "OTEL_TRACES_EXPORTER: console, zipkin is passed over; known here: none, otlp"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc is not spoken here; http/protobuf is used, whose port is 4318 by convention"),
        ({"OTEL_EXPORTER_PROMETHEUS_PORT": "none"}, "OTEL_EXPORTER_PROMETHEUS_PORT: 'none' is no port and is passed over"),
        ({"OTEL_EXPORTER_PROMETHEUS_PORT": "65536"}, "OTEL_EXPORTER_PROMETHEUS_PORT: '65536' is no port and is passed over"),
    ],
)  # fmt: skip
def test_what_is_passed_over_is_said(environ: dict[str, str], note: str) -> None:
    made = planned(ARGUMENT | {"prometheus_port": 1}, **environ)
    assert made.notes == (note,)
    if "TRACES" in note:
        assert made.traces is None


@pytest.mark.parametrize("variable", [BASE, TRACES])
def test_what_is_no_url_in_the_environment_is_passed_over_and_said_once(variable: str) -> None:
    made = planned({}, FILE, **{variable: "collector:4317"})
    assert urls(made) == ("http://file:4318/v1/traces", "http://file:4318/v1/metrics")
    assert made.notes == (f"{variable} must be a URL like http://localhost:4318; it is passed over",)


def test_what_is_spoken_here_is_no_news() -> None:
    assert planned(ARGUMENT, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf", OTEL_TRACES_EXPORTER="otlp").notes == ()
    assert planned(OTEL_EXPORTER_OTLP_PROTOCOL="grpc").notes == ()


def test_how_a_collector_is_reached_holds_secrets() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret-one,Authorization=Bearer%20secret-two",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x=secret-three",
        BASE: "http://user:secret%2Dfour@env:1",
        METRICS: "http://[",
    }
    said = Overrides(otlp_endpoint="https://a.example/?key=secret-five")
    found = set(secrets_of(Telemetry(otlp_endpoint="http://u:secret-six@file:1"), said, environ))
    for number in ("one", "two", "three", "four", "five", "six"):
        assert f"secret-{number}" in found
    assert not {"https://a.example/", "env", "api-key", "Bearer"} & found


@pytest.mark.parametrize("headers", ["x-team: zq9Fhunter", "x-team:zq9Fhunter", "zq9Fhunter", "x-team: a=zq9Fhunter"])
@pytest.mark.parametrize("rest", ["", ",b=c"])
def test_headers_that_cannot_be_read_are_secret_as_a_whole(headers: str, rest: str) -> None:
    found = set(secrets_of(Telemetry(), Overrides(), {"OTEL_EXPORTER_OTLP_HEADERS": headers + rest}))
    assert {headers, headers.rpartition("a=")[2].rpartition(":")[2].strip()} <= found


@pytest.mark.parametrize(
    "url", ["http://zq9Fhunter@h/", "http://zq9Fhunter:x@h/", "http://h/?zq9Fhunter", "http://h/?key=zq9Fhunter"]
)
def test_all_of_a_collectors_url_but_its_place_is_secret(url: str) -> None:
    assert "zq9Fhunter" in set(secrets_of(Telemetry(otlp_endpoint=url), Overrides(), {}))
