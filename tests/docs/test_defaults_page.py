"""The page of defaults says the numbers of the code, and leaves none out that a user can notice."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import MISSING, fields
from types import ModuleType
from typing import Any

import pytest
from pages import ROOT, codes, prose, tables

import recloser.connection
from recloser.options import Breaker, Bulkhead, Limits, Retry, Server, Timeouts

PAGE = ROOT / "docs" / "defaults.md"
TABLES = tables(PAGE)
RECORDS = {"timeouts": Timeouts, "retry": Retry, "breaker": Breaker, "bulkhead": Bulkhead, "limits": Limits}
SCALE = {"KiB": 1024, "MiB": 1024**2}
WORDS = {"on": True, "off": False, "none": None}
COMPLETE = [
    *(f"connection.{module.name}" for module in pkgutil.iter_modules(recloser.connection.__path__)),
    "endpoint",
    "fleet",
    "fanout",
    "transport.client",
    "operating",
    "hosts.formats",
    "audit.log",
    "telemetry.configuring",
    "telemetry.listener",
    "telemetry.stats",
    "telemetry.status",
]
"""Modules whose public constants all stand on the page."""


def said(first: str, second: str) -> dict[str, Any]:
    """The numbers of all tables of one kind, in the units of the code."""
    found: dict[str, Any] = {}
    for name, value, unit, _, _ in TABLES[first, second, "unit", "reason", "source"]:
        (knob,) = codes(name)
        assert knob not in found
        found[knob] = WORDS[value] if value in WORDS else float(value) * SCALE.get(unit, 1)
    return found


def constant(path: str) -> Any:
    """What a dotted path below the package names: a constant, a field of one, or an argument's default."""
    module: Any = None
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(["recloser", *parts[:count]]))
        except ModuleNotFoundError:
            continue
        break
    assert isinstance(module, ModuleType), path
    found: Any = module
    for part in parts[count:]:
        found = inspect.signature(found).parameters[part].default if inspect.isclass(found) else getattr(found, part)
    return found


def test_every_option_is_there_with_its_number() -> None:
    expected = {f"{name}.{field.name}": field.default for name, record in RECORDS.items() for field in fields(record)}
    numbers = {
        field.name: field.default
        for field in fields(Server)
        if isinstance(field.default, bool | int) and field.default is not MISSING
    }
    assert said("knob", "default") == expected | numbers


def test_every_constant_is_what_the_page_says() -> None:
    for path, value in said("constant", "value").items():
        assert constant(path) == value, path


@pytest.mark.parametrize("name", COMPLETE)
def test_no_constant_of_a_module_is_left_out(name: str) -> None:
    module = importlib.import_module(f"recloser.{name}")
    own = ast_constants(module)
    assert own <= set(said("constant", "value"))


def ast_constants(module: ModuleType) -> set[str]:
    """The module's own public numbers; what it imports is another module's."""
    source = inspect.getsource(module)
    prefix = module.__name__.removeprefix("recloser.")
    return {
        f"{prefix}.{name}"
        for name, value in vars(module).items()
        if name.isupper()
        and not name.startswith("_")
        and isinstance(value, int | float)
        and f"\n{name}: Final" in source
    }


def test_every_number_has_a_reason_and_every_source_is_known() -> None:
    introduced = {line.split("**")[1] for line in prose(PAGE).splitlines() if line.startswith("- **")}
    others = {"ours", "MCP specification", "OpenTelemetry", "OpenAI", "Anthropic", "uvicorn", "Node"}
    for heads in (("knob", "default"), ("constant", "value")):
        for name, value, _, reason, source in TABLES[*heads, "unit", "reason", "source"]:
            # What is on, or zero, because there is nothing to say needs no reason.
            assert reason or value in ("on", "0"), name
            for one in source.split(", ") if source else ():
                assert one.partition(" `")[0] in introduced | others or one.startswith("`"), (name, one)


def test_the_sdk_s_numbers_are_the_sdk_s() -> None:
    from mcp.client import _input_required, session, stdio
    from mcp.server import transport_security
    from mcp.shared import _httpx_utils

    modules = (_input_required, session, stdio, transport_security, _httpx_utils)
    checked = 0
    for heads in (("knob", "default"), ("constant", "value")):
        numbers = said(*heads)
        for name, _, _, _, source in TABLES[*heads, "unit", "reason", "source"]:
            if source.startswith("SDK "):
                theirs = sum(
                    next(getattr(module, each) for module in modules if hasattr(module, each)) for each in codes(source)
                )
                assert numbers[codes(name)[0]] == theirs, name
                checked += 1
    assert checked >= 6
