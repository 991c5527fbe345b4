"""Debian's Prometheus fetches what a router exports, and evaluates the alert rules on it."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest
import yaml

from recloser import Breaker, Call, Retry, Router, Server
from recloser.telemetry import configure
from recloser.testing.faulty import FaultyHttp
from support.observatory import eventually, get
from support.promql import series, wrong_with

pytestmark = pytest.mark.thorough

pytest.importorskip("opentelemetry.exporter.prometheus", reason="NOT TESTED: recloser[prometheus] is not installed")

ALERTS: Final = Path(__file__).resolve().parents[2] / "examples" / "observe" / "alerts.yaml"
PROMETHEUS: Final = shutil.which("prometheus")
CONFIG: Final = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{alerts}"]
scrape_configs:
  - job_name: recloser
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def prometheus(scraped: int, directory: Path) -> Iterator[str]:
    """Run Prometheus; yield the address of its API."""
    config, log = directory / "prometheus.yaml", directory / "log"
    config.write_text(CONFIG.format(alerts=ALERTS, port=scraped), encoding="utf-8")
    port = free_port()
    words = [
        str(PROMETHEUS),
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with log.open("wb") as said, subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=said, stderr=said) as process:
        try:
            yield f"http://127.0.0.1:{port}/api/v1"
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def query(api: str, expression: str) -> list[Any]:
    body = json.loads(get(f"{api}/query?{urlencode({'query': expression})}") or '{"status": ""}')
    return list(body["data"]["result"]) if body["status"] == "success" else []


def fetched(api: str) -> dict[str, Any]:
    """What Prometheus knows, once it has fetched something with an open circuit in it."""
    is_open = 'recloser_circuit_breaker_status{recloser_circuit_breaker_state="open"} == 1'
    found = eventually(lambda: query(api, is_open), "an open circuit")
    rules = eventually(lambda: _rules(api), "evaluated rules")
    names = json.loads(get(f"{api}/label/__name__/values"))["data"]
    expressions = {rule["name"]: query(api, rule["query"]) for rule in rules}
    calls = query(api, "sum by (recloser_server_name, recloser_outcome) (recloser_call_duration_seconds_count)")
    return {"open": found, "rules": rules, "names": names, "alerts": expressions, "calls": calls}


def _rules(api: str) -> list[Any]:
    body = get(f"{api}/rules")
    groups = json.loads(body)["data"]["groups"] if body else []
    rules = [rule for group in groups for rule in group["rules"]]
    return rules if rules and all(rule["health"] != "unknown" for rule in rules) else []


@pytest.mark.processes
@pytest.mark.skipif(
    PROMETHEUS is None, reason="NOT TESTED: a real Prometheus. It is not on the PATH; Debian has a package of that name"
)
def test_prometheus_fetches_the_metrics_and_evaluates_the_alerts(tmp_path: Path) -> None:
    async def main() -> dict[str, Any]:
        with configure(prometheus_port=0, logs="off", set_global=False, environ={}) as telemetry:
            port = telemetry.prometheus_port
            assert port is not None
            async with FaultyHttp() as good, FaultyHttp() as bad:
                poor = Retry(budget=10, attempts=2)
                servers = [
                    Server("good", good.url),
                    Server("bad", bad.url, breaker=Breaker(consecutive=2, open_for=300), retry=poor),
                ]
                async with Router(*servers, meter_provider=telemetry.meter_provider) as router:
                    for name in ("good", "bad"):
                        await router.ready(name)
                    bad.fault("status_503")
                    for _ in range(4):
                        await router.call_tool("good__echo", {"text": "x"})
                        await router.call_tool("bad__echo", {"text": "x"}, idempotent=True)
                    await router.fan_out(
                        [Call.tool("good__echo", {"text": "x"}), Call.tool("bad__echo", {"text": "x"})]
                    )
                    with prometheus(port, tmp_path) as api:
                        return await asyncio.to_thread(fetched, api)

    told = asyncio.run(main())
    assert [each["metric"]["recloser_server_name"] for each in told["open"]] == ["bad"]

    ours = {name for name in told["names"] if name.startswith(("recloser_", "mcp_"))}
    assert ours <= set(series())
    assert {
        "recloser_call_duration_seconds_bucket",
        "mcp_client_operation_duration_seconds_count",
        "recloser_circuit_breaker_rejections_total",
        "recloser_circuit_breaker_transitions_total",
        "recloser_fan_out_duration_seconds_sum",
        "recloser_retry_tokens",
    } <= ours

    counted = {
        (each["metric"]["recloser_server_name"], each["metric"]["recloser_outcome"]): float(each["value"][1])
        for each in told["calls"]
    }
    assert counted == {("good", "success"): 5.0, ("bad", "error"): 5.0}

    rules = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    assert len(told["rules"]) == sum(len(group["rules"]) for group in rules)
    for rule in told["rules"]:
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule["name"]
        assert wrong_with(rule["query"]) == [], rule["name"]
    # What is true at once; the others look at a stretch of time, and are tested with one that is made up.
    for name in ("RecloserCircuitOpen", "RecloserRetryBudgetLow"):
        assert [each["metric"]["recloser_server_name"] for each in told["alerts"][name]] == ["bad"], name
    assert told["alerts"]["RecloserCircuitIsolated"] == []
