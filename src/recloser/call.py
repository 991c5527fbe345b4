"""The vocabulary of a call: what travels through a pipeline, and the one shape of a policy.

A [`Call`][] is frozen; what a policy "sets" it sets by `call.replace(...)`. Two things that belong to one call do
change while it runs, and each is an object of its own with its writers named: its [`Deadline`][], which stands still
while a server waits for our side, and its [`Trail`][], which remembers what has happened so far.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Generic, Protocol, TypeVar
from uuid import uuid4

import mcp_types as types

__all__ = ["CURRENT", "Call", "CallNext", "Deadline", "Policy", "Progress", "Trail", "mapping_of"]

R = TypeVar("R")

Progress = Callable[[float, float | None, str | None], Awaitable[None]]
"""A caller's progress callback: progress so far, total (if known), message (if any)."""

# One random prefix a process and a counter: unique across processes, and cheap on the hot path.
_PREFIX: Final = uuid4().hex[:12]
_SEQUENCE: Final = count(1)


def new_call_id() -> str:
    """Return an identifier that no other call of any process has."""
    return f"{_PREFIX}-{next(_SEQUENCE)}"


def mapping_of(arguments: Mapping[str, Any] | None, what: str = "arguments") -> Mapping[str, Any]:
    """Return the arguments, or an empty mapping for None.

    Raises:
        TypeError: they are no mapping of names: a programming mistake, which is never turned into a result.
    """
    if arguments is None:
        return {}
    if not isinstance(arguments, Mapping):
        raise TypeError(f"{what} must be a mapping of names to JSON values, got {type(arguments).__name__}")
    return arguments


class Deadline:
    """A moment of the event loop that can stand still.

    Made by the `Deadline` and `Attempt` policies; paused and resumed by the connection while the server waits for an
    answer from our side; moved later by progress. Pauses nest.
    """

    __slots__ = ("_at", "_depth", "_paused_at", "_watchers")

    def __init__(self, at: float) -> None:
        self._at = at
        self._depth = 0
        self._paused_at = 0.0
        self._watchers: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"Deadline(at={self._at!r}, paused={self.paused})"

    @property
    def at(self) -> float:
        """The moment, in seconds of `loop.time()`; not meaningful while paused."""
        return self._at

    @property
    def paused(self) -> bool:
        """Whether the clock stands still."""
        return self._depth > 0

    def remaining(self, now: float) -> float:
        """Return the seconds that are left at `now`; zero or less when it has passed, constant while paused."""
        return self._at - (self._paused_at if self._depth else now)

    def pause(self, now: float) -> None:
        """Let the clock stand still from `now`."""
        if self._depth == 0:
            self._paused_at = now
        self._depth += 1

    def resume(self, now: float) -> None:
        """End one pause; after the last one the moment lies as much later as the pause lasted."""
        self._depth -= 1
        if self._depth == 0:
            self._at += now - self._paused_at
            self._notify()

    def move(self, at: float) -> None:
        """Set the moment anew; whoever waits for it is told."""
        self._at = at
        self._notify()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` whenever the moment moves, until `unwatch`."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` no more."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def _notify(self) -> None:
        for watcher in tuple(self._watchers):
            watcher()


class Trail:
    """What has happened to one logical call so far: the mutable companion of every `Call` made from it.

    `attempts` and `tries` are written by the endpoint, `sent`, `headers` and `begun` by the connection (`sent` is reset
    by Attempt), `counted` by Breaker, `endpoint` by the upstream's choice, `delay`, `last_delay` and `decision` by
    Retry, `undecided` by the spans, `listed` by whoever settles a name, `spent` by the router.
    """

    __slots__ = (
        "attempts",
        "begun",
        "counted",
        "decision",
        "delay",
        "endpoint",
        "headers",
        "last_delay",
        "listed",
        "sent",
        "spent",
        "tries",
        "undecided",
    )

    def __init__(self) -> None:
        self.attempts = 0
        """How many attempts were let through to an endpoint; a rejected one is none."""
        self.sent = False
        """Whether the current attempt's request has been handed to the wire."""
        self.spent = False
        """Whether the call has been made as it is: made once more, it is another one, with an identifier of its own."""
        self.headers: Mapping[str, str] = {}
        """What the SDK wants said of the last request in HTTP headers, whatever the transport."""
        self.begun = False
        """Whether the server may have acted on an earlier request of the call than the last one: then no refusal of
        that one is a proof any more that nothing has run."""
        self.counted: dict[str, object] = {}
        """Per endpoint: the sample by which this call already counts for or against it."""
        self.endpoint: str | None = None
        """The endpoint that the current attempt was sent to."""
        self.delay = 0.0
        """Seconds of back-off in all."""
        self.last_delay = 0.0
        """Seconds of back-off before the current attempt."""
        self.decision: str | None = None
        """What was decided about the last failure: `retry`, or why not."""
        self.tries: list[Any] = []
        """The attempts so far, as `AttemptFinished`, where somebody keeps account of them."""
        self.listed: tuple[str, str] | None = None
        """The call's key and the server's own name for the thing, where the name was a guess and has proved true."""
        self.undecided: Any = None
        """The span of a failed attempt, which still waits for that decision."""


