"""What the tests of the audit share: finished calls, records, and a look into a file."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recloser.audit import AuditedArguments, AuditPolicy, AuditRecord
from recloser.call import Call
from recloser.events import AttemptFinished, CallFinished
from support.metering import attempted, called

BEGAN = datetime(2026, 11, 21, 9, 0, 0, 123456, tzinfo=UTC)
KEY = b"0123456789abcdef"


def call(**changes: Any) -> Call[Any]:
    given: dict[str, Any] = {"method": "tools/call", "key": "search__web", "server": "search", "name": "web"}
    given["params"] = {"name": "web", "arguments": {"q": "tower"}}
    return Call(**given | changes)


def finished(**changes: Any) -> CallFinished:
    return called(**{"duration": 1.5} | changes)


def attempt(**changes: Any) -> AttemptFinished:
    return attempted(**{"protocol_version": None} | changes)


def record(number: int = 1, **changes: Any) -> AuditRecord:
    given: dict[str, Any] = {
        "call_id": f"c-{number}",
        "method": "tools/call",
        "started": BEGAN + timedelta(microseconds=number),
        "duration": 1.0,
        "caller": "alice",
        "caller_id": "00",
        "server": "search",
        "tool": "web",
        "known": True,
        "outcome": "success",
        "code": None,
        "error_class": None,
        "attempts": (),
        "retries": 0,
        "delay": 0.0,
        "circuit_before": "closed",
        "circuit_after": "closed",
        "protocol_version": None,
        "trace_id": None,
        "span_id": None,
        "policy": AuditPolicy(timeout=None, safe=False),
        "arguments": AuditedArguments(hmac_sha256=None, bytes=0),
        "result": None,
    }
    return AuditRecord(**given | changes)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def ids(path: Path) -> list[str]:
    """The calls in a file, and `gap <number>` where some are missing."""
    return [line.get("call_id") or f"gap {line['lost']}" for line in lines(path)]


def numbers(count: int, first: int = 1) -> list[str]:
    return [f"c-{number}" for number in range(first, first + count)]


def threads() -> int:
    return sum(thread.name == "recloser-audit" for thread in threading.enumerate())


def until(condition: Any) -> None:
    """Wait for what another thread does; a test that never sees it fails by its time limit."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.005)
