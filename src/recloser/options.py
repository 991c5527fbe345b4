"""Every knob, as frozen records that check themselves.

Durations are float seconds. Each default's reason and source stand in `docs/defaults.md`; the keys of a configuration
file are the field names of these records.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from recloser.checks import MismatchError, bare, by_name, flag, flaws, number, text, texts, whole, word

if TYPE_CHECKING:
    import httpx2
    from mcp import StdioServerParameters
    from mcp.client import Transport
    from mcp.server import MCPServer
    from mcp.server import Server as LowLevelServer

    from recloser.call import Policy
    from recloser.errors import RouterError

__all__ = [
    "Breaker",
    "Bulkhead",
    "Limits",
    "Retry",
    "Server",
    "Timeouts",
]

Target: TypeAlias = (
    "str | StdioServerParameters | MCPServer | LowLevelServer[Any] | Transport | Callable[[], Transport]"
)
"""What a server can be: a URL, a command, a server object of the same process, or a transport of the SDK.

A transport can be entered only once, so that such a server is not connected to again; a function that returns a new one
each time has no such limit.
"""

Kind = Literal["stdio", "http", "sse", "in_process", "transport"]
Era = Literal["auto", "legacy", "modern"]

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long things may take; float seconds."""

    total: float = 60.0
    """The whole call: attempts, back-off, queueing and fallbacks."""
    attempt: float = 30.0
    """One attempt, waiting for a connection included."""
    connect: float = 5.0
    """Opening one TCP connection, TLS included."""
    start: float = 30.0
    """Making a server usable: spawning, negotiating, walking all lists."""
    callback: float = 300.0
    """One question of the server to our side (sampling, elicitation, roots), during which the call's clocks stand."""
    ceiling: float | None = None
    """The most that a caller's own `timeout=` may ask for; None means the total."""
    shutdown: float = 4.0
    """How long a closing connection may take before it is torn down: 2 s to end by itself, 2 s after SIGTERM."""

    def __post_init__(self) -> None:
        for name in ("total", "attempt", "connect", "start", "callback", "shutdown"):
            number(f"timeouts.{name}", getattr(self, name), above=0)
        if self.ceiling is not None:
            number("timeouts.ceiling", self.ceiling, above=0)
        if self.attempt > self.total:
            raise MismatchError(
                f"timeouts.attempt must not exceed timeouts.total, got {self.attempt!r} and {self.total!r}",
                "attempt",
                "total",
            )

    def budget(self, asked: float | None) -> float:
        """Return the seconds that a call gets whose caller asked for `asked` of them."""
        ceiling = self.total if self.ceiling is None else self.ceiling
        return min(self.total if asked is None else asked, ceiling)


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Which failures are tried again, how often, and what that may cost."""

    attempts: int = 3
    """Attempts of one call, the first included."""
    backoff: float = 0.05
    """Base of the full-jitter back-off: a random share of `backoff * 2**i` seconds before retry i = 0, 1, …"""
    throttled_backoff: float = 1.0
    """The same base after a 429."""
    reconnect_backoff: float = 0.2
    """The same base after `unreachable`, with equal jitter: half of it is sure, since a server that is being started
    again takes a moment."""
    backoff_cap: float = 20.0
    """The most that one back-off may last."""
    retry_after_slack: float = 5.0
    """How many seconds a server's Retry-After may exceed our own back-off and still be waited for in full."""
    budget: int = 500
    """Tokens of the server's retry budget when full."""
    cost: int = 14
    """Tokens that one retry costs; what a call's last retry cost comes back when it succeeds."""
    throttled_cost: int = 5
    """Tokens that one retry after a 429 costs."""
    refill: int = 1
    """Tokens that a call earns which succeeds at once."""
    server_faults: bool = False
    """Whether a 500 is tried again like a transient failure, where the call is safe to repeat."""

    def __post_init__(self) -> None:
        flag("retry.server_faults", self.server_faults)
        whole("retry.attempts", self.attempts, least=1)
        for name in ("budget", "cost", "throttled_cost", "refill"):
            whole(f"retry.{name}", getattr(self, name), least=0)
        for name in ("backoff", "throttled_backoff", "reconnect_backoff", "backoff_cap", "retry_after_slack"):
            number(f"retry.{name}", getattr(self, name), least=0)


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """When an endpoint's circuit opens, for how long, and how it closes again."""

    enabled: bool = True
    """Whether there is a circuit at all."""
    window: float = 60.0
    """Seconds that a sample counts."""
    buckets: int = 10
    """How many parts the window moves in."""
    rate: float = 0.5
    """Share of failures, of at least `volume` calls in the window, that opens the circuit."""
    volume: int = 10
    """Calls in the window below which the rate says nothing."""
    consecutive: int = 5
    """Failures in a row that open it at any volume: MCP servers see few calls a minute."""
    open_for: float = 5.0
    """Seconds of the first break; doubles with each further one, equal jitter, back to this on close."""
    open_cap: float = 300.0
    """The most seconds that one break may last."""
    probes: int = 1
    """Calls let through at a time while half-open."""
    successes: int = 1
    """Successful probes that close the circuit."""

    def __post_init__(self) -> None:
        flag("breaker.enabled", self.enabled)
        for name in ("window", "open_for", "open_cap"):
            number(f"breaker.{name}", getattr(self, name), above=0)
        for name in ("buckets", "volume", "consecutive", "probes", "successes"):
            whole(f"breaker.{name}", getattr(self, name), least=1)
        number("breaker.rate", self.rate, above=0)
        if self.rate > 1:
            raise ValueError(f"breaker.rate must be at most 1, got {self.rate!r}")
        if self.open_for > self.open_cap:
            raise MismatchError(
                f"breaker.open_for must not exceed breaker.open_cap, got {self.open_for!r} and {self.open_cap!r}",
                "open_for",
                "open_cap",
            )


