"""The files that telemetry is looked at with: what they name is there, and nothing is open to the network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from recloser import Timeouts
from recloser.telemetry.schema import schema

ROOT: Final = Path(__file__).resolve().parents[2]
OBSERVE: Final = ROOT / "examples" / "observe"
COLLECTOR: Final = ROOT / "otel-collector.yaml"
BATCH_DELAY: Final = 5.0
"""Seconds that an SDK waits before it sends what has come together: OTEL_BSP_SCHEDULE_DELAY."""
REFERENCE: Final = re.compile(r"\$\{(?:env:)?(?P<name>\w+):-(?P<default>[^}]*)\}")

# What the file names and does not come from us: spans of servers, and of other instrumentations.
FOREIGN: Final = {
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "mcp.session.id",
    "enduser.id",
    "exception.stacktrace",
    "exception.message",
    "service.name",
    "telemetry.sdk.language",
    "telemetry.sdk.name",
}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def with_defaults(value: str) -> str:
    """A value as it is where no environment variable is set."""
    return REFERENCE.sub(lambda found: found["default"], value)


def texts(value: Any) -> Iterator[str]:
    """All texts in a file, keys included."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


@pytest.fixture(scope="module")
def collector() -> Any:
    return load(COLLECTOR)


# --- otel-collector.yaml and jaeger.yaml