@dataclass(frozen=True, kw_only=True)
class Call(Generic[R]):
    """One logical request to one server, on its way from the caller to the wire."""

    method: str
    """The MCP method: `tools/call`, `resources/read`, `prompts/get` or `completion/complete`."""
    key: str
    """The name that the caller used, qualified once the catalog has resolved it: `search__web`."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """The request's parameters as the server will see them, without `_meta`."""
    server: str | None = None
    """The server's name, once resolved, or the caller's wish."""
    name: str = ""
    """What the server itself calls the thing: a tool's or prompt's name, a resource's URI."""
    timeout: float | None = None
    """Seconds that the caller gives the whole call; None means the server's configured total."""
    deadline: Deadline | None = None
    """The moment by which the call returns; set by the Deadline policy."""
    limit: Deadline | None = None
    """The moment by which the current attempt returns; set by the Attempt policy."""
    attempt: int = 1
    """The number of this attempt, from 1."""
    idempotent: bool | None = None
    """Whether the caller says that repeating is harmless; None means: go by configuration and hints."""
    known: bool = False
    """Whether the name stands in the server's list; until then it is only a caller's text."""
    safe: bool = False
    """Whether the call is known to be safe to repeat; decided once, before the pipeline."""
    call_id: str = field(default_factory=new_call_id)
    caller: str | None = None
    """Who asked, for the audit; never sent to the server."""
    session: str | None = None
    """Which connection of the endpoint to use; None is the one that all callers share."""
    meta: Mapping[str, Any] | None = None
    """The caller's own `_meta`, passed on to the server."""
    progress: Progress | None = None
    settle: Callable[[Call[R]], Call[R]] | None = field(default=None, compare=False, repr=False)
    """Where the name is a guess because its server has not been listed yet: names the thing anew once it has been."""
    trail: Trail = field(default_factory=Trail, compare=False, repr=False)

    def replace(self, **changes: Any) -> Call[R]:
        """Return the same call with some fields changed.

        Raises:
            TypeError: a name is not a field of a call.
        """
        # dataclasses.replace() runs __init__ again; a call passes here several times, so its fields are copied as one.
        known = self.__dict__
        state = {**known, **changes}
        if len(state) != len(known):
            unknown = sorted(set(changes) - set(known))
            raise TypeError(f"a call has no field {', '.join(map(repr, unknown))}")
        made: Call[R] = object.__new__(type(self))
        object.__setattr__(made, "__dict__", state)
        return made

    @staticmethod
    def tool(
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        idempotent: bool | None = None,
        caller: str | None = None,
        meta: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
        server_name: str | None = None,
        session: str | None = None,
    ) -> Call[types.CallToolResult]:
        """Return a tool call for `Router.fan_out` and `Router.stream`, with the arguments of `Router.call_tool`.

        Raises:
            TypeError: the arguments are no mapping; what else is wrong is told where the call is made.
        """
        return TOOL_CALL.replace(
            key=name,
            name=name,
            params={"name": name, "arguments": dict(mapping_of(arguments))},
            server=server_name,
            timeout=timeout,
            idempotent=idempotent,
            caller=caller,
            meta=meta,
            progress=progress,
            session=session,
            call_id=new_call_id(),
            trail=Trail(),
        )


TOOL_CALL: Final[Call[types.CallToolResult]] = Call(method="tools/call", key="")
"""What every tool call is made from: replacing fields costs less than making them all."""


CURRENT: Final[ContextVar[Call[Any] | None]] = ContextVar("recloser_current_call", default=None)
"""The call that the running task serves; travels with the SDK's messages where its transport carries contexts.

A tool of a server in the same process runs within it too, with all that it does: whether something belongs to this call
is for whoever serves it to say."""


R_co = TypeVar("R_co", covariant=True)


class CallNext(Protocol[R_co]):
    """The rest of the pipeline."""

    async def __call__(self, call: Call[Any], /) -> R_co:
        """Send the call on and return its result."""
        ...


class Policy(Protocol):
    """One idea about how a call is made; every policy has this one shape."""

    async def __call__(self, call: Call[R], call_next: CallNext[R]) -> R:
        """Send the call on by `call_next`, zero times, once or more, and return a result or raise."""
        ...
