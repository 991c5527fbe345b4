"""What is read off routers whenever somebody collects, and what nobody records."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from typing import Any

import pytest
from metrics_kit import CALL, OPERATION
from opentelemetry import metrics as otel
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.metrics._internal import _ProxyMeterProvider
from opentelemetry.sdk.metrics import MeterProvider

from recloser.later import Later
from recloser.metrics import Metrics
from recloser.metrics import recorder as recorder_module
from recloser.metrics import shared as shared_module
from support.metering import Metered, attempted, called, metering, reading

# --- what is read off


def test_a_circuit_is_one_in_its_state_and_zero_in_the_others() -> None:
    metered = Metered()
    metrics = metering(metered, reading(circuit="half_open", failure_rate=0.5, active=3, retry_tokens=42))
    states = {
        point.attributes["recloser.circuit_breaker.state"]: point.value
        for point in metered.points("recloser.circuit_breaker.status")
    }
    assert states == {"closed": 0, "open": 0, "half_open": 1, "isolated": 0}
    assert metered.one("recloser.circuit_breaker.failure_rate").value == 0.5
    assert metered.one("recloser.call.active").value == 3
    assert metered.one("recloser.retry.tokens").value == 42
    metrics.end()


def test_the_routers_of_a_process_make_one_number() -> None:
    metered = Metered()
    one = metering(metered, reading(active=1, retry_tokens=500, failure_rate=0.1), reading(server="files"))
    two = metering(metered, reading(active=2, retry_tokens=30, failure_rate=0.4, circuit="open"))
    assert metered.one("recloser.call.active", recloser__server__name="search").value == 3
    assert metered.one("recloser.retry.tokens", recloser__server__name="search").value == 30
    assert metered.one("recloser.circuit_breaker.failure_rate", recloser__server__name="search").value == 0.4
    assert metered.one("recloser.call.active", recloser__server__name="files").value == 0
    states = {
        point.attributes["recloser.circuit_breaker.state"]: point.value
        for point in metered.points("recloser.circuit_breaker.status")
        if point.attributes["recloser.server.name"] == "search"
    }
    assert states == {"closed": 1, "open": 1, "half_open": 0, "isolated": 0}
    for metrics in (one, two):
        metrics.end()


def test_the_instruments_of_a_provider_are_made_once(caplog: pytest.LogCaptureFixture) -> None:
    metered = Metered()
    one, two = metering(metered, reading(active=1)), metering(metered)
    one(attempted())
    two(attempted())
    assert metered.one(OPERATION).count == 2
    assert not caplog.records  # the SDK warns when an instrument is made twice


def test_a_closed_router_tells_nothing_more() -> None:
    metered = Metered()
    metrics = metering(metered, reading(active=7))
    metrics(attempted())
    metrics.end()
    assert not metrics.active
    metrics(attempted())
    assert metered.one(OPERATION).count == 1
    assert not metered.points("recloser.call.active")
    metrics.end()
    metrics.begin()
    assert metered.one("recloser.call.active").value == 7
    metrics.begin()
    assert metered.one("recloser.call.active").value == 7


def test_a_router_that_was_forgotten_is_forgotten_here_too() -> None:
    metered = Metered()
    metrics = metering(metered, reading(active=7))
    gone = weakref.ref(metrics)
    del metrics
    gc.collect()
    assert gone() is None
    assert not metered.points("recloser.call.active")


def test_a_provider_that_was_forgotten_is_forgotten_here_too() -> None:
    metered = Metered()
    metering(metered).end()
    gone = weakref.ref(metered.provider)
    known = len(shared_module._known)
    metered.provider.shutdown()
    del metered
    gc.collect()
    assert gone() is None
    assert len(shared_module._known) < known


def test_a_router_that_changes_while_it_is_read_is_read_again() -> None:
    metered = Metered()
    faults = [RuntimeError("dictionary changed size during iteration")]

    def readings() -> Any:
        if faults:
            raise faults.pop()
        return [reading(active=2)]

    metrics = Metrics(metered.provider, readings=readings)
    metrics.begin()
    assert metered.one("recloser.call.active").value == 2


def test_a_router_that_never_holds_still_is_left_out() -> None:
    metered = Metered()
    asked = 0

    def readings() -> Any:
        nonlocal asked
        asked += 1
        raise RuntimeError("dictionary changed size during iteration")

    metrics = Metrics(metered.provider, readings=readings)
    metrics.begin()
    other = metering(metered, reading(active=2))
    assert metered.one("recloser.call.active").value == 2
    assert asked == 4 * shared_module.TRIES
    other.end()


def test_a_router_that_cannot_be_read_does_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    metered = Metered()

    def readings() -> Any:
        raise KeyError("search")

    metrics = Metrics(metered.provider, readings=readings)
    metrics.begin()
    other = metering(metered, reading(active=2))
    assert metered.one("recloser.call.active").value == 2
    assert "could not be read" in caplog.text
    other.end()


def test_a_router_that_ends_while_the_others_are_read_is_left_out() -> None:
    metered = Metered()
    routers: list[Metrics] = []

    def readings_of(other: int) -> Any:
        def readings() -> Any:
            routers[other].end()
            return [reading(active=2)]

        return readings

    for other in (1, 0):
        routers.append(Metrics(metered.provider, readings=readings_of(other)))
        routers[-1].begin()
    assert metered.one("recloser.call.active").value == 2
    assert sum(router.active for router in routers) == 1


def test_routers_come_and_go_while_another_thread_exports() -> None:
    metered = Metered()
    done = threading.Event()
    failed: list[BaseException] = []

    def export() -> None:
        try:
            while not done.is_set():
                metered.points()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=export)
    thread.start()
    try:
        for number in range(300):
            metrics = metering(metered, reading(server=f"s{number % 7}", active=1))
            metrics(attempted(name=f"tool{number}"))
            metrics.end()
    finally:
        done.set()
        thread.join()
    assert not failed
    assert sum(point.count for point in metered.points(OPERATION)) == 300


# --- where nobody records


@pytest.mark.parametrize("provider", [_ProxyMeterProvider(), NoOpMeterProvider()], ids=["no provider", "an empty one"])
def test_without_an_sdk_nothing_is_recorded(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "get_meter_provider", lambda: provider)
    metrics = Metrics(readings=lambda: [reading()])
    metrics.begin()
    assert not metrics.active
    metrics(attempted())
    metrics.end()
    assert not metrics.active


def test_an_sdk_that_is_switched_off_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    metrics = Metrics(MeterProvider(shutdown_on_exit=False), readings=list)
    metrics.begin()
    assert not metrics.active


def test_the_global_provider_is_looked_up_when_the_router_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    metered = Metered()
    metrics = Metrics(readings=list)
    monkeypatch.setattr(recorder_module, "get_meter_provider", lambda: metered.provider)
    metrics.begin()
    assert metrics.active
    metrics(attempted())
    assert metered.one(OPERATION).count == 1
    assert recorder_module.get_meter_provider is not otel.get_meter_provider


def test_what_is_measured_later_is_measured_before_anybody_collects_and_not_after_the_end() -> None:
    async def main() -> None:
        later, metered = Later(), Metered()
        metrics = metering(metered, later=later)
        metrics(called())
        assert metered.one(CALL).count == 1
        metrics(called())
        metrics.end()
        later.close()
        assert metered.one(CALL).count == 1

    asyncio.run(main())


def test_a_measurement_that_fails_fails_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    metered = Metered()
    metrics = metering(metered)
    metrics(attempted(where="where is it?"))
    assert "AttemptFinished could not be measured" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    metrics(called())
    assert metered.one(CALL).count == 1
