"""Where log lines go, whose they are, and that a log call never fails."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from mcp import MCPError

from recloser.redact import Redactor
from recloser.telemetry.foreign import OTHERS
from recloser.telemetry.logs import Logging


class Stream(io.StringIO):
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


class Terminal(Stream):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("", "recloser", *OTHERS)]
    before = [logger.level for logger in loggers]
    yield
    if Logging._now is not None:
        Logging._now.stop()
    assert [logger.level for logger in loggers] == before
    ours = [each for logger in loggers for each in logger.handlers if type(each).__module__.startswith("recloser")]
    assert ours == []
    assert logging.getLogger("recloser").propagate
    assert not structlog.is_configured()


def started(stream: Any = None, form: Any = "json", level: Any = "info", **options: Any) -> Logging:
    return Logging(form, level, Redactor(["hunter2-secret"]), stream=stream, **options)


def test_own_events_and_own_records_have_the_same_form() -> None:
    stream = Stream()
    logs = started(stream)
    logs.logger.info("call_finished", server="s")
    logging.getLogger("recloser").warning("two %s", "words")
    own, record = stream.lines()
    assert own.pop("timestamp") <= record.pop("timestamp")
    assert own == {"level": "info", "logger": "recloser", "event": "call_finished", "server": "s"}
    assert record == {"level": "warning", "logger": "recloser", "event": "two words"}


def test_what_matters_less_than_the_level_is_not_written() -> None:
    stream = Stream()
    logs = started(stream, level="warning")
    logs.logger.info("no")
    logging.getLogger("recloser").info("no")
    logging.getLogger("recloser.part").warning("yes")
    logs.logger.error("yes")
    assert [line["event"] for line in stream.lines()] == ["yes", "yes"]


def test_lines_go_to_what_is_stderr_at_that_moment_and_never_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    logs = started()
    logs.logger.info("here")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["event"] == "here"


def test_secrets_are_hidden_in_records_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    logs = started(whole=True)
    logs.logger.warning("a", text="hunter2-secret")
    logging.getLogger("recloser").warning("with hunter2-secret")
    logging.getLogger("somebody").error("with %s", "hunter2-secret")
    structlog.get_logger().warning("b", text="hunter2-secret")
    assert "hunter2-secret" not in "".join(capsys.readouterr())


def test_in_an_application_the_root_logger_is_left_alone() -> None:
    theirs, stream = Stream(), Stream()
    handler = logging.StreamHandler(theirs)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        logs = started(stream)
        logging.getLogger("recloser").warning("ours")
        logging.getLogger("mcp").warning("theirs, too")
        logging.getLogger("app").warning("theirs")
        assert [line["event"] for line in stream.lines()] == ["ours"]
        assert theirs.getvalue() == "theirs, too\ntheirs\n"
        logs.stop()
        logging.getLogger("recloser").warning("after")
        assert theirs.getvalue().endswith("after\n")
        assert len(stream.lines()) == 1
    finally:
        root.removeHandler(handler)


@pytest.mark.processes
def test_libraries_that_nobody_hears_are_heard_here_and_other_programs_parts_are_not() -> None:
    code = (
        "import logging, sys\n"
        "from recloser import telemetry\n"
        "telemetry.configure(logs='json')\n"
        "for name in ('mcp.client', 'client', 'httpx2', 'uvicorn.error', 'opentelemetry.sdk', 'app'):\n"
        "    logging.getLogger(name).info('no')\n"
        "    logging.getLogger(name).warning('from %s', name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ""
    *lines, plain = done.stderr.splitlines()
    told = [json.loads(line)["event"] for line in lines]
    assert told == ["from mcp.client", "from client", "from httpx2", "from uvicorn.error", "from opentelemetry.sdk"]
    assert plain == "from app"


def test_of_other_libraries_warnings_are_written_and_never_what_may_hold_arguments() -> None:
    stream = Stream()
    started(stream, whole=True)
    logging.getLogger("httpx2").info("a request")
    logging.getLogger("httpx2").warning("trouble")
    started(stream, level="debug", whole=True)
    logging.getLogger("httpx2").info("another request")
    logging.getLogger("mcp.client").debug("sending {'password': …}")
    assert [line["event"] for line in stream.lines()] == ["trouble", "another request"]


def test_what_a_server_sent_is_told_of_a_librarys_exception_only_where_contents_are() -> None:
    for content in (False, True):
        stream = Stream()
        started(stream, whole=True, content=content)
        try:
            raise MCPError(-32000, "a patient's name")
        except MCPError:
            logging.getLogger("mcp.client").exception("bad")
        assert ("patient" in stream.getvalue()) is content


def test_the_id_of_a_session_is_hidden() -> None:
    stream = Stream()
    started(stream, level="debug", whole=True)
    logging.getLogger("mcp.client.streamable_http").info("Received session ID: 0f8fad5bd9cb469fa165")
    logging.getLogger("httpcore2.http11").info("headers=[(b'mcp-session-id', b'0f8fad5bd9cb469fa165')]")
    assert "0f8fad5b" not in stream.getvalue()


def test_a_second_set_up_takes_the_place_of_the_first() -> None:
    first, second = Stream(), Stream()
    before = started(first)
    after = started(second)
    logging.getLogger("recloser").warning("once")
    before.stop()
    logging.getLogger("recloser").warning("twice")
    assert first.getvalue() == ""
    assert [line["event"] for line in second.lines()] == ["once", "twice"]
    after.stop()
    after.stop()


def test_what_structlog_was_set_up_to_is_put_back() -> None:
    theirs = structlog.testing.CapturingLoggerFactory()
    structlog.configure(logger_factory=theirs, processors=[structlog.processors.JSONRenderer()])
    try:
        stream = Stream()
        logs = started(stream, whole=True)
        structlog.get_logger().warning("ours", n=1)
        logs.stop()
        structlog.get_logger().warning("theirs")
        assert [line["event"] for line in stream.lines()] == ["ours"]
        assert len(theirs.logger.calls) == 1
    finally:
        structlog.reset_defaults()


class Unsayable:
    def __str__(self) -> str:
        raise RuntimeError("unsayable")


@pytest.mark.parametrize(
    ("method", "args", "level", "event"),
    [
        ("info", ("a %s %s", 1), "info", "a %s %s"),
        ("info", ("a %d", "hunter2-secret"), "info", "a %d"),
        ("warn", ("%(a)s", {"b": 1}), "warning", "%(a)s"),
        ("msg", ("100%", 1), "info", "100%"),
        ("fatal", ("a %s", Unsayable()), "critical", "a %s"),
        ("exception", ("a %s %s", 1), "error", "a %s %s"),
        ("error", (), "error", ""),
        ("log", (25, "x"), "info", "x"),
        ("log", (logging.WARNING, "x %s %s", 1), "warning", "x %s %s"),
        ("log", ("info", "x"), "warning", "x"),
        ("log", (99, "x %s", 1), "critical", "x 1"),
        ("log", (), "warning", ""),
    ],
)
@pytest.mark.parametrize("awaited", [False, True])
def test_a_call_to_structlog_that_makes_no_sense_is_told_as_far_as_it_does(
    method: str, args: tuple[Any, ...], level: str, event: str, awaited: bool
) -> None:
    stream = Stream()
    started(stream, whole=True)
    log = structlog.get_logger().bind(of="theirs")
    # Fields, too, may have names that structlog needs itself.
    for fields in ({"n": 1}, {"n": 1, "self": 2, "method_name": 3}):
        if awaited:
            asyncio.run(getattr(log, f"a{method}")(*args, **fields))
        else:
            getattr(log, method)(*args, **fields)
    assert len(stream.lines()) == 2
    for told in stream.lines():
        assert (told["level"], told["n"], told["of"]) == (level, 1, "theirs")
    first, _ = stream.lines()
    assert first["event"] == event


def test_a_call_to_structlog_that_matters_less_than_the_level_is_not_written_even_where_it_makes_no_sense() -> None:
    stream = Stream()
    started(stream, whole=True, level="error")
    log = structlog.get_logger()
    log.info()
    log.log(25, "x")
    log.log(5, "x")
    log.log("info", "x")
    log.log(5, "x", self=1)
    assert stream.getvalue() == ""


def test_what_is_bound_to_the_context_stands_in_every_line() -> None:
    stream = Stream()
    logs = started(stream)
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        logs.logger.info("own")
        logging.getLogger("recloser").info("record")
    assert [line["request_id"] for line in stream.lines()] == ["r-1", "r-1"]


@pytest.mark.parametrize(("form", "kind", "is_json"), [
    ("auto", Stream, True), ("auto", Terminal, False), ("console", Stream, False), ("json", Terminal, True),
])  # fmt: skip
def test_lines_are_json_unless_a_person_reads_them(form: str, kind: type[Stream], is_json: bool) -> None:
    stream = kind()
    started(stream, form=form).logger.warning("event")
    assert stream.getvalue().startswith("{") is is_json
    assert ("\x1b[" in stream.getvalue()) is (form == "auto" and not is_json)


def test_a_message_that_does_not_fit_its_arguments_is_written_as_it_is() -> None:
    stream = Stream()
    started(stream)
    logging.getLogger("recloser").warning("%d of %s with hunter2", "x")  # noqa: PLE1206 - the mistake is what is tested
    (line,) = stream.lines()
    assert (line["event"], line["logger"]) == ("%d of %s with hunter2", "recloser")


class Broken:
    def __str__(self) -> str:
        raise ValueError("no text")


def test_a_message_that_has_no_text_does_not_fail_the_call() -> None:
    stream = Stream()
    started(stream)
    logging.getLogger("recloser").warning(Broken())
    logging.getLogger("recloser").warning("with %s", Broken())
    assert [line["event"] for line in stream.lines()] == ["[unreadable]", "with %s"]


class Full(Stream):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


class Ascii(Stream):
    def write(self, text: str) -> int:
        return super().write(text.encode("ascii").decode())


@pytest.mark.parametrize("stream", [Full(), "closed", None], ids=["full", "closed", "none"])
def test_a_stream_that_cannot_be_written_does_not_fail_the_call(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if stream == "closed":
        stream = Stream()
        stream.close()
    elif stream is None:
        monkeypatch.setattr(sys, "stderr", None)
    logs = started(stream, form="auto")
    logs.logger.warning("event")
    logging.getLogger("recloser").warning("record")


def test_a_stream_of_another_encoding_shows_what_it_can() -> None:
    stream = Ascii()
    started(stream, form="console").logger.warning("event", name="Größe")
    assert "name=Gr\\xf6\\xdfe" in stream.getvalue()


def test_an_exception_is_logged_without_the_values_of_its_frames() -> None:
    stream = Stream()
    started(stream)
    try:
        password = "correct horse battery"
        raise ValueError("wrong")
    except ValueError:
        logging.getLogger("recloser").exception("failed")
    assert password not in stream.getvalue()
    assert stream.lines()[0]["exception"][0]["exc_type"] == "ValueError"
