"""Many calls at once, one verdict: who answered, who did not and why, and whether that is enough."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Literal

import mcp_types as types

from recloser.call import Call
from recloser.errors import Cause, ErrorPayload, RouterError, error_for
from recloser.events import FanOutFinished
from recloser.redact import Redactor

__all__ = ["FanOut", "Reply", "Send", "fan_out", "stream"]

Send = Callable[[Call[Any]], Awaitable[types.CallToolResult]]
"""Makes one call; raises RouterError when it fails."""

SLACK: Final = 0.025
"""Seconds past the common deadline at which what still runs is cut off.

Each call ends itself at the deadline, and knows best how far it came; its server's circuit hears of it only then. The
slack is for what does not.
"""
UNWIND: Final = 0.02
"""Seconds for what has been cut off to end; what needs longer ends on its own, unwaited for."""

_name: Final = Redactor().name
"""Returns a name that may be shown where no configuration is known."""

_RANK: Final = {"transient": 0, "auth": 1, "critical": 2}

_NEXT: Final[Mapping[str, Any]] = {
    "transient": "retry_later",
    "auth": "reauthenticate",
    "critical": "use_other_tool",
}

_PHRASES: Final[Mapping[str, str]] = {
    "timeout": "timed out",
    "connection_lost": "the connection was lost",
    "unreachable": "could not be reached",
    "overloaded": "is overloaded",
    "server_error": "is failing at the moment",
    "circuit_open": "has failed too often and is being spared",
    "bulkhead_full": "is too busy",
    "throttled": "is held back by a rate limit",
    "unauthenticated": "needs a new sign-in",
    "forbidden": "does not permit this",
    "server_fault": "failed inside",
    "invalid_request": "did not accept the request",
    "unknown_tool": "has no such tool",
    "unknown_server": "is not a known server",
    "protocol_violation": "answered in a broken form",
    "invalid_result": "answered in an unexpected form",
    "cannot_start": "could not be started",
    "quorum_missed": "too few answered",
    "internal": "failed for an unknown reason",
}

# Tasks that were cut off and have not ended yet: the loop itself holds tasks only weakly.
_UNWINDING: Final[set[asyncio.Task[Any]]] = set()


@dataclass(frozen=True, kw_only=True)
class Reply:
    """How one of many calls ended."""

    index: int
    """The call's place among all, from 0."""
    call: Call[Any]
    result: types.CallToolResult | None = None
    """The tool's answer, an answer that says `is_error` included."""
    error: ErrorPayload | None = None
    """Why there is none."""
    elapsed: float
    """Seconds from the beginning of all calls to the end of this one."""

    @property
    def who(self) -> str:
        """Who was asked, for people: the server, or the tool where no server is known."""
        told, call = self.error, self.call
        server = (told and told.server) or call.server
        # Of a name that led nowhere the error knows how it may be shown; the call has it as its caller wrote it.
        name = server or ((told and told.tool) or call.key).partition("__")[0]
        return " ".join(_name(name).split())


@dataclass(frozen=True, kw_only=True)
class FanOut:
    """How many calls made at once have ended."""

    replies: tuple[Reply, ...]
    """One a call, in the order of the calls."""
    quorum: int
    """How many answers were asked for at least."""
    elapsed: float
    """Seconds until the last one ended."""

    def __getstate__(self) -> dict[str, Any]:
        # What has been made of the fields lies beside them, in mappings that can be neither pickled nor copied.
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """What each reply is called in `results` and `errors`: its call's key, `key#2` where that is taken."""
        keys: dict[str, None] = {}
        for reply in self.replies:
            key, number = reply.call.key, 1
            while key in keys:
                number += 1
                key = f"{reply.call.key}#{number}"
            keys[key] = None
        return tuple(keys)

    @cached_property
    def results(self) -> Mapping[str, types.CallToolResult]:
        """The answers, by key."""
        pairs = zip(self.keys, self.replies, strict=True)
        return MappingProxyType({key: reply.result for key, reply in pairs if reply.result is not None})

    @cached_property
    def errors(self) -> Mapping[str, ErrorPayload]:
        """Why the others failed, by key."""
        pairs = zip(self.keys, self.replies, strict=True)
        return MappingProxyType({key: reply.error for key, reply in pairs if reply.error is not None})

    @property
    def complete(self) -> bool:
        """Whether all answered."""
        return not self.errors

    @property
    def met(self) -> bool:
        """Whether enough answered."""
        return len(self.results) >= self.quorum

    @property
    def degraded(self) -> bool:
        """Whether enough answered, but not all."""
        return self.met and not self.complete

    def summary(self) -> str:
        """Return in plain words who answered: `2 of 3 answered; jira: timed out after 5 s`."""
        reasons = Counter((reply.who, _reason(reply.error, reply.elapsed)) for reply in self.replies if reply.error)
        told = [f"{who}{f' ({count} calls)' if count > 1 else ''}: {why}" for (who, why), count in reasons.items()]
        return "; ".join([f"{len(self.results)} of {len(self.replies)} answered", *told])


