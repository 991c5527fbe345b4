"""What a configuration says about telemetry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_cases import write
from pydantic import SecretStr

from recloser.config import ConfigurationError, Telemetry, load

ALL: dict[str, Any] = {
    "service_name": "mine",
    "otlp_endpoint": "https://user:hunter2-secret@collector.example/otlp?api_key=key-of-mine",
    "prometheus_port": 9464,
    "attempt_span_kind": "client",
    "capture_content": True,
    "logs": "json",
    "log_level": "debug",
    "audit": "audit.jsonl",
    "audit_max_bytes": 1_000_000,
    "audit_backups": 2,
    "audit_key": "a-key-of-sixteen-bytes",
}


def test_everything_can_be_said_in_a_file(tmp_path: Path) -> None:
    settings = load(write(tmp_path, "mcp.json", {"recloser": {"telemetry": ALL}}))
    made = {"audit": tmp_path / "audit.jsonl", "audit_key": SecretStr(ALL["audit_key"])}
    assert settings.telemetry == Telemetry(**ALL | made)
    assert set(ALL) == set(Telemetry.__dataclass_fields__)


def test_what_is_left_out_has_a_default() -> None:
    assert load({"recloser": {}}).telemetry == Telemetry()


def test_references_are_followed() -> None:
    told = {"otlp_endpoint": "${COLLECTOR}", "prometheus_port": "${PORT}", "logs": "${LOGS}"}
    environ = {"COLLECTOR": "http://127.0.0.1:4318", "PORT": "9464", "LOGS": "off"}
    telemetry = load({"recloser": {"telemetry": told}}, environ=environ).telemetry
    assert (telemetry.otlp_endpoint, telemetry.prometheus_port, telemetry.logs) == (
        "http://127.0.0.1:4318",
        9464,
        "off",
    )


def test_what_a_collector_is_reached_with_is_secret() -> None:
    settings = load({"recloser": {"telemetry": ALL}})
    secrets = {secret.get_secret_value() for secret in settings.secrets}
    assert {"hunter2-secret", "key-of-mine"} <= secrets


def test_the_audits_key_is_secret() -> None:
    settings = load({"recloser": {"telemetry": ALL}})
    assert ALL["audit_key"] in {secret.get_secret_value() for secret in settings.secrets}
    assert ALL["audit_key"] not in repr(settings)
    assert settings.telemetry.hash_key == b"a-key-of-sixteen-bytes"
    with pytest.raises(ConfigurationError, match=r"telemetry\.audit_key must have at least 16 bytes") as caught:
        load({"recloser": {"telemetry": {"audit_key": "${KEY}"}}}, environ={"KEY": "short-hunter2"})
    assert "short-hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"service_name": ""}, "telemetry.service_name must not be empty"),
        ({"logs": "xml"}, "telemetry.logs must be one of 'auto', 'json', 'console', 'off', got 'xml'"),
        ({"log_level": "loud"}, "telemetry.log_level must be one of 'debug', .*, got 'loud'"),
        ({"attempt_span_kind": "server"}, "telemetry.attempt_span_kind must be one of .*, got 'server'"),
        ({"otlp_endpoint": "http://[::1"}, "telemetry.otlp_endpoint must be a URL"),
    ],
)
def test_a_record_made_in_code_is_checked_too(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Telemetry(**wrong)
