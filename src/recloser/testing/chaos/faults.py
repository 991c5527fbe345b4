"""Chaos policies that fail a call: any code of the error table, and the usual ones by name."""

from __future__ import annotations

import string
from typing import Any, Final, Literal, Unpack

import mcp_types as types

from recloser.call import Call, CallNext, R
from recloser.errors import CODES, Cause, Delivered, RouterError, error_for
from recloser.messages import message_for
from recloser.testing.chaos.policy import Chance, ChaosPolicy, Phase, check_phase, check_seconds, reach

__all__ = ["AuthFailure", "Disconnect", "Fault", "Garbage", "RateLimited"]

_PHASE_OF: Final[dict[Delivered, Phase]] = {"no": "before", "maybe": "during", "yes": "after"}

_LETTERS: Final = string.ascii_letters + string.digits + "{}[]<>\"'\\ \t\x00\ufffd"


class Fault(ChaosPolicy):
    """A call that fails with a code of the error table.

    Simulates whatever the code stands for, and goes by its rules: whether it is tried again, whether it counts against
    the server, and what the payload says are those of `recloser.errors.CODES`, unless told otherwise. The payload's
    `cause.exception` names the policy, so that an injected failure can be told from a real one.

    Args:
        code: A code of `recloser.errors.CODES`.
        delivered: What the payload says about it; None means what the table says.
        phase: How far the call gets first; None means what fits `delivered`: `no` before, `maybe` during, `yes` after.
        retry_after: Seconds after which the server says that trying again makes sense.
        evidence: Whether it counts against the server; None means what the table says.
        status: The HTTP status that the payload's cause tells.
        **chance: Whom it strikes and how often; see `Chance`.

    Raises:
        TypeError: `retry_after`, `evidence` or `status` are of the wrong type.
        ValueError: the code, the phase or `delivered` are unknown, phase and `delivered` contradict each other, or
            `retry_after` is negative.
    """

    simulates = "any failure of the error table"
    outcome = "the code's own row: its type, whether it is tried again, whether it counts against the server"

    def __init__(
        self,
        code: str,
        *,
        delivered: Delivered | None = None,
        phase: Phase | None = None,
        retry_after: float | None = None,
        evidence: bool | None = None,
        status: int | None = None,
        **chance: Unpack[Chance],
    ) -> None:
        super().__init__(**chance)
        if code not in tuple(CODES):
            raise ValueError(f"unknown error code {code!r}; known: {', '.join(CODES)}")
        if delivered not in (None, *_PHASE_OF):
            raise ValueError(f"delivered must be one of {', '.join(_PHASE_OF)}, got {delivered!r}")
        if retry_after is not None:
            check_seconds("retry_after", retry_after)
        if not isinstance(evidence, bool | None):
            raise TypeError(f"evidence must be true or false, got {evidence!r}")
        if status is not None and (isinstance(status, bool) or not isinstance(status, int)):
            raise TypeError(f"status must be a whole number, got {status!r}")
        self.code = code
        self.delivered: Delivered = CODES[code].delivered if delivered is None else delivered
        self.phase: Phase = check_phase(_PHASE_OF[self.delivered] if phase is None else phase)
        self.retry_after = retry_after
        self.evidence = evidence
        self.status = status
        # A lie here would make a caller repeat what has been done, and no rule could be tested with it.
        if (self.phase, self.delivered) in (("after", "no"), ("before", "yes")):
            raise ValueError(f"a fault that strikes {self.phase} the call cannot say delivered={self.delivered!r}")

    async def strike(self, call: Call[R], call_next: CallNext[R]) -> R:
        """Let the call get as far as the phase says, and fail it.

        Raises:
            RouterError: the fault's own.
        """
        await reach(self.phase, call, call_next)
        raise self.error(call)

    def error(self, call: Call[Any]) -> RouterError:
        """Return the error that a call ends in."""
        server = call.server or "?"
        try:
            message = message_for(self.code, server, exception=type(self).__name__, retry_after=self.retry_after)
        except KeyError:  # a code of ours alone, which no server causes
            message = f"the call to server {server!r} was failed on purpose, as {self.code}."
        return error_for(
            self.code,
            message,
            evidence=self.evidence,
            server=call.server,
            tool=call.name or None,
            delivered=self.delivered,
            retry_after=self.retry_after,
            cause=Cause(exception=f"recloser.testing.chaos.{type(self).__name__}", http_status=self.status),
        )