async def fan_out(
    calls: Iterable[Call[Any]],
    send: Send,
    *,
    quorum: int | None = None,
    timeout: float | None = None,
    emit: Callable[[FanOutFinished], None] | None = None,
    shown: Callable[[str], str] = _name,
) -> FanOut:
    """Make many calls at once and wait until all have ended, or until the common deadline.

    Args:
        calls: what to ask; the same tool may be asked more than once.
        send: makes one call.
        quorum: how many must answer at least; None means one, if there are any calls. With 0 nothing is raised.
        timeout: seconds for all together, also for a call whose server waits for a person; None leaves each call to its
            own.
        emit: hears of the verdict.
        shown: returns a caller's name as it may be shown; errors of `send` show theirs so already.

    Raises:
        RouterError: fewer than `quorum` have answered: `quorum_missed`, of the type of the worst failure.
        ValueError: `quorum` or `timeout` is out of its range.
        TypeError: `quorum` is no whole number.
    """
    calls = tuple(calls)
    quorum = _quorum(quorum, len(calls))
    began = asyncio.get_running_loop().time()
    async with aclosing(stream(calls, send, timeout=timeout, shown=shown)) as incoming:
        replies = [reply async for reply in incoming]
    replies.sort(key=lambda reply: reply.index)
    elapsed = asyncio.get_running_loop().time() - began
    spread = FanOut(replies=tuple(replies), quorum=quorum, elapsed=elapsed)
    if emit is not None:
        emit(_event(spread))
    if not spread.met:
        raise _missed(spread)
    return spread


async def stream(
    calls: Iterable[Call[Any]],
    send: Send,
    *,
    timeout: float | None = None,
    shown: Callable[[str], str] = _name,
) -> AsyncGenerator[Reply, None]:
    """Make many calls at once and yield each reply when it is there; leaving early cancels what still runs.

    The calls begin with the first step of the loop. An exception of `send` that is no RouterError, a programming
    mistake, ends them all and goes out.

    Args:
        calls: what to ask.
        send: makes one call.
        timeout: seconds for all together, also for a call whose server waits for a person; what has not answered by
            then is reported as `timeout`.
        shown: returns a caller's name as it may be shown.

    Raises:
        ValueError: `timeout` is out of its range.
    """
    calls = tuple(calls)
    limit = _seconds(timeout)
    loop = asyncio.get_running_loop()
    began = loop.time()
    # Calls stand here in the order in which they end or are found to be late; a late one stands here again when it
    # ends, which is after all others.
    ends: asyncio.Queue[asyncio.Task[Reply]] = asyncio.Queue()
    running: dict[asyncio.Task[Reply], int] = {}
    late: dict[asyncio.Task[Reply], float] = {}

    def cut_off() -> None:
        for task in running:
            if task.cancel():  # It says no when the task has just ended by itself.
                late[task] = loop.time() - began
                ends.put_nowait(task)

    for index, call in enumerate(calls):
        task = loop.create_task(_one(index, _within(call, limit), send, began))
        task.add_done_callback(ends.put_nowait)
        running[task] = index
    clock = None if limit is None or limit == math.inf else loop.call_at(began + limit + SLACK, cut_off)
    try:
        while running:
            task = await ends.get()
            index = running.pop(task)
            call = calls[index]
            yield _late(index, call, late[task], shown) if task in late else _reply_of(task, index, call, began, shown)
    finally:
        if clock is not None:
            clock.cancel()
        await _unwind((*running, *late))


async def _one(index: int, call: Call[Any], send: Send, began: float) -> Reply:
    loop = asyncio.get_running_loop()
    try:
        result = await send(call)
    except RouterError as error:
        return Reply(index=index, call=call, error=error.payload, elapsed=loop.time() - began)
    return Reply(index=index, call=call, result=result, elapsed=loop.time() - began)


