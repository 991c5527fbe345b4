"""Makes the record of a call that has ended and hands it to whoever keeps it."""

from __future__ import annotations

import logging
import secrets
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from recloser.apart import apart
from recloser.audit.burst import Burst
from recloser.audit.log import AuditLog
from recloser.audit.measure import Keyed, arguments_of, result_of
from recloser.audit.record import AuditedArguments, AuditPolicy, AuditRecord, Unmade
from recloser.call import Call
from recloser.events import AttemptFinished, CallFinished
from recloser.redact import Redactor

__all__ = ["Auditor"]

SHORTEST_KEY: Final = 16
"""Bytes that a key of the hashes has at least: a shorter one can be found by trying."""

_log = logging.getLogger("recloser")


class Auditor:
    """Tells a sink of every call. What goes wrong here is logged, once a burst, and never fails or delays a call.

    Written by its own methods, on the loop.

    Raises:
        ValueError: the key has less than `SHORTEST_KEY` bytes.
    """

    def __init__(
        self,
        sink: Callable[[AuditRecord], None],
        *,
        key: bytes | None = None,
        redactor: Callable[[], Redactor] | None = None,
    ) -> None:
        """Take what keeps the records.

        Args:
            sink: called on the loop with each record, so it must be quick.
            key: of the hashes; those of two processes can be compared where both have the same. None means a random
                one of this object's own.
            redactor: returns what redacts names; asked each time, since a reload brings new secrets. None means one
                that knows no secret by its value.
        """
        if key is not None and len(key) < SHORTEST_KEY:
            raise ValueError(f"the audit's key must have at least {SHORTEST_KEY} bytes, got {len(key)}")
        self._sink = sink
        self._keyed = Keyed(secrets.token_bytes(32) if key is None else key)
        plain = Redactor()
        self._redactor: Callable[[], Redactor] = redactor or (lambda: plain)
        self._burst = Burst()

    def __call__(
        self,
        finished: CallFinished,
        call: Call[Any],
        result: Any,
        began: datetime,
        tries: Sequence[AttemptFinished],
    ) -> None:
        """Make the record of a call and hand it on.

        Args:
            finished: how the call ended.
            call: the call, with the parameters that were sent, or as it was given where nothing could be.
            result: what came back; None where nothing did.
            began: when the call came, in UTC.
            tries: its attempts, in the order of their ends.
        """
        under_way = sys.exception()
        try:
            self._keep(finished, call, result, began, tuple(tries))
        except Exception as error:  # noqa: BLE001 - boundary: a sink is foreign code, and an audit must not fail a call
            if self._burst.failed():
                shown = apart(error, under_way)
                _log.error("the audit failed; this is said once, until it works again", exc_info=shown)
        else:
            if failures := self._burst.worked():
                _log.error("the audit works again; %d records were lost", failures)

    def _keep(
        self, done: CallFinished, call: Call[Any], result: Any, began: datetime, tries: tuple[AttemptFinished, ...]
    ) -> None:
        # Measured now, since it is the caller's, who may change it; the parameters that were sent are our own copy.
        held = None if result is None else result_of(result)
        sent = None if done.attempts else self._arguments(done, call)
        shown = self._redactor().name

        def make() -> AuditRecord:
            return AuditRecord(
                call_id=done.call_id,
                method=done.method,
                started=began,
                duration=done.duration,
                caller=None if done.caller is None else shown(done.caller),
                caller_id=None if done.caller is None else self._keyed(done.caller.encode("utf-8", "surrogatepass")),
                server=done.server,
                tool=shown(done.name or done.key),
                known=done.known,
                outcome=done.outcome,
                code=done.code,
                error_class=done.type,
                attempts=tries,
                retries=done.retries,
                delay=done.delay,
                circuit_before=done.circuit_before,
                circuit_after=done.circuit_after,
                protocol_version=tries[-1].protocol_version if tries else None,
                trace_id=done.trace_id,
                span_id=done.span_id,
                policy=AuditPolicy(timeout=call.timeout, safe=call.safe),
                arguments=sent or self._arguments(done, call),
                result=held,
            )

        if isinstance(self._sink, AuditLog):
            self._sink(Unmade(began, make))
        else:
            self._sink(make())

    def _arguments(self, done: CallFinished, call: Call[Any]) -> AuditedArguments:
        return arguments_of(call.params, self._keyed, checked=_was_checked(done))


def _was_checked(done: CallFinished) -> bool:
    """Return whether the arguments are known to be JSON of limited size: a call may be refused before that."""
    return done.attempts > 0 or done.outcome != "error" or done.type == "transient"
