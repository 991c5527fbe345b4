"""The configuration's own secrets, whatever form they take, and the switch for those who test it."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest

from recloser.config import load
from recloser.redact import MASK, Redactor

SECRET = "s3cr3t&<\"'ø\\val"
KEY = (
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\nshort\n-----END PRIVATE KEY-----"
)


@pytest.mark.parametrize(
    "shown",
    [
        json.dumps(SECRET),
        json.dumps(json.dumps({"k": SECRET})),
        repr(SECRET),
        ascii(SECRET),
        repr(SECRET.encode()),
        html.escape(SECRET),
        html.escape(SECRET, quote=False),
    ],
)
def test_a_secret_is_found_however_it_was_escaped(shown: str) -> None:
    redacted = Redactor([SECRET]).text(f"x {shown} y")
    assert MASK in redacted
    assert "s3cr3t" not in redacted
    assert "val" not in redacted


@pytest.mark.parametrize("value", [SECRET.encode(), bytearray(SECRET.encode()), memoryview(SECRET.encode())])
def test_bytes_are_read_as_text(value: Any) -> None:
    redactor = Redactor([SECRET])
    assert redactor.text(value) == redactor.value(value) == redactor.whole(value) == MASK


def test_a_line_of_a_secret_of_many_lines_is_found_by_itself() -> None:
    redactor = Redactor([KEY])
    assert redactor.text("read AQEFAASCBKcwggSjAgEAAoIB") == f"read {MASK}"
    assert redactor.text("read short") == "read short"


def test_a_name_is_cut_and_costs_nothing_the_second_time() -> None:
    redactor = Redactor([SECRET])
    assert redactor.name(f"call {SECRET}") == redactor.name(f"call {SECRET}") == f"call {MASK}"
    assert redactor.name("x" * 257) == "x" * 255 + "…"
    assert redactor._remembered.cache_info().hits == 1
    assert redactor._remembered.cache_info().currsize == 1


def test_a_text_that_is_given_as_a_whole_is_not_cut() -> None:
    redactor = Redactor([SECRET], max_length=64)
    text = "x" * 5000 + SECRET + "y" * 5000
    assert redactor.whole(text) == "x" * 5000 + MASK + "y" * 5000
    assert redactor.whole(f"a\x1b[31m\n{KEY}\nb") == f"a\n{MASK}\nb"

    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert redactor.whole(Mute()) == "[unreadable]"


def test_what_was_noted_on_an_exception_is_told_redacted() -> None:
    error = ValueError("no")
    error.add_note("token=zzz")
    assert Redactor().value(error) == f"ValueError: no\ntoken={MASK}"


def test_a_traceback_tells_causes_and_no_secret() -> None:
    def fail(password: str) -> None:
        try:
            raise LookupError(f"token={password}")
        except LookupError as error:
            raise ValueError(f"say {SECRET}") from error

    with pytest.raises(ValueError, match="say") as caught:
        fail("".join(["hunter", "2"] * 2))
    told = Redactor([SECRET]).traceback(caught.value)
    assert f"LookupError: token={MASK}" in told
    assert f"ValueError: say {MASK}" in told
    assert "hunter2" not in told
    assert "in fail" in told


def test_a_traceback_that_cannot_be_told_is_told_by_its_type() -> None:
    class Mute(Exception):
        @property
        def __cause__(self) -> Any:
            raise RuntimeError("no")

    assert Redactor().traceback(Mute()) == "Mute: [unreadable]\n"


def test_a_redactor_that_is_switched_off_shows_everything() -> None:
    redactor = Redactor([SECRET], names=["arguments"], enabled=False)
    told = {"password": SECRET, "arguments": "x", "text": "Bearer abcdef123"}
    assert redactor.mapping(told) == told
    assert redactor.text(SECRET) == redactor.whole(SECRET) == SECRET
    assert SECRET in redactor.traceback(ValueError(SECRET))


def test_no_configuration_switches_it_off() -> None:
    with pytest.raises(Exception, match="redact"):
        load({"mcpServers": {}, "recloser": {"telemetry": {"redact": False}}})
    assert load({"mcpServers": {"a": {"command": "x", "env": {"TOKEN": SECRET}}}}).redactor().text(SECRET) == MASK
