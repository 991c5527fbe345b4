"""What the package promises: its names, their docstrings, and what importing it costs."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import recloser
from recloser import telemetry
from recloser.session import ServerSession, SyncServerSession

NAMES = [
    "AuthError",
    "Breaker",
    "Bulkhead",
    "Call",
    "Cause",
    "CircuitOpen",
    "CriticalError",
    "EndpointHealth",
    "ErrorPayload",
    "FanOut",
    "Limits",
    "Reply",
    "Retry",
    "Router",
    "RouterError",
    "Server",
    "ServerHealth",
    "SyncRouter",
    "Timeouts",
    "TransientError",
    "error_of",
]
WATCHING = ["Configured", "Stats", "configure", "serve_status"]
HEAVY = ["opentelemetry.sdk", "pybreaker", "redis", "rich", "structlog", "tenacity", "typer"]


def test_the_public_names_are_these_in_order():
    assert recloser.__all__ == NAMES == sorted(NAMES)


def test_what_a_program_is_watched_with_has_these_names_and_says_what_it_is():
    assert telemetry.__all__ == WATCHING == sorted(WATCHING)
    assert all(inspect.getdoc(getattr(telemetry, name)) for name in WATCHING)


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert recloser.__version__ == version("recloser")


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_and_each_of_its_methods_says_what_it_is(name):
    thing = getattr(recloser, name)
    assert inspect.getdoc(thing)
    if inspect.isclass(thing):
        for attribute, member in inspect.getmembers_static(thing):
            function = getattr(member, "__func__", member)
            told = isinstance(function, property) or inspect.isfunction(function)
            if told and not attribute.startswith("_"):
                assert inspect.getdoc(function), f"{name}.{attribute}"


def test_the_file_for_type_checkers_uses_all_of_it():
    used = ast.parse((Path(__file__).parent / "typing" / "api.py").read_text())
    names = {node.id for node in ast.walk(used) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(used) if isinstance(node, ast.Attribute)}
    assert {*NAMES, *WATCHING} <= names
    for kind in (recloser.Router, recloser.SyncRouter, ServerSession, SyncServerSession):
        assert {name for name in dir(kind) if not name.startswith("_")} <= attributes


@pytest.mark.processes
def test_importing_it_loads_nothing_that_is_not_needed_yet():
    code = f"import sys; from recloser import *; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.processes
def test_a_part_that_needs_little_loads_little():
    light = "[name for name in ('mcp', 'pydantic', 'httpx2') if name in sys.modules]"
    code = f"import sys, recloser.testing.faulty; print({light})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_name_that_it_does_not_have_is_refused_as_usual():
    with pytest.raises(AttributeError, match="no attribute 'Ruoter'"):
        _ = recloser.Ruoter
    assert set(NAMES) <= set(dir(recloser))