@pytest.mark.parametrize("path", [COLLECTOR, OBSERVE / "jaeger.yaml"], ids=lambda path: path.name)
def test_every_part_of_a_pipeline_is_defined_and_every_part_defined_is_used(path: Path) -> None:
    config = load(path)
    defined = {kind: set(config.get(kind, {})) for kind in ("receivers", "processors", "exporters", "connectors")}
    used: dict[str, set[str]] = {"receivers": set(), "processors": set(), "exporters": set()}
    for pipeline in config["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            used[kind] |= set(names)
    assert used["processors"] == defined["processors"]
    assert used["receivers"] == defined["receivers"] | defined["connectors"]
    assert used["exporters"] == defined["exporters"] | defined["connectors"]
    assert set(config["service"]["extensions"]) == set(config["extensions"])


@pytest.mark.parametrize("path", [COLLECTOR, OBSERVE / "jaeger.yaml"], ids=lambda path: path.name)
def test_everything_listens_on_loopback_unless_it_is_told_otherwise(path: Path) -> None:
    config = load(path)
    assert "0.0.0.0" not in set(texts(config))
    listening = [
        with_defaults(value)
        for part in ("receivers", "extensions")
        for value in texts(config[part])
        if "_LISTEN_HOST" in value
    ]
    assert listening
    assert all(value.startswith("127.0.0.1:") for value in listening), listening
    endpoints = re.findall(r"^\s+(?:\w+: \{)?endpoint: \"?(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert all(found.startswith("${env:") or "http://127.0.0.1" in found for found in endpoints), endpoints


def test_memory_is_limited_first_in_every_pipeline_that_takes_data_in(collector: Any) -> None:
    for name, pipeline in collector["service"]["pipelines"].items():
        if "otlp" in pipeline["receivers"]:
            assert pipeline["processors"][0] == "memory_limiter", name
            assert "redaction" in pipeline["processors"], name


def test_spans_are_counted_before_they_are_sampled(collector: Any) -> None:
    pipelines = collector["service"]["pipelines"]
    assert set(pipelines["traces/in"]["exporters"]) == {"span_metrics", "forward/all_spans"}
    assert "tail_sampling" not in pipelines["traces/in"]["processors"]
    assert pipelines["traces/kept"]["receivers"] == ["forward/all_spans"]
    assert pipelines["traces/kept"]["processors"] == ["tail_sampling", "batch"]


def test_a_decision_waits_longer_than_the_longest_call(collector: Any) -> None:
    sampling = collector["processors"]["tail_sampling"]
    wait = re.fullmatch(r"(\d+)s", with_defaults(sampling["decision_wait"]))
    assert wait is not None
    assert int(wait[1]) > Timeouts().total + BATCH_DELAY
    after_root = re.fullmatch(r"(\d+)s", with_defaults(sampling["decision_wait_after_root_received"]))
    assert after_root is not None
    assert BATCH_DELAY < int(after_root[1]) < int(wait[1])


def test_the_traces_worth_a_look_are_kept(collector: Any) -> None:
    policies = {policy["name"]: policy for policy in collector["processors"]["tail_sampling"]["policies"]}
    assert policies["errors"]["status_code"] == {"status_codes": ["ERROR"]}
    assert policies["degraded"]["boolean_attribute"] == {"key": "recloser.degraded", "value": True}
    assert policies["retried"]["numeric_attribute"]["key"] == "recloser.retry.count"
    assert policies["retried"]["numeric_attribute"]["min_value"] == 1
    assert set(policies["circuit"]["string_attribute"]["values"]) == {"open", "half_open", "isolated"}
    assert with_defaults(policies["slow"]["latency"]["threshold_ms"]) == "2000"
    assert with_defaults(policies["share"]["probabilistic"]["sampling_percentage"]) == "10"


def test_every_attribute_that_the_collector_is_told_of_is_one_that_there_is(collector: Any) -> None:
    told = set()
    for action in collector["processors"]["attributes/no_content"]["actions"]:
        told.add(action.get("key"))
    for policy in collector["processors"]["tail_sampling"]["policies"]:
        told |= {part["key"] for part in policy.values() if isinstance(part, dict) and "key" in part}
    told |= {dimension["name"] for dimension in collector["connectors"]["span_metrics"]["dimensions"]}
    told |= set(collector["connectors"]["span_metrics"]["resource_metrics_key_attributes"])
    for group in collector["processors"]["transform/no_free_text"]["trace_statements"]:
        told |= {name for line in group["statements"] for name in re.findall(r"\"([a-z]+\.[a-z_.]+)\"", line)}
    told -= {None}
    ours = our_span_attributes()
    assert told - FOREIGN <= ours, told - FOREIGN - ours
    assert not FOREIGN - told, "no longer named"


def our_span_attributes() -> set[str]:
    """The attributes of all our spans."""
    return {name for span in schema()["spans"] for name in span["attributes"]}


def test_what_traces_are_kept_by_has_the_type_and_the_values_that_we_give_it(collector: Any) -> None:
    known = schema()["attributes"]
    kinds = {"boolean_attribute": "boolean", "numeric_attribute": "int", "string_attribute": "string"}
    checked = 0
    for policy in collector["processors"]["tail_sampling"]["policies"]:
        for kind in kinds.keys() & policy.keys():
            attribute = known[policy[kind]["key"]]
            assert attribute["type"] == kinds[kind], policy["name"]
            assert set(policy[kind].get("values", [])) <= set(attribute.get("values", [])), policy["name"]
            checked += 1
    assert checked == 3


SECRETS: Final = [
    "Authorization: Bearer canary-0123456789",
    "basic dXNlcjpwYXNzd29yZA==",
    "postgres://admin:hunter2canary@db/x",
    "https://h/?token=canary0123",
    'api_key="canary0123"',
    "password: canary0123",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl",
    "AKIAIOSFODNN7CANARYX",
    "AIza" + "c" * 35,
    "ghp_" + "c" * 36,
    "glpat-" + "c" * 20,
    "xoxb-123456789-canary",
    "sk-ant-" + "c" * 24,
    "sk_live_" + "c" * 24,
    "npm_" + "c" * 36,
    "SG." + "c" * 22 + "." + "c" * 43,
    "abc8Q~" + "c" * 34,
    "-----BEGIN RSA PRIVATE KEY-----\nMIICANARY\n-----END RSA PRIVATE KEY-----",
]
HARMLESS: Final = [
    "tools/call weather__get_forecast",
    "execute_tool search",
    "recloser.retry.count",
    "server_error",
    "2026-07-28",
    "https://mcp.example.com/mcp",
    "retry budget: 486 tokens",
    "circuit_open",
    "4bf92f3577b34da6a3ce929d0e0e4736",
]


def patterns(collector: Any, name: str) -> list[re.Pattern[str]]:
    """The expressions of the redaction: in the file a dollar is written twice, and Python reads them as Go does."""
    return [re.compile(text.replace("$$", "$")) for text in collector["processors"]["redaction"][name]]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_has_a_pattern(collector: Any, secret: str) -> None:
    assert any(pattern.search(secret) for pattern in patterns(collector, "blocked_values"))


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_has_none(collector: Any, text: str) -> None:
    assert not any(pattern.search(text) for pattern in patterns(collector, "blocked_values"))


def test_none_of_our_attributes_goes_by_the_name_of_a_secret(collector: Any) -> None:
    names = our_span_attributes()
    assert names
    assert not [
        name for name in names for pattern in patterns(collector, "blocked_key_patterns") if pattern.search(name)
    ]


@pytest.mark.parametrize(
    "name",
    [
        "http.request.header.authorization",
        "http.response.header.set-cookie",
        "proxy-authorization",
        "db.password",
        "client_secret",
        "x-api-key",
        "aws.access_key",
        "access_token",
        "token",
        "JWT",
    ],
)
def test_the_name_of_a_secret_has_a_pattern(collector: Any, name: str) -> None:
    assert any(pattern.search(name) for pattern in patterns(collector, "blocked_key_patterns"))


def test_a_dollar_is_written_twice() -> None:
    # A single one begins a reference, to which the collector would put something else.
    text = COLLECTOR.read_text(encoding="utf-8")
    assert not re.search(r"(?<!\$)\$(?!\$|\{env:)", text.replace("$$", ""))


def test_every_variable_has_a_default_and_is_explained() -> None:
    for path in (COLLECTOR, OBSERVE / "jaeger.yaml"):
        text = path.read_text(encoding="utf-8")
        named = set(re.findall(r"\$\{env:(\w+)", text))
        assert named == {found["name"] for found in REFERENCE.finditer(text)}
        head = text.partition("\n\n")[0] if path != COLLECTOR else text.partition("\nreceivers:")[0]
        assert not [name for name in named if name not in head], path.name


# --- compose.yaml


@pytest.fixture(scope="module")
def compose() -> Any:
    return load(OBSERVE / "compose.yaml")


def test_every_port_is_published_on_loopback_only(compose: Any) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert {"127.0.0.1:4317:4317", "127.0.0.1:4318:4318", "127.0.0.1:16686:16686"} <= set(ports)
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in ports), ports
    assert not [name for name, service in compose["services"].items() if "network_mode" in service]


def test_every_image_has_a_version(compose: Any) -> None:
    images = [service["image"] for service in compose["services"].values()]
    assert all(re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+", image) for image in images), images


def test_every_file_that_is_mounted_is_there_and_cannot_be_written(compose: Any) -> None:
    mounted = [volume for service in compose["services"].values() for volume in service.get("volumes", [])]
    for volume in mounted:
        here, _, rights = volume.split(":")
        assert (OBSERVE / here).is_file(), volume
        assert rights == "ro", volume


def test_every_container_has_the_least_rights_and_a_limit_of_memory(compose: Any) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert re.fullmatch(r"\d+m", service["mem_limit"]), name


def test_the_collector_leaves_room_between_its_limits(collector: Any, compose: Any) -> None:
    limits = collector["processors"]["memory_limiter"]
    service = compose["services"]["collector"]
    collects_from = int(service["environment"]["GOMEMLIMIT"].removesuffix("MiB"))
    container = int(service["mem_limit"].removesuffix("m"))
    assert collects_from <= limits["limit_mib"] - limits["spike_limit_mib"] < limits["limit_mib"] < container


def test_the_services_find_each_other(compose: Any) -> None:
    services = compose["services"]
    known = set(services)
    jaeger = load(OBSERVE / "jaeger.yaml")
    otlp = with_defaults(jaeger["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]).rpartition(":")[2]
    assert services["collector"]["environment"]["JAEGER_OTLP_ENDPOINT"] == f"jaeger:{otlp}"
    exporter = load(COLLECTOR)["exporters"]["otlp_grpc/jaeger"]
    assert with_defaults(exporter["endpoint"]) == f"127.0.0.1:{otlp}"
    assert services["jaeger"]["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"
    targets = [
        target
        for job in load(OBSERVE / "prometheus.yaml")["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
    ]
    assert sorted(targets) == ["collector:8888", "collector:8889"]
    sources = load(OBSERVE / "grafana" / "datasources.yaml")["datasources"]
    assert {source["url"].split("/")[2].partition(":")[0] for source in sources} <= known
    for service in services.values():
        assert set(service.get("depends_on", [])) <= known


def test_the_dashboard_is_where_grafana_looks_and_its_sources_are_known(compose: Any) -> None:
    (provider,) = load(OBSERVE / "grafana" / "dashboards.yaml")["providers"]
    mounted = {volume.split(":")[1] for volume in compose["services"]["grafana"]["volumes"]}
    home = compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in mounted
    assert home.startswith(provider["options"]["path"] + "/")
    known = {source["uid"] for source in load(OBSERVE / "grafana" / "datasources.yaml")["datasources"]}
    dashboard = (OBSERVE / "grafana-dashboard.json").read_text(encoding="utf-8")
    named = set(re.findall(r'"datasource":\s*\{[^}]*"uid":\s*"([^"]+)"', dashboard))
    assert {name for name in named if name not in ("-- Grafana --", "grafana")} <= known


def test_prometheus_loads_the_alerts_that_are_mounted(compose: Any) -> None:
    mounted = {volume.split(":")[1] for volume in compose["services"]["prometheus"]["volumes"]}
    (rules,) = load(OBSERVE / "prometheus.yaml")["rule_files"]
    assert f"/etc/prometheus/{rules}" in mounted
