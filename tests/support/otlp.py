"""A collector for tests: takes OTLP over HTTP as protobuf, as a real one does, and tells what came in plain values."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

_ANSWERS: Final[dict[str, Any]] = {
    "/v1/traces": ExportTraceServiceResponse,
    "/v1/metrics": ExportMetricsServiceResponse,
}


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request that came in, as it was on the wire but for its compression."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class OtlpReceiver:
    """A collector on a free loopback port, in a thread of its own; usable with `with`, or by `start` and `stop`.

    `hold=True` makes it a black hole: it takes connections and requests and never answers. `status` is what it answers
    with; anything but 200 makes it refuse what it is sent, and such requests count in `requests` only. `location` is
    where it redirects to.
    """

    def __init__(self, *, hold: bool = False, status: int = 200, location: str | None = None, port: int = 0) -> None:
        self.hold = hold
        self.status = status
        self.location = location
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._requests: list[Received] = []
        self._taken: list[Received] = []

    # --- its life

    def start(self) -> Self:
        """Listen; `url` is known from then on."""
        self._server = _Server(("127.0.0.1", self._port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="otlp-receiver")
        self._thread.start()
        return self

    def stop(self) -> None:
        """End every connection and thread; what came in stays readable."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()
        self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """What `otlp_endpoint` and `OTEL_EXPORTER_OTLP_ENDPOINT` take."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    # --- what came in

    @property
    def requests(self) -> list[Received]:
        """All requests so far, the refused ones too."""
        with self._changed:
            return list(self._requests)

    @property
    def everything(self) -> bytes:
        """All bodies and headers so far in one, to look for what must not be in them."""
        return b"\n".join(each.body + repr(each.headers).encode() for each in self.requests)

    def spans(self) -> list[dict[str, Any]]:
        """All spans so far, by the time they began.

        Keys: `name`, `trace_id`, `span_id`, `parent_id` (None for a root), `kind` (`INTERNAL`, `CLIENT`, …), `status`
        (`UNSET`, `OK`, `ERROR`), `description`, `attributes`, `links` (each `trace_id`, `span_id`, `attributes`),
        `events` (each `name`, `attributes`), `start`, `end` (seconds since 1970), `trace_state`, `resource`, `scope`,
        `scope_version`.
        """
        return sorted(self._spans(), key=lambda span: span["start"])

    def metrics(self) -> list[dict[str, Any]]:
        """All metrics so far, as they came: one entry for each export of each instrument.

        Keys: `name`, `description`, `unit`, `kind` (`sum`, `gauge`, `histogram`), `monotonic` and `temporality` (of a
        sum or histogram, else None), `resource`, `scope`, `scope_version`, `points`. A point has `attributes`, and
        `value`, or `count`, `sum`, `bounds` and `buckets`.
        """
        return list(self._metrics())

    def logs(self) -> list[dict[str, Any]]:
        """All log records so far: `body`, `severity`, `attributes`, `trace_id`, `span_id`, `resource`."""
        return list(self._logs())

    def points(self, name: str, **attributes: Any) -> list[dict[str, Any]]:
        """The points of a metric's last export that have these attributes; a dot in a name is written `__`."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        last = [metric for metric in self.metrics() if metric["name"] == name][-1:]
        return [
            point
            for metric in last
            for point in metric["points"]
            if all(point["attributes"].get(key) == value for key, value in wanted.items())
        ]

    def named(self, name: str) -> list[dict[str, Any]]:
        """The spans of this name."""
        return [span for span in self.spans() if span["name"] == name]

    def children(self, span: dict[str, Any]) -> list[dict[str, Any]]:
        """The spans whose parent is this one, from whichever process."""
        return [
            each
            for each in self.spans()
            if each["parent_id"] == span["span_id"] and each["trace_id"] == span["trace_id"]
        ]

    def traces(self) -> dict[str, list[dict[str, Any]]]:
        """The spans by trace."""
        found: dict[str, list[dict[str, Any]]] = {}
        for span in self.spans():
            found.setdefault(span["trace_id"], []).append(span)
        return found

    def wait(self, until: Callable[[OtlpReceiver], bool], timeout: float = 20.0) -> None:
        """Wait until it has what the test wants, as far as that comes by itself (batches, other processes)."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: until(self), timeout)
        names = sorted({span["name"] for span in self.spans()})
        assert arrived, f"it did not come within {timeout} s; spans: {names}"

    def clear(self) -> None:
        """Forget what came in."""
        with self._changed:
            self._requests.clear()
            self._taken.clear()

    # --- for its handlers

    def take(self, request: Received) -> bytes | None:
        """Note a request and return the answer to it; None where it is refused or cannot be read."""
        try:
            _REQUESTS[request.path].FromString(request.body)
        except (KeyError, DecodeError):
            known = False
        else:
            known = True
        with self._changed:
            self._requests.append(request)
            if known and self.status == 200:
                self._taken.append(request)
            self._changed.notify_all()
        if not known or self.status != 200:
            return None
        answer = _ANSWERS.get(request.path)
        return b"" if answer is None else answer().SerializeToString()

    # --- decoding

    def _bodies(self, path: str) -> Iterator[Any]:
        with self._changed:
            taken = [each for each in self._taken if each.path == path]
        for each in taken:
            yield _REQUESTS[path].FromString(each.body)

    def _spans(self) -> Iterator[dict[str, Any]]:
        for request in self._bodies("/v1/traces"):
            for by_resource in request.resource_spans:
                resource = _attributes(by_resource.resource.attributes)
                for by_scope in by_resource.scope_spans:
                    scope = {"scope": by_scope.scope.name, "scope_version": by_scope.scope.version}
                    for span in by_scope.spans:
                        yield {**_span(span), "resource": resource, **scope}

    def _metrics(self) -> Iterator[dict[str, Any]]:
        for request in self._bodies("/v1/metrics"):
            for by_resource in request.resource_metrics:
                resource = _attributes(by_resource.resource.attributes)
                for by_scope in by_resource.scope_metrics:
                    scope = {"scope": by_scope.scope.name, "scope_version": by_scope.scope.version}
                    for metric in by_scope.metrics:
                        yield {**_metric(metric), "resource": resource, **scope}

    def _logs(self) -> Iterator[dict[str, Any]]:
        for request in self._bodies("/v1/logs"):
            for by_resource in request.resource_logs:
                resource = _attributes(by_resource.resource.attributes)
                for by_scope in by_resource.scope_logs:
                    for record in by_scope.log_records:
                        yield {
                            "body": _value(record.body),
                            "severity": record.severity_text,
                            "attributes": _attributes(record.attributes),
                            "trace_id": record.trace_id.hex(),
                            "span_id": record.span_id.hex(),
                            "resource": resource,
                        }


_REQUESTS: Final[dict[str, Any]] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, kind)


def _span(span: Any) -> dict[str, Any]:
    return {
        "name": span.name,
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex() or None,
        "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        "status": Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        "description": span.status.message,
        "attributes": _attributes(span.attributes),
        "links": [
            {
                "trace_id": link.trace_id.hex(),
                "span_id": link.span_id.hex(),
                "attributes": _attributes(link.attributes),
            }
            for link in span.links
        ],
        "events": [{"name": event.name, "attributes": _attributes(event.attributes)} for event in span.events],
        "start": span.start_time_unix_nano / 1e9,
        "end": span.end_time_unix_nano / 1e9,
        "trace_state": span.trace_state,
    }


def _metric(metric: Any) -> dict[str, Any]:
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    temporality = getattr(data, "aggregation_temporality", None)
    return {
        "name": metric.name,
        "description": metric.description,
        "unit": metric.unit,
        "kind": kind,
        "monotonic": getattr(data, "is_monotonic", None),
        "temporality": temporality
        and AggregationTemporality.Name(temporality).removeprefix("AGGREGATION_TEMPORALITY_").lower(),
        "points": [_point(point, kind) for point in data.data_points],
    }


def _point(point: Any, kind: str) -> dict[str, Any]:
    attributes = _attributes(point.attributes)
    if kind != "histogram":
        return {"attributes": attributes, "value": getattr(point, point.WhichOneof("value"))}
    return {
        "attributes": attributes,
        "count": point.count,
        "sum": point.sum,
        "bounds": list(point.explicit_bounds),
        "buckets": list(point.bucket_counts),
    }


@dataclass
class _Open:
    """The sockets of connections that are open; changed by the server's threads, under the lock."""

    sockets: set[socket.socket] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # they are joined at the end, after their sockets were shut

    def __init__(self, address: tuple[str, int], receiver: OtlpReceiver) -> None:
        self.receiver = receiver
        self.ended = threading.Event()
        self._open = _Open()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open.lock:
            self._open.sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open.lock:
            self._open.sockets.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection, so that its thread ends."""
        self.ended.set()
        with self._open.lock:
            for each in self._open.sockets:
                with contextlib.suppress(OSError):  # the other side was faster
                    each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that leaves in the middle is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        headers = {name.lower(): value for name, value in self.headers.items()}
        receiver = self.server.receiver
        answer = receiver.take(Received(path=self.path, headers=headers, body=body))
        if receiver.hold:
            self.server.ended.wait()
            self.close_connection = True
            return
        if answer is None:
            self.send_response(receiver.status if receiver.status != 200 else 404)
            if receiver.location is not None:
                self.send_header("location", receiver.location)
        else:
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer or b"")))
        self.end_headers()
        self.wfile.write(answer or b"")

    def log_message(self, *_: Any) -> None:
        """Nothing: tests read what came, not who connected."""
