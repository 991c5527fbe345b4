"""The public face of the kit is what it says it is, and is loaded when it is used."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from recloser import testing
from recloser.testing import asserts, chaos, clock, fake, faulty, leaks, proxy


def test_the_public_names_are_these_and_no_others() -> None:
    assert testing.__all__ == [
        "FakeServer",
        "FaultProxy",
        "FaultyHttp",
        "FaultyStdio",
        "Request",
        "Toxic",
        "VirtualClock",
        "VirtualLoop",
        "at_most_once",
        "by_deadline",
        "no_leaks",
        "run_virtual",
    ]
    assert {name for home in testing._HOMES.values() for name in home} == set(testing.__all__)
    assert set(testing.__all__) <= set(dir(testing))


def test_each_name_is_that_of_its_home() -> None:
    for home, names in testing._HOMES.items():
        module = importlib.import_module(f"recloser.testing.{home}")
        assert all(getattr(testing, name) is getattr(module, name) for name in names)
        assert set(names) <= set(module.__all__)
    with pytest.raises(AttributeError, match=r"module 'recloser\.testing' has no attribute 'FakeClient'"):
        _ = testing.FakeClient


@pytest.mark.parametrize("module", [asserts, chaos, clock, fake, faulty, leaks, proxy], ids=lambda one: one.__name__)
def test_every_room_names_what_it_offers_and_explains_it(module) -> None:
    assert module.__doc__
    for name in module.__all__:
        value = getattr(module, name)
        assert not (callable(value) and isinstance(value, type)) or value.__doc__, name


@pytest.mark.processes
def test_importing_the_kit_loads_neither_the_sdk_nor_pytest() -> None:
    code = (
        "import sys, recloser.testing, recloser.testing.clock, recloser.testing.leaks, recloser.testing.faulty\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'mcp', 'mcp_types', 'httpx2', 'pydantic', 'pytest', '_pytest', 'tenacity'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
