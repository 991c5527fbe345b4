"""Log lines on stderr: structlog's chain for what recloser tells, and the same for the standard library's loggers.

Never on stdout, where a stdio server's messages and a command's answer are.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import Final, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import FilteringBoundLogger, Processor

from recloser.config.settings import LogLevel, Logs
from recloser.redact import Redactor
from recloser.telemetry.chain import Renderer, in_context, named
from recloser.telemetry.foreign import OTHERS
from recloser.telemetry.unfailing import unfailing

__all__ = ["Logging"]

OURS: Final = "recloser"


class Logging:
    """Our handler where it belongs, and a logger for what recloser tells, until `stop`; one at a time in a process.

    In an application it is put on our own logger, whose records then go nowhere else, and on those of libraries that
    work for us, where the application hears none of them; the root logger and its handlers are left alone. With `whole`
    everything in the process that logs goes through it, by the standard library or by structlog. With `content` the
    texts of exceptions that quote what they were given are told.
    """

    _now: Logging | None = None  # the one in force; written by `__init__` and `stop`

    def __init__(
        self,
        form: Logs,
        level: LogLevel,
        redactor: Redactor,
        *,
        whole: bool = False,
        content: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        """Begin, in place of the one before."""
        if Logging._now is not None:
            Logging._now.stop()
        Logging._now = self
        terminal = _is_terminal(stream)
        console = form == "console" or (form == "auto" and terminal)
        render = Renderer(redactor, console=console, colours=console and terminal, content=content)
        shared: list[Processor] = [
            structlog.contextvars.merge_contextvars,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            in_context,
        ]
        formatter = ProcessorFormatter(
            foreign_pre_chain=[named, *shared], processors=[ProcessorFormatter.remove_processors_meta, render]
        )
        least: int = getattr(logging, level.upper())
        self._handler = _Handler(formatter, least, stream)
        self._undo: list[Callable[[], object]] = []
        own: list[Processor] = [structlog.processors.add_log_level, *shared, render]
        kind = unfailing(structlog.make_filtering_bound_logger(least))
        bare = structlog.wrap_logger(_Sink(self._handler), own, kind)
        self.logger: FilteringBoundLogger = bare.bind(logger=OURS)
        """Writes lines with fields."""
        if whole:
            self._hear("", least)
            self._own_structlog(kind, own)
        else:
            self._hear(OURS, least)
            ours = logging.getLogger(OURS)
            self._undo.append(partial(setattr, ours, "propagate", ours.propagate))
            ours.propagate = False
            for name in OTHERS:
                if not logging.getLogger(name).hasHandlers():
                    self._hear(name, least)

    def stop(self) -> None:
        """Take the handler away again and put back what was there; again, it does nothing."""
        while self._undo:
            self._undo.pop()()
        if Logging._now is self:
            Logging._now = None

    def _hear(self, name: str, level: int) -> None:
        logger = logging.getLogger(name)
        before = logger.level
        logger.addHandler(self._handler)
        logger.setLevel(level)
        self._undo += [partial(logger.setLevel, before), partial(logger.removeHandler, self._handler)]

    def _own_structlog(self, kind: type[FilteringBoundLogger], processors: list[Processor]) -> None:
        # Its default prints to stdout.
        before = structlog.get_config() if structlog.is_configured() else None
        structlog.configure(processors=processors, wrapper_class=kind, logger_factory=lambda *_: _Sink(self._handler))
        self._undo.append(structlog.reset_defaults if before is None else lambda: structlog.configure(**before))


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return (sys.stderr if stream is None else stream).isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


class _Handler(logging.Handler):
    """Writes lines to a stream, by default to what is stderr at that moment; what cannot be written is lost."""

    def __init__(self, formatter: logging.Formatter, level: int, stream: TextIO | None) -> None:
        super().__init__(level)
        self.setFormatter(formatter)
        self._stream = stream
        # The SDK and httpx2 log arguments at debug, and those are nobody's to read.
        self._others = logging.INFO if level <= logging.DEBUG else max(level, logging.WARNING)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is told: of other libraries warnings only, unless everything is wanted."""
        least = self.level if record.name.partition(".")[0] == OURS else self._others
        return record.levelno >= least and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's line."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - boundary: a log call must not fail, whatever it is given
            # Its message and its arguments do not go together, most likely: the message alone says where it comes from.
            whole = {**record.__dict__, "msg": Redactor().text(record.msg), "args": (), "exc_info": None}
            line = self.format(logging.makeLogRecord(whole))
        self.write(line)

    def write(self, line: str) -> None:
        """Write a line and never fail."""
        stream = sys.stderr if self._stream is None else self._stream
        self.acquire()
        try:
            stream.write(f"{line}\n")
            stream.flush()
        except UnicodeEncodeError:
            # A stream of another encoding, that was not made for text of strangers.
            self.write(line.encode("ascii", "backslashreplace").decode("ascii"))
        except (OSError, ValueError, AttributeError):
            pass  # it is closed or full, or there is none: nobody is left to be told
        finally:
            self.release()


class _Sink:
    """What structlog calls with a finished line."""

    def __init__(self, handler: _Handler) -> None:
        self._handler = handler

    def msg(self, line: str) -> None:
        """Write a line."""
        self._handler.write(line)

    debug = info = warning = error = critical = exception = fatal = log = msg
