"""A collector that answers with a redirect has taken nothing, and somebody is told."""

from __future__ import annotations

import logging

import pytest
from telemetry_kit import configured, record

from recloser.telemetry.redirects import Redirected, Session, session
from support.otlp import OtlpReceiver

EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


@pytest.fixture(autouse=True)
def _loud() -> None:
    """Nothing of what an earlier test has told keeps this one's from being told."""
    for each in list(logging.getLogger(EXPORTER).filters):
        logging.getLogger(EXPORTER).removeFilter(each)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_what_a_collector_redirects_has_not_arrived_and_the_log_says_where_to_send_it(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    to = "https://me:password-1@elsewhere.example:4318/v1/traces?token=token-1"
    with OtlpReceiver(status=status, location=to) as collector:
        made = configured(otlp_endpoint=collector.url)
        record(made)
        assert made.shutdown() is False
        assert {request.path for request in collector.requests} == {"/v1/traces", "/v1/metrics"}
    assert "the collector redirects to https://elsewhere.example:4318; name that endpoint" in caplog.text
    assert "password-1" not in caplog.text
    assert "token-1" not in caplog.text


@pytest.mark.parametrize(
    ("location", "told"),
    [
        (None, "the collector answered 307 and has taken nothing"),
        ("/v1/traces", "the collector redirects to http://127.0.0.1:{port}; name that endpoint"),
        ("//other.example/", "the collector redirects to http://other.example; name that endpoint"),
        ("foo://other:99999", "the collector redirects to what is no URL; name that endpoint"),
    ],
)
def test_a_redirect_is_told_whatever_it_says(location: str | None, told: str) -> None:
    with OtlpReceiver(status=307, location=location) as collector, Session() as ours:
        with pytest.raises(Redirected) as raised:
            ours.request("POST", f"{collector.url}/v1/traces", data=b"", allow_redirects=False)
        assert str(raised.value) == told.format(port=collector.url.rpartition(":")[2])


def test_where_the_exporter_follows_only_a_request_that_stays_as_it_is_has_arrived(collector: OtlpReceiver) -> None:
    to = f"{collector.url}/v1/traces"
    with OtlpReceiver(status=308, location=to) as first, Session() as ours:
        assert ours.post(f"{first.url}/v1/traces", data=b"").status_code == 200
        first.status = 302
        with pytest.raises(Redirected, match="name that endpoint"):
            ours.post(f"{first.url}/v1/traces", data=b"")
    assert len(collector.requests) == 1


def test_a_session_with_credentials_of_its_own_is_left_to_the_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(session(), Session)
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER", "mine")
    assert session() is None


def test_what_an_exporter_raises_on_has_not_arrived_either(
    collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(*_: object, **__: object) -> None:
        raise Redirected

    monkeypatch.setattr(f"{EXPORTER}.OTLPSpanExporter.export", export)
    made = configured(otlp_endpoint=collector.url)
    record(made)
    assert made.shutdown() is False
