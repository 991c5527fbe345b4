"""The table of everything that a faulty server can do wrong.

Each fault says what it does, where, and whether the tool runs nevertheless: tests are parametrised over this table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

__all__ = ["FAULTS", "LISTS", "STATUSES", "Fault", "Setting"]

Setting = str | int | float | bool

STDIO: Final = frozenset({"stdio"})
HTTP: Final = frozenset({"http"})
BOTH: Final = STDIO | HTTP
LEGACY: Final = frozenset({"legacy"})
ANY_ERA: Final = frozenset({"legacy", "modern"})

CALL: Final = ("tools/call",)
HANDSHAKE: Final = ("initialize", "server/discover")
LISTS: Final = ("tools/list", "resources/list", "resources/templates/list", "prompts/list")

STATUSES: Final = (400, 401, 403, 404, 405, 406, 408, 409, 413, 415, 421, 425, 429, 500, 502, 503, 504)
"""Every HTTP status that has a fault `status_N` of its own."""

_RANGES: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {"code": (-math.inf, math.inf), "status": (100, 599)}
)
"""Between which numbers an argument must be, where that is not 0 or more."""


_HEADERS: Final = frozenset({"content_type", "location", "retry_after", "www_authenticate"})
"""Arguments that go out as headers."""
_LATIN_1: Final = 255
"""The highest character of a header."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way to misbehave."""

    name: str
    does: str
    """What the server does, in one sentence."""
    on: tuple[str, ...] = CALL
    """The messages that it strikes unless told otherwise: methods, `GET`, `DELETE`, `start`; `x/*` for all below x."""
    needs: str | None = None
    """A parameter without which a message is not struck."""
    transports: frozenset[str] = BOTH
    eras: frozenset[str] = ANY_ERA
    """The eras of a connection in which it can be seen."""
    executes: bool | None = False
    """Whether the tool runs; None where no tool is concerned."""
    heals: bool = True
    """Whether the same server serves again when the fault is over, without being started anew."""
    arguments: Mapping[str, Setting] = field(default_factory=dict)
    """What `--arg` can set, with defaults; the type of the default is the type of the argument."""

    def settings(self, given: Mapping[str, object]) -> dict[str, Setting]:
        """Return all arguments, those `given` over the defaults; text is read as the default's type.

        Raises:
            ValueError: an argument is unknown, not of its default's type, or out of its range.
        """
        settings = dict(self.arguments)
        for name, value in given.items():
            if name not in settings:
                known = ", ".join(settings) or "none"
                raise ValueError(f"{self.name} has no argument {name!r}; known: {known}")
            settings[name] = _read(f"{self.name}: {name}", value, settings[name])
            _check_range(f"{self.name}: {name}", settings[name], *_RANGES.get(name, (0, math.inf)))
            if name in _HEADERS and any(ord(character) > _LATIN_1 for character in str(settings[name])):
                raise ValueError(f"{self.name}: {name} must be of characters that a header can hold, got {value!r}")
        return settings


def _check_range(place: str, value: Setting, low: float, high: float) -> None:
    if isinstance(value, str) or (low <= value <= high and value != math.inf):
        return
    raise ValueError(f"{place} must be {'0 or more' if high == math.inf else f'{low} to {high}'}, got {value!r}")


