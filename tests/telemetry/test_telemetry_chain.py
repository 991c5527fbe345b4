"""What a log line holds, and that it can hold anything."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from recloser import Call
from recloser.call import CURRENT
from recloser.redact import MASK, Redactor
from recloser.telemetry.chain import LONGEST_LINE, Renderer, in_context

SECRET = "hunter2-correct-horse"


def as_json(redactor: Redactor | None = None, /, **fields: Any) -> dict[str, Any]:
    line = Renderer(redactor or Redactor(), console=False)(None, "info", fields)
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def as_text(**fields: Any) -> str:
    return Renderer(Redactor(), console=True)(None, "info", fields)


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


class Deep(dict[str, Any]):
    """Never ends."""

    def items(self) -> Any:
        return {"deeper": Deep()}.items()


def test_what_matters_most_comes_first() -> None:
    found = as_json(tool="t", event="call_finished", level="info", server="s", timestamp="now")
    assert list(found) == ["timestamp", "level", "event", "server", "tool"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), "nan"),
        ([float("inf"), 1.5], ["inf", 1.5]),
        ([10**5000], ["[a number of 16610 bits]"]),
        ({"n": 10**5000}, {"n": "[a number of 16610 bits]"}),
        (2**70, 2**70),
        ("lone \udc80 surrogate", "lone \ufffd surrogate"),
        (Broken(), "[unreadable]"),
        ({1: 2, None: 3}, {"1": 2, "None": 3}),
        (b"\xff\x00", "\ufffd"),
        ({1}, [1]),
        ("\x1b[31mred\x1b[0m\r\nnext", "red\nnext"),
    ],
)
def test_anything_can_be_logged(value: Any, shown: Any) -> None:
    assert as_json(event="e", value=value)["value"] == shown


def test_a_record_without_an_end_is_cut() -> None:
    assert as_json(event="e", value=Deep())["event"] == "e"


def test_a_line_that_would_be_too_long_keeps_its_main_fields() -> None:
    found = as_json(event="e", level="info", server="s", many=["x" * 4000] * 20)
    assert found["cut"] > LONGEST_LINE
    assert {key: found[key] for key in found if key != "cut"} == {"event": "e", "level": "info", "server": "s"}


def test_what_cannot_be_rendered_is_told_of() -> None:
    class Odd(dict[str, Any]):
        def __contains__(self, key: object) -> bool:
            raise KeyError(key)

    found = json.loads(Renderer(Redactor([SECRET]), console=False)(None, "info", Odd(event=f"with {SECRET}")))
    assert found == {"level": "error", "event": "log_failed", "of": f"with {MASK}", "why": "KeyError"}


def test_a_number_that_python_will_not_write_does_not_fail_a_line_on_a_console() -> None:
    assert "[a number of 16610 bits]" in as_text(event="e", value=10**5000)


def test_secrets_of_the_configuration_and_what_looks_like_one_are_hidden() -> None:
    found = as_json(
        Redactor([SECRET]), event=f"said {SECRET}", headers={"authorization": "abc"}, note="Bearer abcdef123"
    )
    assert found == {"event": f"said {MASK}", "headers": {"authorization": MASK}, "note": f"Bearer {MASK}"}


def failed() -> Any:
    local = SECRET
    try:
        try:
            raise ValueError("inner")
        except ValueError as error:
            raise RuntimeError("outer") from error
    except RuntimeError:
        assert local
        return sys.exc_info()


def test_an_exception_is_told_with_its_frames_but_without_their_values() -> None:
    found = as_json(event="e", exc_info=failed())
    assert [(stack["exc_type"], stack["exc_value"]) for stack in found["exception"]] == [
        ("RuntimeError", "outer"),
        ("ValueError", "inner"),
    ]
    assert found["exception"][0]["frames"][-1]["name"] == "failed"
    assert SECRET not in json.dumps(found)
    assert "exc_info" not in found


def test_an_exception_may_be_given_by_itself_and_there_may_be_none() -> None:
    assert as_json(event="e", exc_info=failed()[1])["exception"][0]["exc_type"] == "RuntimeError"
    assert "exception" not in as_json(event="e", exc_info=(None, None, None))
    assert "exception" not in as_json(event="e", exc_info=True)


def test_the_secret_in_an_exception_s_text_is_hidden() -> None:
    found = as_json(Redactor([SECRET]), event="e", exc_info=ValueError(f"wrong: {SECRET}"))
    assert found["exception"][0]["exc_value"] == f"wrong: {MASK}"


def test_an_exception_that_cannot_be_read_does_not_fail_the_line() -> None:
    class Unreadable(Exception):
        def __str__(self) -> str:
            raise Unreadable

    assert as_json(event="e", exc_info=Unreadable())["event"] in ("e", "log_failed")


def test_on_a_console_a_name_cannot_forge_a_line_a_field_or_a_colour() -> None:
    name = "x\n2026-01-01 critical  everything is lost level=critical \x1b[2J\u202e"
    line = as_text(timestamp="now", level="info", event="call\nfinished", tool=name, other=[name], ok=True, n=1.5)
    assert line.count("\n") == 0
    assert "\x1b" not in line
    assert "\u202e" not in line
    start = 'now info     call\\nfinished tool="x\\n2026-01-01 critical  everything is lost level=critical " other='
    assert line.startswith(start)
    assert line.endswith(" ok=True n=1.5")


def test_on_a_console_plain_words_stay_plain_and_what_is_none_is_left_out() -> None:
    line = as_text(level="info", event="e", server="s-1", code=None, logger="recloser", trace_id="12", span_id="34")
    assert line == " info     e server=s-1 trace_id=12"
    assert "logger=mcp.client" in as_text(event="e", logger="mcp.client")


def test_on_a_console_the_lines_of_an_exception_stand_below_and_can_be_taken_for_no_others() -> None:
    group = ExceptionGroup("two", [ValueError("first\nline"), KeyError("k")])
    first, *rest = as_text(level="error", event="e", exc_info=group).split("\n")
    assert first == " error    e"
    assert all(line.startswith("    | ") for line in rest)
    assert "    |   ValueError: first\\nline" in rest
    lines = as_text(level="error", event="e", exc_info=failed()).split("\n")
    assert any(line.endswith(" in failed") for line in lines)


def test_an_exception_that_somebody_made_a_text_of_stands_below_too() -> None:
    lines = as_text(level="error", event="e", exception="Traceback:\n  bad").split("\n")
    assert lines == [" error    e", "    | Traceback:", "    |   bad"]


def test_of_an_exception_too_deep_to_tell_only_what_could_be_read_is_told() -> None:
    many = ExceptionGroup("many", [ValueError(str(n)) for n in range(3000)])
    assert as_text(level="error", event="e", exc_info=many).startswith(" error    e")


@pytest.mark.parametrize(("level", "start"), [("info", " "), ("warning", "\x1b[33m"), ("error", "\x1b[31m")])
def test_only_what_matters_is_coloured(level: str, start: str) -> None:
    assert Renderer(Redactor(), console=True, colours=True)(None, level, {"level": level, "event": "e"}).startswith(
        start
    )


def test_a_record_tells_its_trace_even_one_that_is_not_sampled() -> None:
    span = NonRecordingSpan(SpanContext(trace_id=10, span_id=11, is_remote=False, trace_flags=TraceFlags(0)))
    with trace.use_span(span):
        assert in_context(None, "", {}) == {"trace_id": f"{10:032x}", "span_id": f"{11:016x}"}
        assert in_context(None, "", {"trace_id": "own"}) == {"trace_id": "own"}
    assert in_context(None, "", {}) == {}


def test_a_record_tells_the_call_that_it_belongs_to() -> None:
    call = Call.tool("s__t").replace(server="s", name="t")
    token = CURRENT.set(call)
    try:
        assert in_context(None, "", {}) == {"call_id": call.call_id, "server": "s", "tool": "t"}
        assert in_context(None, "", {"server": "own"})["server"] == "own"
        CURRENT.set(call.replace(method="resources/read", name="note://1"))
        assert in_context(None, "", {})["name"] == "note://1"
        CURRENT.set(call.replace(server=None))
        assert "server" not in in_context(None, "", {})
    finally:
        CURRENT.reset(token)
