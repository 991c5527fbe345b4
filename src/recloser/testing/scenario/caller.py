"""One call of a load, as its caller sees it, from its beginning to a sample of it."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any, Final

from recloser.testing.scenario.load import arguments_for
from recloser.testing.scenario.observed import Sample
from recloser.testing.scenario.planted import Planted
from recloser.testing.scenario.recorder import Recorder
from recloser.testing.scenario.records import CallSpec, Load, Scenario
from recloser.testing.scenario.targets import Order, Target, Told

__all__ = ["Caller"]

HUNG: Final = 1.0
"""Seconds beyond its limit after which a call that has not ended when everything is over counts as hung."""


class Caller:
    """Makes the calls of one run and writes down what became of them."""

    def __init__(
        self, target: Target, recorder: Recorder, *, scenario: Scenario, seed: int, planted: Planted | None
    ) -> None:
        self._target = target
        self._recorder = recorder
        self._own = scenario.fleet == "config"
        # While a server waits for our side, its call's clock stands still.
        self._patience = (scenario.callback or 0.0) + HUNG
        self._seed = seed
        self._planted = planted
        self._marker = "call-" if planted is None else f"{planted.content}-"
        self._numbers = itertools.count(1)

    async def call(self, load: Load, spec: CallSpec) -> None:
        """Make one call; returns when it has ended, in whatever way. One that is cut off in time leaves no sample."""
        recorder, number = self._recorder, next(self._numbers)
        label, caller = f"{self._marker}{number}", f"chaos-{number}"
        # What is special about the tools of the built-in fleet is so there alone.
        tool, arguments = (spec.tool, spec.arguments) if self._own else arguments_for(spec, load, label)
        if not self._own and isinstance(text := arguments.get("text"), str):
            label = text  # what its server writes down
        recorder.labels[caller] = label
        order = Order(
            server=spec.server,
            tool=tool,
            arguments=arguments,
            timeout=load.timeout,
            caller=caller,
            # Of the built-in fleet's tools their servers say it themselves.
            safe=True if spec.safe and (self._own or spec in load.calls) else None,
        )
        facts: dict[str, Any] = {
            "number": number,
            "load": load.name,
            "server": spec.server,
            "tool": spec.tool,
            "label": label,
            "safe": spec.safe,
            "timeout": load.timeout,
            "began": recorder.now,
        }
        try:
            if self._gives_up(load, number):
                told, facts["cancel_at"] = await self._given_up(order, load.cancel_after)
            else:
                told = await self._target.call(order)
            facts |= self._told(told, spec.server)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                # Nobody has cancelled it: a client that does is a finding.
                self._keep(caller, facts | {"outcome": "cancelled"})
            elif recorder.now > facts["began"] + load.timeout + self._patience:
                # Everything was over. What would have become of one that had time left, nobody knows.
                self._keep(caller, facts | {"outcome": "hung"})
            raise
        except Exception as error:  # noqa: BLE001 - boundary: a client that raises what it never may is a finding
            facts |= self._told(Told(good=False, code=type(error).__name__, message=str(error)), spec.server)
        self._keep(caller, facts)

    def _keep(self, caller: str, facts: dict[str, Any]) -> None:
        finished = self._recorder.finished(caller)
        attempts = 1 if finished is None else finished.attempts
        self._recorder.samples.append(Sample(ended=self._recorder.now, attempts=attempts, **facts))

    def _gives_up(self, load: Load, number: int) -> bool:
        # By the call's own number, so that what one call meets does not change what others do.
        numbers = random.Random(f"{self._seed}:{load.name}:{number}")  # noqa: S311 - a run must be repeatable
        return numbers.random() < load.cancel

    async def _given_up(self, order: Order, after: float) -> tuple[Told | None, float | None]:
        """Make a call and give it up after a while, if it has not ended by then."""
        task = asyncio.get_running_loop().create_task(self._target.call(order))
        try:
            done, _ = await asyncio.wait({task}, timeout=after)
            if done:
                return task.result(), None
            at = self._recorder.now
            task.cancel()
            await asyncio.wait({task})
            return (None if task.cancelled() else task.result()), at
        except asyncio.CancelledError:
            task.cancel()
            raise

    def _told(self, told: Told | None, server: str) -> dict[str, Any]:
        if told is None:
            return {"outcome": "cancelled"}
        if self._planted is not None:
            self._planted.look(f"an error of {server}", f"{told.message} {told.payload!r}")
        return {
            "outcome": "answered" if told.good else "failed",
            "code": told.code,
            "kind": told.kind,
            "delivered": told.delivered,
            "named": told.named,
            "retry_after": told.retry_after,
            "message": told.message,
        }