@dataclass(frozen=True, kw_only=True)
class Bulkhead:
    """How many attempts may be in flight at one endpoint."""

    limit: int = 25
    """Attempts in flight; further ones wait, as far as their deadlines allow."""

    def __post_init__(self) -> None:
        whole("bulkhead.limit", self.limit, least=1)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes in bytes."""

    message: int = 32 * 1024 * 1024
    """The largest message taken from a server."""
    arguments: int = 4 * 1024 * 1024
    """The largest arguments sent to one."""
    stderr_tail: int = 8 * 1024
    """How much of a stdio server's stderr is kept."""

    def __post_init__(self) -> None:
        for name in ("message", "arguments"):
            whole(f"limits.{name}", getattr(self, name), least=1024)
        whole("limits.stderr_tail", self.stderr_tail, least=0)


@dataclass(frozen=True)
class Server:
    """One MCP server: how it is reached, how far it is trusted, and how calls to it are made.

    Raises:
        ValueError: a value is out of its range, or does not fit another one; the message names both.
        TypeError: a value has the wrong type.
    """

    name: str
    """Letters, digits, `_`, `-`, `.`; no `__`, since that parts a server from its tool in a qualified name."""
    target: Target | None = None
    _: KW_ONLY
    url: str | None = field(default=None, repr=False)
    """Where it is reached over HTTP."""
    command: str | None = None
    """The program that is started and spoken to over stdio."""
    args: Sequence[str] = field(default=(), repr=False)
    """The command's arguments."""
    env: Mapping[str, str] | None = field(default=None, repr=False)
    """Variables for the command, on top of the few that the SDK hands down (PATH, HOME, …); never shown."""
    cwd: str | None = None
    """The command's working directory; None means this process's."""
    transport: Literal["stdio", "http", "sse"] | None = None
    """How a URL is spoken to; None means streamable HTTP, or SSE where the URL ends in `/sse`."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every HTTP request; never shown."""
    auth: httpx2.Auth | None = field(default=None, repr=False)
    era: Era = "auto"
    """Protocol: negotiate it, or hold it fixed."""
    allow_plaintext: bool = False
    """Whether `http://` beyond loopback is allowed."""
    verify: bool = True
    """Whether TLS certificates are checked."""
    required: bool = False
    """Whether the router waits for this server at start, and fails without it."""
    lazy: bool = False
    """Whether the first call starts it."""
    enabled: bool = True
    """Whether it is used at all."""
    trusted: bool = False
    """Whether its hints (`readOnlyHint`, `idempotentHint`) are believed when it is decided what is safe to repeat."""
    idempotent: Sequence[str] = ()
    """Its tools that are safe to repeat, by their own names; `*` for all."""
    include: Sequence[str] = ()
    """Shell patterns of tool names to show; none means all."""
    exclude: Sequence[str] = ()
    """Shell patterns of tool names to hide."""
    tags: frozenset[str] = frozenset()
    """What its tools can be listed by."""
    tool_tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Further tags of single tools, by their own names."""
    priority: int = 0
    """Who gets a bare name that several servers have: the highest."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    """How long things may take."""
    retry: Retry = field(default_factory=Retry)
    """Which failures are tried again, how often, and what that may cost."""
    breaker: Breaker = field(default_factory=Breaker)
    """When its circuit opens, for how long, and how it closes again."""
    bulkhead: Bulkhead = field(default_factory=Bulkhead)
    """How many attempts may be in flight."""
    limits: Limits = field(default_factory=Limits)
    """Sizes of messages."""
    propagate: Literal["trace", "trace+baggage", "none"] = "trace"
    """What the server is told of the trace that a call is part of: its ids, also the caller's baggage, or nothing."""
    chaos: Sequence[Policy] = field(default=(), repr=False, compare=False)
    """Policies that disturb each attempt on purpose, in a test: they stand where the network does."""
    classify: Callable[[Any], RouterError | None] | None = field(default=None, repr=False)
    """A hook that is shown each result before it is returned, and may say which error it really is (a rate limit told
    in a result, say); None means: it is an answer."""

    def __post_init__(self) -> None:
        self._check_name()
        self._check_types()
        self._settle_target()
        if self.breaker.enabled and self.breaker.window < 2 * self.timeouts.attempt:
            raise MismatchError(
                f"server {self.name!r}: breaker.window must be at least twice timeouts.attempt, or attempts that time "
                f"out leave it before they can add up; got {self.breaker.window!r} and {self.timeouts.attempt!r}",
                "breaker.enabled",
                "breaker.window",
                "timeouts.attempt",
            )
        if self.required and self.lazy:
            raise MismatchError(f"server {self.name!r} cannot be both required and lazy", "required", "lazy")
        object.__setattr__(self, "tags", frozenset(self.tags))

    def _check_name(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"a server's name must be a string, got {self.name!r}")
        if "__" in self.name:
            raise ValueError(f"server {self.name!r}: a name may not contain '__', which parts server and tool")
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"server {self.name!r}: a name is made of letters, digits, '_', '-' and '.', and begins and ends with "
                "a letter or digit"
            )

    def _check_types(self) -> None:
        mine = f"server {self.name!r}:"
        for name in ("allow_plaintext", "verify", "required", "lazy", "enabled", "trusted"):
            flag(f"{mine} {name}", getattr(self, name))
        for name in ("url", "command", "cwd"):
            if (value := getattr(self, name)) is not None:
                text(f"{mine} {name}", value, path=name != "url")
        for name in ("args", "idempotent", "include", "exclude"):
            texts(f"{mine} {name}", getattr(self, name))
        by_name(f"{mine} headers", self.headers, path=False)
        if self.env is not None:
            by_name(f"{mine} env", self.env)
        word(f"{mine} transport", self.transport, "stdio", "http", "sse", None)
        word(f"{mine} era", self.era, "auto", "legacy", "modern")
        word(f"{mine} propagate", self.propagate, "trace", "trace+baggage", "none")
        tags: object = self.tags
        if isinstance(tags, str):
            raise TypeError(f"{mine} tags must be a set of strings, got {self.tags!r}")

    def _settle_target(self) -> None:
        given = [name for name in ("target", "url", "command") if getattr(self, name) is not None]
        if len(given) != 1:
            said = " and ".join(given) or "none of them"
            raise ValueError(f"server {self.name!r} needs exactly one of target, url and command, got {said}")
        if isinstance(self.target, str):
            object.__setattr__(self, "url", self.target)
            object.__setattr__(self, "target", None)
        for _, flaw in flaws(self._reached_by()):
            raise ValueError(f"server {self.name!r}: {flaw}")
        if self.url is not None:
            self._check_url(self.url)
        elif self.transport in ("http", "sse"):
            raise ValueError(f"server {self.name!r}: transport {self.transport!r} needs a url")

    def _reached_by(self) -> Mapping[str, Any]:
        given = self.target if hasattr(self.target, "command") else self
        how = {name: getattr(given, name, None) for name in ("command", "args", "env", "cwd")}
        return {"url": self.url, "headers": self.headers, **how}

    def _check_url(self, url: str) -> None:
        if self.transport == "stdio":
            raise ValueError(f"server {self.name!r}: transport 'stdio' needs a command, not a url")
        if url.lower().startswith("http://") and not self.allow_plaintext and not is_loopback(url):
            raise ValueError(
                f"server {self.name!r}: {bare(url)} would send everything in plain text beyond this machine; use "
                "https, or set allow_plaintext = true"
            )

    @property
    def kind(self) -> Kind:
        """How the server is reached."""
        if self.url is not None:
            if self.transport == "sse" or (self.transport is None and self.url.split("?")[0].endswith("/sse")):
                return "sse"
            return "http"
        if self.command is not None:
            return "stdio"
        if hasattr(self.target, "command"):
            return "stdio"
        return "transport" if hasattr(self.target, "__aenter__") or callable(self.target) else "in_process"


def is_loopback(url: str) -> bool:
    """Return whether a URL names this machine."""
    try:
        host = urlsplit(url).hostname or ""
        # 127.0.0.1.example.com is a name, and not of this machine; an address is one as a whole.
        return host == "localhost" or host.endswith(".localhost") or ip_address(host).is_loopback
    except ValueError:
        return False
