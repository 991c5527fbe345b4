"""A status document in which there is one of everything."""

from __future__ import annotations

import asyncio
from typing import Any

from recloser import Server
from recloser.events import CircuitChanged, ConnectionChanged
from recloser.telemetry.stats import Stats
from recloser.testing.clock import run_virtual
from support.status import attempt, call, circuit, endpoint, health, payload, request

NAMES = ("search", "files", "jira-cloud", "warehouse-analytics-of-the-whole-company", "notes", "off")


def story() -> dict[str, Any]:
    """A document in which there is one of everything."""

    async def tell() -> dict[str, Any]:
        loop, heard = asyncio.get_running_loop(), Stats()
        for name in NAMES:
            heard(ConnectionChanged(server=name, endpoint=f"{name}/0", state="ready", generation=1))
        await asyncio.sleep(30)
        for _ in range(50):
            for name in NAMES[:-1]:
                heard(attempt(name))
                heard(call(name, duration=0.123))
        for _ in range(6):
            heard(attempt("files", code="connection_lost"))
            heard(call("files", code="connection_lost", type="transient"))
        heard(CircuitChanged(server="files", endpoint="files/0", previous="closed", state="open", reason="failures"))
        heard(
            ConnectionChanged(
                server="files", endpoint="files/0", state="connecting", generation=2, code="connection_lost"
            )
        )
        heard(call("files", code="circuit_open", type="transient", attempts=0))
        heard(attempt("jira-cloud", code="forbidden", name="create_issue"))
        heard(call("jira-cloud", code="forbidden", type="auth"))
        heard(call("jira-cloud", code="server_fault", type="critical"))
        heard(call(None, code="unknown_tool", type="critical", attempts=0))
        heard(attempt("search", kind="retry"))
        for name in NAMES[:-2]:
            heard(request(name))
        heard(request("notes", code="cancelled", duration=5.0))
        await asyncio.sleep(3)
        now = loop.time()
        lost = payload("connection_lost", "the connection to server 'files' was lost; try again later.")
        opened = circuit("open", since=now - 3, retry_after=1.7)
        seen = {name: health(name) for name in NAMES}
        seen["files"] = health(
            "files",
            [endpoint("files/0", state="connecting", circuit=opened, last_failure=lost, last_failure_ago=3.0)],
            state="connecting",
            retry_tokens=122,
        )
        seen["search"] = health(
            "search",
            [
                endpoint("search/0", in_flight=3),
                endpoint("search/1", in_flight=25, waiting=4, circuit=circuit("half_open", since=now - 0.4)),
            ],
        )
        seen["jira-cloud"] = health("jira-cloud", retry_tokens=20)
        seen["notes"] = health("notes", [endpoint(circuit=circuit("isolated", since=now - 500))])
        seen["off"] = health("off", (), state="disabled", kind="stdio", protocol_version=None)
        options = {name: Server(name, "https://search.example/mcp") for name in NAMES[:-1]}
        return heard.snapshot(seen, options)

    return run_virtual(tell())


DOCUMENT = story()
