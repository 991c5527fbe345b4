"""What is written down while a scenario runs, by whoever sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from recloser.events import AttemptFinished, CallFinished, CircuitChanged, CircuitState, ConnectionChanged, Event
from recloser.testing.scenario.observed import (
    Attempt,
    CircuitMark,
    ConnectionMark,
    Lag,
    Listing,
    Sample,
    Struck,
)

__all__ = ["Recorder"]


class Recorder:
    """Takes notes of one run. Written by the callers, the timeline, the watchers and the router's events, on one loop.

    Times are given as moments of the event loop and kept as seconds since `begin`.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._zero = clock()
        self._pending: dict[str, list[tuple[AttemptFinished, float]]] = {}
        self._finished: dict[str, CallFinished] = {}
        self.labels: dict[str, str] = {}
        """By caller: the label of its call; every call has a caller of its own."""
        self.samples: list[Sample] = []
        self.attempts: list[Attempt] = []
        self.circuits: list[CircuitMark] = []
        self.connections: list[ConnectionMark] = []
        self.listings: list[Listing] = []
        self.lags: list[Lag] = []
        self.struck: list[Struck] = []
        self.notes: dict[str, None] = {}
        self.events: list[Event] | None = None
        """Every event, where somebody looks for secrets in them."""

    def begin(self) -> None:
        """Let time count from now; what was seen before has a negative time."""
        moved = self._clock() - self._zero
        self._zero += moved
        self.circuits = [_moved(mark, moved) for mark in self.circuits]
        self.connections = [_moved(mark, moved) for mark in self.connections]
        self.struck = [_moved(mark, moved, "began") for mark in self.struck]

    @property
    def now(self) -> float:
        """Seconds since the load began."""
        return self._clock() - self._zero

    def since(self, moment: float) -> float:
        """Return a moment of the event loop as seconds since the load began."""
        return moment - self._zero

    def note(self, text: str) -> None:
        """Note what a reader must know, once."""
        self.notes[text] = None

    def states(self) -> dict[str, CircuitState]:
        """Return the state of each circuit that has changed."""
        return {mark.server: mark.state for mark in self.circuits}

    def finished(self, caller: str) -> CallFinished | None:
        """Return, once, how a caller's call ended as its router told it."""
        return self._finished.pop(caller, None)

    def hear(self, event: Event) -> None:
        """Take note of an event; a listener of the router."""
        if self.events is not None:
            self.events.append(event)
        match event:
            case AttemptFinished():
                self._pending.setdefault(event.call_id, []).append((event, self.now))
            case CallFinished():
                self._call_finished(event)
            case CircuitChanged():
                self.circuits.append(
                    CircuitMark(
                        at=self.now,
                        server=event.server,
                        previous=event.previous,
                        state=event.state,
                        reason=event.reason,
                    )
                )
            case ConnectionChanged():
                self.connections.append(
                    ConnectionMark(
                        at=self.now,
                        server=event.server,
                        state=event.state,
                        generation=event.generation,
                        code=event.code,
                        version=event.protocol_version,
                    )
                )
            case _:
                pass

    def _call_finished(self, event: CallFinished) -> None:
        label = self.labels.get(event.caller or "", "")
        if label and event.caller is not None:
            self._finished[event.caller] = event
        self._keep(event.call_id, label)

    def _keep(self, call_id: str, label: str) -> None:
        for attempt, ended in self._pending.pop(call_id, ()):
            self.attempts.append(
                Attempt(
                    server=attempt.server,
                    label=label,
                    number=attempt.attempt,
                    began=ended - attempt.duration,
                    ended=ended,
                    code=attempt.code,
                    is_error=attempt.is_error,
                    delivered=attempt.delivered,
                    retry_after=attempt.retry_after,
                )
            )

    def close(self) -> None:
        """Keep also the attempts of calls that have not ended."""
        for call_id in list(self._pending):
            self._keep(call_id, "")


def _moved(mark: Any, seconds: float, name: str = "at") -> Any:
    return replace(mark, **{name: getattr(mark, name) - seconds})
