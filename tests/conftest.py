"""Makes this directory importable: what several tests share lies in `support`. And what would make tests slow."""

import gc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Machines are shared: how long an example takes says nothing about the code.
settings.register_profile("shared", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


@pytest.fixture(autouse=True, scope="module")
def what_was_there_before_is_not_looked_through_again() -> Iterator[None]:
    """Keep a whole collection, of which every check for leaks makes some, from taking half a second late in a run.

    What the tests of another file have left is collected first, so that its warnings come with it.
    """
    gc.collect()
    gc.freeze()
    yield