def _read(place: str, value: object, default: Setting) -> Setting:
    kind: type[Any] = type(default)
    if isinstance(default, bool):
        truth = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}.get(str(value).lower())
        if truth is None:
            raise ValueError(f"{place} must be yes or no, got {value!r}")
        return truth
    try:
        read: Setting = kind(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{place} must be of type {kind.__name__}, got {value!r}") from error
    if kind is int and isinstance(value, float) and value != read:
        raise ValueError(f"{place} must be a whole number, got {value!r}")
    return read


def _either(
    name: str,
    does: str,
    *,
    executes: bool,
    transports: frozenset[str] = BOTH,
    arguments: Mapping[str, Setting] = MappingProxyType({}),
) -> Fault:
    """Return a fault for which it can be chosen (`--arg executes=yes`) whether the tool runs before it strikes."""
    return Fault(
        name=name, does=does, executes=executes, transports=transports, arguments={"executes": executes, **arguments}
    )


def _waiting() -> Iterator[Fault]:
    yield Fault(name="hang_initialize", does="never answers initialize or server/discover", on=HANDSHAKE, executes=None)
    yield Fault(name="hang_list", does="never answers a listing", on=LISTS, executes=None)
    yield _either("hang_call", "never answers a call", executes=False)
    yield _either(
        "no_answer",
        "runs the tool and says nothing; over HTTP the stream stays open and carries comments",
        executes=True,
    )
    yield Fault(
        name="slow_start",
        does="does not serve until `delay` seconds after it was started",
        on=("start", *HANDSHAKE),
        executes=None,
        arguments={"delay": 1.0},
    )
    yield Fault(
        name="late_answer",
        does="runs the tool and answers `delay` seconds later",
        executes=True,
        arguments={"delay": 1.0},
    )
    yield Fault(
        name="wedged_stdin",
        does="stops reading its stdin, and does not even see its end; exits after `lives` seconds",
        transports=STDIO,
        heals=False,
        arguments={"lives": 120.0, "code": 1},
    )
    yield Fault(
        name="slow_drip",
        does="sends a good answer in pieces of `chunk` bytes, `delay` seconds apart",
        executes=True,
        arguments={"delay": 0.01, "chunk": 1},
    )
    yield Fault(
        name="notify_hang",
        does="never answers the POST of a notification",
        on=("notifications/*",),
        transports=HTTP,
        eras=LEGACY,
        executes=None,
    )
    yield Fault(
        name="delete_hang",
        does="never answers the DELETE of a session",
        on=("DELETE",),
        transports=HTTP,
        eras=LEGACY,
        executes=None,
    )


def _dying() -> Iterator[Fault]:
    code: Mapping[str, Setting] = {"code": 1}
    yield Fault(
        name="exit_at_start",
        does="exits before it has read anything, with a line on stderr",
        on=("start",),
        transports=STDIO,
        executes=None,
        heals=False,
        arguments=code,
    )
    yield Fault(
        name="crash_loop",
        does="exits `delay` seconds after every start",
        on=("start",),
        transports=STDIO,
        executes=None,
        heals=False,
        arguments={"delay": 0.5, **code},
    )
    yield Fault(name="exit_before_call", does="exits before it runs the tool", heals=False, arguments=code)
    yield Fault(
        name="exit_mid_call",
        does="runs the tool and exits before it answers",
        executes=True,
        heals=False,
        arguments=code,
    )
    yield Fault(
        name="exit_after",
        does="exits as soon as it has answered `calls` calls",
        executes=True,
        heals=False,
        arguments={"calls": 3, **code},
    )
    yield Fault(
        name="exit_idle",
        does="answers, and exits `delay` seconds later, while idle",
        executes=True,
        heals=False,
        arguments={"delay": 0.05, **code},
    )
    yield Fault(
        name="forks_sleeper",
        does="starts a child that keeps stdout open for `lives` seconds, and exits without an answer",
        transports=STDIO,
        heals=False,
        arguments={"lives": 60, "code": 1},
    )
    yield Fault(
        name="ignores_eof",
        does="ignores the end of its stdin, and SIGTERM if `term`, for `lives` seconds",
        on=("start",),
        transports=STDIO,
        executes=None,
        arguments={"lives": 60.0, "term": True},
    )


def _wrong_bytes() -> Iterator[Fault]:
    yield _either(
        "garbage",
        "sends `text` in place of its answer",
        executes=True,
        arguments={"text": "{not json", "content_type": "application/json"},
    )
    yield Fault(
        name="banner",
        does="prints lines of text on stdout before its good answer",
        transports=STDIO,
        executes=True,
        arguments={"text": "Server ready."},
    )
    yield Fault(name="bad_byte", does="sends a byte that is not UTF-8 inside its answer", executes=True)
    yield _either(
        "partial_line",
        "sends half of its answer's line, which spoils the next one, and serves on, or exits if `exits`",
        executes=True,
        transports=STDIO,
        arguments={"exits": False},
    )
    yield Fault(
        name="stderr_flood",
        does="writes `bytes` bytes to stderr, `text` in every line, before its good answer",
        transports=STDIO,
        executes=True,
        arguments={"bytes": 2_000_000, "text": "something is wrong, and it is said again and again"},
    )


def _wrong_answers() -> Iterator[Fault]:
    yield _either("malformed", "answers with a result of the wrong shape", executes=True)
    yield _either("wrong_id", "answers with another request's id", executes=True)
    yield Fault(name="duplicate", does="answers twice", executes=True)
    yield Fault(
        name="big_answer",
        does="answers with a text of `bytes` bytes",
        executes=True,
        arguments={"bytes": 50_000_000},
    )
    yield _either(
        "is_error_storm",
        "answers every call with isError and `text`",
        executes=True,
        arguments={"text": "rate limit exceeded"},
    )
    yield _either(
        "jsonrpc_error",
        "answers with the JSON-RPC error `code`",
        executes=False,
        arguments={"code": -32603, "message": "Internal error"},
    )
    yield Fault(
        name="page_loss",
        does="answers the second and later pages of a listing with the JSON-RPC error `code`",
        on=LISTS,
        needs="cursor",
        executes=None,
        arguments={"code": -32603, "message": "Internal error"},
    )
    yield Fault(name="endless_pages", does="gives every page of a listing yet another cursor", on=LISTS, executes=None)
    yield Fault(
        name="list_changed_flood",
        does="sends `count` notifications `method` before its good answer, in the modern era only to who subscribed",
        executes=True,
        arguments={"count": 1000, "method": "notifications/tools/list_changed"},
    )
    yield Fault(
        name="flapping",
        does="is `fault` for `period` seconds (or `calls` calls), good for as long, and so on",
        executes=None,
        arguments={"fault": "jsonrpc_error", "period": 0.2, "calls": 0},
    )


def _http() -> Iterator[Fault]:
    yield _either("accepted", "answers a request with 202", executes=True, transports=HTTP)
    yield _either(
        "sse_cut",
        "ends an event stream in which there was no answer, after an event with an id if `event_id`",
        executes=True,
        transports=HTTP,
        arguments={"event_id": False},
    )
    yield _either("reset", "resets the TCP connection in place of its answer", executes=True, transports=HTTP)
    yield _either("close", "closes the TCP connection in place of its answer", executes=True, transports=HTTP)
    yield _either(
        "truncated", "promises a body, sends half of it and closes the connection", executes=True, transports=HTTP
    )
    for status in STATUSES:
        more: Mapping[str, Setting] = {"www_authenticate": 'Bearer error="invalid_token"'} if status == 401 else {}
        yield _either(
            f"status_{status}",
            f"answers {status}, as text or, if `rpc`, with a JSON-RPC error",
            executes=False,
            transports=HTTP,
            arguments={"retry_after": "", "rpc": False, **more},
        )
    yield _either(
        "status",
        "answers `status`, whichever it is, as text or, if `rpc`, with a JSON-RPC error",
        executes=False,
        transports=HTTP,
        arguments={"status": 503, "retry_after": "", "rpc": False, "www_authenticate": ""},
    )
    yield _either(
        "redirect",
        "answers `status` with `location`",
        executes=False,
        transports=HTTP,
        arguments={"status": 307, "location": "http://127.0.0.1:9/mcp"},
    )
    yield Fault(
        name="session_lost",
        does="forgets all sessions; they get 404, with a JSON-RPC error if `rpc`",
        transports=HTTP,
        eras=LEGACY,
        arguments={"rpc": True},
    )
    yield Fault(
        name="restart",
        does="drops all connections, closes its port for `down` seconds and comes back without its sessions",
        transports=HTTP,
        arguments={"down": 0.2},
    )
    yield Fault(
        name="token_expiry",
        does="answers 401 to the bearer token of the first message that it strikes, until another one comes",
        on=("*",),
        transports=HTTP,
        arguments={"www_authenticate": 'Bearer error="invalid_token"'},
    )


FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {fault.name: fault for group in (_waiting, _dying, _wrong_bytes, _wrong_answers, _http) for fault in group()}
)
"""Every fault by its name."""
