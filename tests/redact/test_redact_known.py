"""The configuration's own secrets, whatever form they take, and the switch for those who test it."""

from __future__ import annotations

import base64
import html
import json
import shlex
import textwrap
from typing import Any
from urllib.parse import quote

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
        html.escape(SECRET).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
        "s3cr3t&#38;&#60;&#34;&#39;ø\\val",
        json.dumps(SECRET).replace("\\u00f8", "\\u00F8"),
        json.dumps(SECRET, ensure_ascii=False).replace("&", "\\u0026").replace("<", "\\u003c"),
        "s3cr3t\\u0026\\u003C\\u0022\\u0027\\u00F8\\\\val",
        quote(quote(SECRET, safe=""), safe=""),
        quote(quote(SECRET)).lower(),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        SECRET.encode().hex(" "),
        SECRET.encode().hex(":").upper(),
        "".join(f"%{byte:02X}" for byte in SECRET.encode()),
        "".join(f"%{byte:02x}" for byte in SECRET.encode()),
        shlex.quote(SECRET),
        SECRET.replace("'", "'\\''"),
    ],
)
def test_a_secret_is_found_however_it_was_escaped(shown: str) -> None:
    redacted = Redactor([SECRET]).text(f"x {shown} y")
    assert MASK in redacted
    assert redacted.replace(MASK, "").strip("xy \"'b\\{:k}") == ""


def test_a_slash_that_json_escapes_does_not_hide_a_secret() -> None:
    assert Redactor(["path/to/secret"]).text(r'{"k":"path\/to\/secret"}') == f'{{"k":"{MASK}"}}'


LONG = "plain-secret-value-0123456789-abcdefghij"


@pytest.mark.parametrize(
    "shown",
    [
        "\n".join(textwrap.wrap(LONG, 15)),
        "\r\n".join(textwrap.wrap(LONG, 15)),
        " │\n│ ".join(textwrap.wrap(LONG, 15)),
        "\n\t> ".join(textwrap.wrap(LONG, 15)),
        r"\n".join(textwrap.wrap(LONG, 15)),
        r"\r\n".join(textwrap.wrap(LONG, 15)),
        base64.encodebytes(b"u" * 48 + LONG.encode()).decode()[64:-4],
        "\n".join(textwrap.wrap(quote(LONG), 20)),
        "\\\n".join(textwrap.wrap(LONG, 15)),
        "=\r\n".join(textwrap.wrap(LONG, 15)),
        "\n+".join(textwrap.wrap(LONG, 15)),
        "\n# ".join(textwrap.wrap(LONG, 15)),
        r"\n  - ".join(textwrap.wrap(LONG, 15)),
    ],
)
def test_a_secret_that_was_broken_into_lines_is_found(shown: str) -> None:
    assert Redactor([LONG]).text(f"first\nx {shown} y\nlast") == f"first\nx {MASK} y\nlast"


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", "\n    ", "\n> ", r"\n"])
def test_a_secret_of_words_that_was_wrapped_between_them_is_found(end: str) -> None:
    shown = f"login for correct horse{end}battery staple{end}failed"
    assert Redactor(["correct horse battery staple"]).text(shown) == f"login for {MASK}{printed(end)}failed"


def printed(end: str) -> str:
    return end.replace("\r\n", "\n")


def test_a_sign_at_the_edge_of_a_line_may_be_a_part_of_the_secret() -> None:
    secret = "plain-value=+of-a-secret"
    assert Redactor([secret]).text("k plain-value=\n+of-a-secret z") == f"k {MASK} z"


def test_only_a_long_secret_is_looked_for_across_lines() -> None:
    assert Redactor(["abcdefgh"]).text("abcd\nefgh") == "abcd\nefgh"


def test_a_secret_that_is_a_number_is_hidden_as_a_number_too() -> None:
    redactor = Redactor(["8412973150", "1234.5678"])
    told = redactor.value({"a": 8412973150, "b": [1234.5678], "c": 8412973151, "d": True})
    assert told == {"a": MASK, "b": [MASK], "c": 8412973151, "d": True}


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


BODY = "MIIEowIBAAKCAQEA" * 4


def test_the_end_of_a_text_is_shown_in_whole_lines() -> None:
    assert Redactor().tail("one\ntwo\nthree", 20, severed=False) == "one\ntwo\nthree"
    assert Redactor().tail("one\ntwo\nthree", 10, severed=False) == "two\nthree"
    assert Redactor().tail("one\ntwo\nthree", 9, severed=False) == "two\nthree"
    assert Redactor().tail("one\ntwo\nthree", 3, severed=False) == "ree"
    assert Redactor().tail("one", 0, severed=False) == ""


def test_what_a_cut_has_left_of_a_secret_is_not_shown() -> None:
    redactor = Redactor([LONG])
    for at in range(1, len(LONG)):
        text = f"{LONG[at:]}\n{'y ' * 400}\nlast {LONG}"
        assert redactor.tail(text, 300, severed=True) == f"last {MASK}"
    assert redactor.tail("short", 300, severed=True) == ""


@pytest.mark.parametrize("end", ["\n", "\\n", "\r\n  "])
def test_a_text_that_begins_within_a_private_key_shows_nothing_of_it(end: str) -> None:
    for at in (0, 10, 60):
        text = end.join([BODY[at:], *[BODY] * 20, "AQEFAASC=="])
        assert Redactor().tail(f"{text}\nnext", 5000, severed=True) == f"{MASK}\nnext"
        ended = f"{text}\n-----END PRIVATE KEY-----\nnext"
        assert Redactor().tail(ended, 5000, severed=True) == f"{MASK}\nnext"
    assert "MII" not in Redactor().tail(end.join([BODY] * 3) + "\n" + "y " * 500, 5000, severed=True)
    assert Redactor().tail(BODY * 20 + " next", 5000, severed=True) == f"{MASK} next"
    assert BODY in Redactor(enabled=False).tail("\n".join([BODY] * 20), 5000, severed=True)


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


@pytest.mark.parametrize(
    ("end", "shown"),
    [
        ("Sup3rS3cretTok", MASK),
        ("Sup3rS3c", MASK),
        ("Sup3rS3", "Sup3rS3"),
        ("Sup3rS3cSup3rS3cret", f"Sup3rS3c{MASK}"),
        ("Sup3rS3crat", "Sup3rS3crat"),
        ("Sup3rS3cretTok ", "Sup3rS3cretTok "),
    ],
)
def test_a_secret_that_the_end_of_a_tail_has_cut_off_is_hidden(end: str, shown: str) -> None:
    made = Redactor(["Sup3rS3cretToken", "another-one"])
    assert made.tail(f"fatal: key {end}", 300, severed=False) == f"fatal: key {shown}"
    assert Redactor(["Sup3rS3cretToken"], enabled=False).tail(end, 300, severed=False) == end
    assert Redactor().tail(end, 300, severed=False) == end
