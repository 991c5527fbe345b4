"""How many series there can be, whatever names a server makes up."""

from __future__ import annotations

from typing import Any

import pytest
from metrics_kit import CALL, OPERATION, told

from recloser.events import ConnectionChanged, RequestFinished
from recloser.metrics import recorder as recorder_module
from recloser.metrics import shared as shared_module
from recloser.redact import MASK, Redactor
from support.metering import Metered, attempted, called, metering


def test_a_name_that_is_in_no_list_is_other() -> None:
    metered = told(*(attempted(name=f"guess{number}", known=False) for number in range(100)))
    point = metered.one(OPERATION)
    assert point.count == 100
    assert point.attributes["gen_ai.tool.name"] == "_OTHER"


def test_a_server_that_lists_names_without_end_has_so_many_series_and_no_more() -> None:
    metered = Metered()
    metrics = metering(metered)
    for number in range(shared_module.NAMES + 50):
        metrics(attempted(name=f"tool{number}"))
        metrics(called(name=f"tool{number}"))
    metrics(attempted(server="files", name="late"))
    metrics(attempted(name="tool0"))
    points = metered.points(OPERATION)
    assert len(points) == shared_module.NAMES + 2
    assert metered.one(OPERATION, gen_ai__tool__name="_OTHER").count == 50
    assert metered.one(OPERATION, gen_ai__tool__name="late").count == 1
    assert metered.one(OPERATION, gen_ai__tool__name="tool0").count == 2
    assert metered.one(CALL, gen_ai__tool__name="_OTHER").count == 50


def test_a_second_router_has_no_names_of_its_own() -> None:
    metered = Metered()
    for router in range(2):
        metrics = metering(metered)
        for number in range(shared_module.NAMES):
            metrics(attempted(name=f"tool{router}-{number}"))
    assert metered.one(OPERATION, gen_ai__tool__name="_OTHER").count == shared_module.NAMES


def test_a_server_that_makes_up_error_codes_has_so_many_series_and_no_more() -> None:
    codes = range(-40000, -40000 + shared_module.CODES + 20)
    metered = told(*(attempted(code="server_fault", jsonrpc_code=code) for code in codes))
    assert len(metered.points(OPERATION)) == shared_module.CODES + 1
    other = metered.one(OPERATION, rpc__response__status_code="_OTHER")
    assert other.count == 20
    assert other.attributes["error.type"] == "_OTHER"


def test_a_name_longer_than_the_protocol_allows_is_other() -> None:
    longest = recorder_module.LONGEST
    metered = told(attempted(name="x" * longest), attempted(name="x" * (longest + 1)))
    assert {point.attributes["gen_ai.tool.name"] for point in metered.points(OPERATION)} == {"x" * longest, "_OTHER"}


def test_a_listed_name_holds_no_secret_and_can_be_written() -> None:
    secret = "hunter2-hunter2"
    metered = told(
        attempted(name=f"t-{secret}"),
        called(name=f"t-{secret}"),
        attempted(name="a\ud800b\x1b[31m"),
        redactor=lambda: Redactor([secret]),
    )
    names = [point.attributes["gen_ai.tool.name"] for point in metered.points()]
    assert f"t-{MASK}" in names
    assert not [name for name in names if secret in name or "\x1b" in name]
    for name in names:
        name.encode()


def test_a_name_that_has_become_secret_is_hidden_from_then_on() -> None:
    redactor = Redactor()
    metered = Metered()
    metrics = metering(metered, redactor=lambda: redactor)
    metrics(attempted(name="hunter2-hunter2"))
    metrics(called(name="hunter2-hunter2"))
    redactor = Redactor(["hunter2-hunter2"])
    metrics(attempted(name="hunter2-hunter2"))
    metrics(called(name="hunter2-hunter2"))
    for metric in (OPERATION, CALL):
        assert metered.one(metric, gen_ai__tool__name=MASK).count == 1


def test_a_server_that_has_moved_has_series_of_its_own_at_each_address() -> None:
    def at(host: str) -> dict[str, Any]:
        return {"server": "search", "where": (("server.address", host),)}

    def asked(host: str) -> RequestFinished:
        return RequestFinished(method="ping", duration=0.1, code=None, **at(host))

    def ended(host: str) -> ConnectionChanged:
        return ConnectionChanged(endpoint="search/0", state="closed", generation=1, lasted=1.0, **at(host))

    # The last call to the old address ends after the first one to the new one has.
    order = ("old", "old", "new", "new", "new", "old")
    metered = told(*(event for host in order for event in (attempted(**at(host)), asked(host), ended(host))))
    for about in (
        {"metric": OPERATION, "mcp__method__name": "tools/call"},
        {"metric": OPERATION, "mcp__method__name": "ping"},
        {"metric": "mcp.client.session.duration"},
    ):
        assert [metered.one(server__address=host, **about).count for host in ("old", "new")] == [3, 3]


def test_what_is_kept_ready_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "REMEMBERED", 4)
    metered = Metered()
    metrics = metering(metered)
    for number in range(11):
        metrics(attempted(name=f"tool{number}"))
    assert len(metrics._ready) <= 4
    assert len(metered.points(OPERATION)) == 11
