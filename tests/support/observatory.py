"""The real way of telemetry: a collector, Jaeger and, where it is there, Prometheus, as `make observe` starts them."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE: Final = 60.0
"""Seconds after which what has not come is taken for lost; nothing is asserted about how long it took."""
COLLECTOR: Final = shutil.which("otelcol-contrib") or shutil.which("otelcol")
JAEGER: Final = shutil.which("jaeger")
PORTS: Final = (
    "OTELCOL_GRPC_PORT",
    "OTELCOL_HTTP_PORT",
    "OTELCOL_RED_PORT",
    "OTELCOL_SELF_PORT",
    "OTELCOL_HEALTH_PORT",
    "JAEGER_OTLP_PORT",
    "JAEGER_QUERY_PORT",
    "JAEGER_GRPC_PORT",
    "PROMETHEUS_PORT",
)


def _unless(**programs: str | None) -> pytest.MarkDecorator:
    missing = [name.replace("_", "-") for name, found in programs.items() if found is None]
    return pytest.mark.skipif(
        bool(missing),
        reason=f"NOT TESTED with the real programs: {' and '.join(missing)} not on the PATH; "
        "docs/observability.md says how to get them",
    )


needs_collector = _unless(otelcol_contrib=COLLECTOR)
needs_programs = _unless(otelcol_contrib=COLLECTOR, jaeger=JAEGER)

T = TypeVar("T")


def eventually(look: Callable[[], T | None], what: str) -> T:
    """Return what `look` finds, as soon as it finds something."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"did not come: {what}")


def get(url: str) -> str:
    """Return the body of an answer; "" where there is none, or it says that there is nothing (yet)."""
    try:
        with urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())
    except HTTPError as error:
        error.close()
        return ""
    except (OSError, http.client.HTTPException):
        return ""


@dataclass(frozen=True)
class Spot:
    """One span as Jaeger shows it."""

    id: str
    parent: str | None
    service: str
    name: str
    tags: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.tags.get("span.kind", "internal"))

    @property
    def failed(self) -> bool:
        return self.tags.get("error") is True


class Observatory:
    """Where the programs are reached, and what they know."""

    def __init__(self, ports: Mapping[str, str]) -> None:
        self.ports = dict(ports)
        self.otlp = f"http://127.0.0.1:{ports['OTELCOL_HTTP_PORT']}"
        self.jaeger = f"http://127.0.0.1:{ports['JAEGER_QUERY_PORT']}"
        self.prometheus = f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}"

    def metrics(self) -> str:
        """What the collector shows to Prometheus."""
        return get(f"http://127.0.0.1:{self.ports['OTELCOL_RED_PORT']}/metrics")

    def raw(self, trace_id: str) -> str:
        """A trace as Jaeger's API tells it; "" while it is not there."""
        return get(f"{self.jaeger}/api/traces/{trace_id}")

    def find(self, service: str, **query: str) -> list[str]:
        """The ids of the traces that a search in Jaeger finds."""
        body = get(f"{self.jaeger}/api/traces?{urlencode({'service': service, 'limit': '100', **query})}")
        return [trace["traceID"] for trace in json.loads(body or '{"data": []}')["data"]]

    def spans(self, trace_id: str) -> list[Spot]:
        """The spans of a trace, those that began first coming first."""
        body = self.raw(trace_id)
        if not body:
            return []
        (trace,) = json.loads(body)["data"]
        found = []
        for span in sorted(trace["spans"], key=lambda span: span["startTime"]):
            parents = [one["spanID"] for one in span["references"] if one["refType"] == "CHILD_OF"]
            service = trace["processes"][span["processID"]]["serviceName"]
            tags = {tag["key"]: tag["value"] for tag in span["tags"]}
            found.append(Spot(span["spanID"], parents[0] if parents else None, service, span["operationName"], tags))
        return found

    def trace(self, trace_id: str, size: int) -> list[Spot]:
        """The spans of a trace, once there are so many."""

        def whole() -> list[Spot] | None:
            spans = self.spans(trace_id)
            return spans if len(spans) >= size else None

        return eventually(whole, f"{size} spans of trace {trace_id}")


def free_ports() -> dict[str, str]:
    """Ports that nobody listens on, all different."""
    with ExitStack() as held:
        found = {}
        for name in PORTS:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            found[name] = str(probe.getsockname()[1])
    return found


@contextmanager
def observatory(**settings: str) -> Iterator[Observatory]:
    """Start everything on free ports with `make observe`'s program, and end it in the end, come what may."""
    for attempt in range(3):
        with _started(settings) as (found, said):
            if found is not None:
                yield found
                return
        # Between being found free and being used, a port may be taken by somebody else on this machine.
        assert attempt < 2, said
        assert "listens on port" in said or "address already in use" in said, said


@contextmanager
def _started(settings: Mapping[str, str]) -> Iterator[tuple[Observatory | None, str]]:
    ports = free_ports()
    # A group of its own, so that all of them can be ended even if the program that started them has lost its head.
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "observe" / "observe.py"), "--with", "programs"],
        env={**os.environ, "RECLOSER_DECISION_WAIT": "3s", "RECLOSER_ROOT_WAIT": "1s", **ports, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("Stop it:"):
                yield Observatory(ports), said
                break
        else:
            yield None, said
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