class Disconnect(Fault):
    """A connection that ends under a call.

    Simulates a reset, a proxy that drops idle connections, or a server that dies: `before` the request was written,
    `during` (it went out, the server did nothing), or `after` the server had done it. By the rules: `connection_lost`,
    evidence against the server; not delivered only if nothing was written, so that a call that is not safe to repeat is
    tried again in that case alone.
    """

    simulates = "a connection that is lost before or after the request went out"
    outcome = "`connection_lost`, evidence; delivered `no` before, else `maybe`: then only safe calls are tried again"

    def __init__(self, *, phase: Phase = "during", **chance: Unpack[Chance]) -> None:
        super().__init__("connection_lost", delivered="no" if phase == "before" else "maybe", phase=phase, **chance)


class AuthFailure(Fault):
    """A call whose credentials are not accepted.

    Simulates an expired token (401) or a right that is missing (403). By the rules: `unauthenticated` or `forbidden`,
    never tried again, no evidence against the server, not delivered.

    Raises:
        ValueError: the status is neither 401 nor 403.
    """

    simulates = "credentials that have expired (401) or do not allow this (403)"
    outcome = "`unauthenticated` or `forbidden`: not tried again, no evidence, not delivered"

    def __init__(self, status: Literal[401, 403] = 401, **chance: Unpack[Chance]) -> None:
        if status not in (401, 403):
            raise ValueError(f"status must be 401 or 403, got {status!r}")
        super().__init__("unauthenticated" if status == 401 else "forbidden", status=status, **chance)


class RateLimited(Fault):
    """A call that is turned away because there are too many.

    Simulates a 429 with `Retry-After` (seconds; None for one without). By the rules: `overloaded`, tried again whatever
    the tool does since it was not delivered, never earlier than asked for and never past the deadline; no evidence.
    """

    simulates = "a server's rate limit: 429 with Retry-After"
    outcome = "`overloaded` with `retry_after`: tried again when asked for, no evidence, not delivered"

    def __init__(self, retry_after: float | None = 1.0, **chance: Unpack[Chance]) -> None:
        super().__init__("overloaded", retry_after=retry_after, status=429, **chance)


class Garbage(Fault):
    """A call that the server acts on, and whose answer is of no use.

    Simulates, by `kind`: an answer that is no JSON-RPC or of the wrong `shape` (`protocol_violation`, `maybe`
    delivered, evidence), one that does not fit the tool's output `schema` (`invalid_result`, delivered, no evidence),
    or `nonsense`: a tool's answer that is well formed and says random characters. Nobody but its reader can know that
    it is wrong; it is passed through.

    Raises:
        ValueError: there is no such kind.
    """

    simulates = "an answer that is not JSON-RPC, has the wrong shape, does not fit its schema, or makes no sense"
    outcome = "`protocol_violation` (evidence) or `invalid_result`, not tried again; nonsense passes as an answer"

    def __init__(self, kind: Literal["shape", "schema", "nonsense"] = "shape", **chance: Unpack[Chance]) -> None:
        if kind not in ("shape", "schema", "nonsense"):
            raise ValueError(f"kind must be shape, schema or nonsense, got {kind!r}")
        super().__init__("invalid_result" if kind == "schema" else "protocol_violation", phase="after", **chance)
        self.kind: Literal["shape", "schema", "nonsense"] = kind

    async def strike(self, call: Call[R], call_next: CallNext[R]) -> R:
        """Make the call and spoil its answer.

        Raises:
            RouterError: what an answer of this kind is.
        """
        if self.kind != "nonsense":
            return await super().strike(call, call_next)
        result = await call_next(call)
        if isinstance(result, types.CallToolResult):
            text = "".join(self._numbers.choices(_LETTERS, k=self._numbers.randint(1, 200)))
            content = [types.TextContent(type="text", text=text)]
            return result.model_copy(update={"content": content, "structured_content": None})
        return result
