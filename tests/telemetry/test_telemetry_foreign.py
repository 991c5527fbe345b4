"""What of other libraries' records and exceptions stands in a log line."""

from __future__ import annotations

import importlib
import json
import logging
import pkgutil
import sys
from typing import Any

import jsonschema
import mcp.client
import mcp.shared
import pytest
from mcp import MCPError
from pydantic import BaseModel, ValidationError

from recloser.redact import Redactor
from recloser.telemetry.chain import Renderer
from recloser.telemetry.foreign import OTHERS, shorten_urls

WORD = "patient-smith"
LEFT_OUT = "(its text is left out, since it may quote what was sent)"


class Held(BaseModel):
    number: int


class Mine(jsonschema.ValidationError):
    """An error of a package that is not named, of a kind that quotes."""


def invalid() -> ValidationError:
    try:
        Held.model_validate({"number": WORD})
    except ValidationError as error:
        return error
    raise AssertionError


def raised(*errors: Exception, cause: bool = True) -> Exception:
    """The last of several errors, each raised from the one before or while that was handled."""
    before: Exception | None = None
    for error in errors:
        try:
            if cause:
                raise error from before
            error.__context__ = before
            raise error
        except Exception as caught:
            before = caught
    assert before is not None
    return before


def line(error: BaseException, **options: Any) -> str:
    return Renderer(Redactor(), console=False, **options)(None, "error", {"event": "e", "exc_info": error})


@pytest.mark.parametrize(
    "error",
    [
        raised(invalid()),
        raised(MCPError(-32000, WORD)),
        raised(jsonschema.ValidationError(WORD)),
        raised(Mine(WORD)),
        raised(ExceptionGroup("many", [ValueError("a"), ExceptionGroup("more", [raised(invalid())])])),
        raised(invalid(), ValueError("b")),
        raised(invalid(), ValueError("b"), cause=False),
        raised(invalid(), RuntimeError(f"it says: {invalid()}")),
        raised(raised(KeyError("c"), invalid(), cause=False), ValueError("b")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_that_quotes_is_told_by_type_and_place_only(error: Exception) -> None:
    told = line(error)
    assert WORD not in told
    assert LEFT_OUT in told
    assert '"name": "raised"' in told
    assert WORD in line(error, content=True)


def test_what_was_noted_on_an_exception_that_quotes_is_left_out_too() -> None:
    error = invalid()
    error.add_note(f"of {WORD}")
    assert WORD not in line(error)


def test_the_text_of_any_other_exception_is_told() -> None:
    error = raised(MCPError(-32000, ""), ValueError("plain words"))
    error.add_note("a note")
    assert "plain words" in line(error)
    assert "a note" in line(error)


def test_of_more_exceptions_than_can_be_looked_at_no_text_is_told() -> None:
    many = ExceptionGroup("many", [*(ValueError(str(n)) for n in range(300)), invalid()])
    told = json.loads(line(many))
    assert told["exception"][0]["exc_value"] == LEFT_OUT


def test_an_exception_that_quotes_and_cannot_be_read_does_not_fail_the_line() -> None:
    class Mute(MCPError):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert json.loads(line(Mute(-32000, "x")))["event"] == "e"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('POST http://h:1/mcp?key=k "HTTP/1.1 200 OK"', 'POST http://h:1/… "HTTP/1.1 200 OK"'),
        ("see https://u:p@h/s/k, http://t@h", "see https://h/… http://h"),
        ("https://h https://h/ https://h#f https://h?q", "https://h https://h/ https://h/… https://h/…"),
        ("no url at all", "no url at all"),
        ("empty ://", "empty ://"),
    ],
)  # fmt: skip
def test_of_a_url_scheme_host_and_port_are_told(text: str, shown: str) -> None:
    assert shorten_urls(text) == shown


def test_urls_are_short_in_the_lines_of_libraries_and_in_exceptions_and_whole_in_those_of_others() -> None:
    def event(logger: str) -> str:
        fields = {"event": "at http://h/p?q", "logger": logger}
        told: str = json.loads(Renderer(Redactor(), console=False)(None, "info", fields))["event"]
        return told

    assert event("httpx2") == event("mcp.client.sse") == event("httpcore2.http11") == "at http://h/…"
    assert event("recloser") == event("app") == event("clients") == "at http://h/p?q"
    error = OSError("at http://h/p?q")
    error.add_note("and http://h/r?q")
    assert "?q" not in line(error)


def test_every_logger_of_the_sdk_that_works_for_us_is_heard() -> None:
    for package in (mcp.client, mcp.shared):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    modules = [module for name, module in sys.modules.items() if name.startswith("mcp.")]
    loggers = {each.name for module in modules for each in vars(module).values() if isinstance(each, logging.Logger)}
    assert "client" in loggers
    assert {name.partition(".")[0] for name in loggers} <= set(OTHERS)
