"""What happens to a log record between the one who logs and the line: context, redaction, rendering.

Nothing here raises, whatever is logged: a log call must never fail the call that it tells about. Redaction comes last
before rendering, so that what the steps before it add is redacted too.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

from opentelemetry import trace
from structlog.tracebacks import ExceptionDictTransformer

from recloser.call import CURRENT
from recloser.redact import Redactor
from recloser.telemetry.foreign import is_other, shorten_urls, texts_of_quoting, without_texts

__all__ = ["LONGEST_LINE", "Fields", "Renderer", "in_context", "named"]

LONGEST_LINE: Final = 32 * 1024
"""Characters of a line; of a longer one only the main fields are kept."""

FRAMES: Final = 20
"""Frames of a traceback that are told: the outermost and the innermost ones."""

Fields: TypeAlias = MutableMapping[str, Any]

_MAIN: Final = ("timestamp", "level", "logger", "event", "call_id", "server", "trace_id", "span_id")
_PLACED: Final = frozenset({"timestamp", "level", "event", "exception", "logger", "trace_id", "span_id"})
_PLAIN: Final = re.compile(r"[^\s=\"'\\{}\[\]]+")
_COLOURS: Final[Mapping[str, int]] = {"debug": 2, "warning": 33, "error": 31, "critical": 31}


def in_context(_: Any, __: str, fields: Fields) -> Fields:
    """Add the trace and the call within which something is logged; what the record says itself stays."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid and "trace_id" not in fields:
        fields["trace_id"] = trace.format_trace_id(span.trace_id)
        fields["span_id"] = trace.format_span_id(span.span_id)
    call = CURRENT.get()
    if call is not None:
        fields.setdefault("call_id", call.call_id)
        if call.server is not None:
            fields.setdefault("server", call.server)
        fields.setdefault("tool" if call.method == "tools/call" else "name", call.name)
    return fields


def named(_: Any, __: str, fields: Fields) -> Fields:
    """Add who logs and at what level, of a record of the standard library."""
    record: logging.LogRecord = fields["_record"]
    fields["logger"] = record.name
    fields["level"] = record.levelname.lower()
    return fields


class Renderer:
    """Turns fields into one line, or on a console into a line and those of an exception; the last of a chain.

    Args:
        redactor: what redacts them.
        console: whether a person reads the line.
        colours: whether it is coloured for that person.
        content: whether the texts of exceptions that quote what they were given are told.
    """

    def __init__(self, redactor: Redactor, *, console: bool, colours: bool = False, content: bool = False) -> None:
        self._redactor = redactor
        self._content = content
        self._render: Callable[[dict[str, Any]], str] = _as_json
        if console:
            self._render = _coloured if colours else _as_text
        # Without the values of variables: those hold arguments, results and secrets.
        self._exception = ExceptionDictTransformer(show_locals=False, max_frames=FRAMES, use_rich=False)

    def __call__(self, _: Any, __: str, fields: Mapping[str, Any]) -> str:
        """Return the line; of what cannot be rendered, one that says so."""
        try:
            line = self._line(fields)
            if len(line) > LONGEST_LINE:
                line = self._line({**{key: fields[key] for key in _MAIN if key in fields}, "cut": len(line)})
        except Exception as error:  # noqa: BLE001 - boundary: a log call must not fail, whatever it is given
            told = {"event": "log_failed", "of": self._redactor.text(fields.get("event")), "why": type(error).__name__}
            line = self._render({"level": "error", **told})
        return line

    def _line(self, fields: Mapping[str, Any]) -> str:
        ordered = {key: fields[key] for key in _MAIN if key in fields} | dict(fields)
        info = ordered.pop("exc_info", None)
        if isinstance(info, BaseException):
            info = type(info), info, info.__traceback__
        if isinstance(info, tuple) and info[0] is not None:
            told = self._exception(info)
            ordered["exception"] = told if self._content else without_texts(told, texts_of_quoting(info[1]))
        if is_other(str(ordered.get("logger"))):
            ordered["event"] = shorten_urls(str(ordered.get("event")))
        return self._render(self._redactor.mapping(ordered))


# --- JSON


def _as_json(fields: dict[str, Any]) -> str:
    # Escaped beyond ASCII, since a stream in another encoding would put escapes there that are not JSON's.
    try:
        return json.dumps(fields, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(fields), allow_nan=False)


def _finite(value: Any) -> Any:
    """Return a value without the numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value


# --- for people


def _as_text(fields: dict[str, Any]) -> str:
    return "\n".join(_lines(fields))


def _coloured(fields: dict[str, Any]) -> str:
    first, *rest = _lines(fields)
    colour = _COLOURS.get(str(fields.get("level")))
    return "\n".join([first if colour is None else f"\x1b[{colour}m{first}\x1b[0m", *rest])


def _lines(fields: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a record: the first one holds all but an exception, whose lines can be taken for no others."""
    rest = {key: value for key, value in fields.items() if key not in _PLACED}
    if fields.get("logger") != "recloser":
        rest = {"logger": fields.get("logger"), **rest}
    rest["trace_id"] = fields.get("trace_id")
    event = _one_line(str(fields.get("event", "")))
    head = [str(fields.get("timestamp", "")), f"{fields.get('level', '')!s:<8}", event]
    yield " ".join([*head, *(f"{key}={_word(value)}" for key, value in rest.items() if value is not None)])
    for each in _exception_lines(fields.get("exception")):
        yield f"    | {_one_line(each)}"


def _exception_lines(told: Any) -> Iterator[str]:
    """Yield the lines of an exception: a text, or what was made of one here; parts of it may have been cut."""
    if isinstance(told, str):
        yield from told.splitlines()
    elif isinstance(told, list):
        for each in told:
            yield from _exception_lines(each)
    elif isinstance(told, dict) and "lineno" in told:
        yield f"  {told['filename']}:{told['lineno']} in {told.get('name')}"
    elif isinstance(told, dict):
        yield f"{told.get('exc_type')}: {told.get('exc_value')}"
        yield from _exception_lines(told.get("frames"))
        yield from (f"  {line}" for line in _exception_lines(told.get("exceptions")))


def _word(value: Any) -> str:
    """Return a value that cannot be taken for more than one."""
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return f"{value:g}"
    return repr(value)


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n").replace("\t", "\\t")