def _reply_of(
    task: asyncio.Task[Reply], index: int, call: Call[Any], began: float, shown: Callable[[str], str]
) -> Reply:
    if not task.cancelled():
        return task.result()
    elapsed = asyncio.get_running_loop().time() - began
    # Nobody here cancelled it, and nobody who waits for it was: something inside failed in an unforeseen way.
    error = error_for(
        "internal",
        f"The call of {shown(call.key)!r} was cancelled from inside; this is a fault of the router or of an extension",
        server=call.server and shown(call.server),
        tool=shown(call.name or call.key),
        elapsed=elapsed,
        cause=Cause(exception="asyncio.CancelledError"),
    )
    return Reply(index=index, call=call, error=error.payload, elapsed=elapsed)


def _late(index: int, call: Call[Any], elapsed: float, shown: Callable[[str], str]) -> Reply:
    name, spent = shown(call.key), _duration(elapsed)
    error = error_for(
        "timeout",
        f"{name!r} has not answered within {spent}; ask again with more time, or go on without it",
        server=call.server and shown(call.server),
        tool=shown(call.name or call.key),
        elapsed=elapsed,
    )
    return Reply(index=index, call=call, error=error.payload, elapsed=elapsed)


async def _unwind(running: Iterable[asyncio.Task[Reply]]) -> None:
    """Cancel what still runs and give it a moment to end; keep hold of what takes longer."""
    left = {task for task in running if not task.done()}
    for task in running:
        if task in left:
            if not task.cancelling():  # A second cancel would interrupt its cleaning up.
                task.cancel()
            _UNWINDING.add(task)
            task.add_done_callback(_forget)
        else:
            _forget(task)
    if left:
        await asyncio.wait(left, timeout=UNWIND)


def _forget(task: asyncio.Task[Any]) -> None:
    _UNWINDING.discard(task)
    if not task.cancelled():
        # Looked at, or asyncio complains that nobody has: the reply to it has been given long ago.
        task.exception()


def _within(call: Call[Any], limit: float | None) -> Call[Any]:
    if limit is None or (call.timeout is not None and call.timeout <= limit):
        return call
    return call.replace(timeout=limit)


def _seconds(timeout: float | None) -> float | None:
    # Written so that `nan` is refused too. Without end is as long as each server allows, as for a single call.
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout must be a number of seconds above 0, got {timeout!r}")
    return timeout


def _quorum(quorum: int | None, size: int) -> int:
    if quorum is None:
        return min(1, size)
    if isinstance(quorum, bool) or not isinstance(quorum, int):
        raise TypeError(f"quorum must be a whole number, got {quorum!r}")
    if not 0 <= quorum <= size:
        raise ValueError(f"quorum must be between 0 and the number of calls, {size}; got {quorum!r}")
    return quorum


def _missed(spread: FanOut) -> RouterError:
    errors: Sequence[ErrorPayload] = tuple(spread.errors.values())
    worst = max(errors, key=lambda error: _RANK[error.type])
    waits = [error.retry_after for error in errors if error.retry_after is not None]
    untouched = not spread.results and all(error.delivered == "no" for error in errors)
    return error_for(
        "quorum_missed",
        f"{spread.summary()}; {spread.quorum} were needed",
        type=worst.type,
        retryable=all(error.retryable for error in errors),
        retry_after=max(waits, default=None),
        attempts=sum(error.attempts for error in errors),
        elapsed=spread.elapsed,
        delivered="no" if untouched else "maybe",
        next_action=_NEXT[worst.type],
    )


def _event(spread: FanOut) -> FanOutFinished:
    outcome: Literal["complete", "degraded", "failed"]
    outcome = "failed" if not spread.met else "degraded" if spread.errors else "complete"
    return FanOutFinished(
        size=len(spread.replies),
        answered=len(spread.results),
        quorum=spread.quorum,
        outcome=outcome,
        duration=spread.elapsed,
    )


def _reason(error: ErrorPayload, elapsed: float) -> str:
    phrase = _PHRASES[error.code]
    if error.code == "timeout":
        return f"{phrase} after {_duration(elapsed)}"
    if error.retry_after is not None:
        return f"{phrase}, try again in {_duration(error.retry_after)}"
    return phrase


def _duration(seconds: float) -> str:
    """Return seconds as people say them: `0.25 s`, `1.5 s`, `12 s`."""
    digits = 0 if seconds >= 10 else 1 if seconds >= 1 else 2
    return f"{round(seconds, digits):g} s"
