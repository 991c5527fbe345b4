"""What the tests of telemetry are handed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.otlp import OtlpReceiver


@pytest.fixture
def collector() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver
