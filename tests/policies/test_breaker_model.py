"""The circuit against an independent model of its rules, through random histories of many calls."""

import asyncio
import itertools
from types import SimpleNamespace

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from policy_kit import ENDPOINT, SERVER, failure, make_call

from recloser.errors import CircuitOpen, RouterError
from recloser.options import Breaker
from recloser.policies.breaker import CircuitBreaker
from recloser.testing.clock import VirtualLoop

OPTIONS = Breaker(
    window=30, buckets=10, rate=0.5, volume=4, consecutive=3, open_for=5, open_cap=20, probes=2, successes=2
)
LEASE = 12.0
LEGAL = {
    ("closed", "open"),
    ("open", "half_open"),
    ("half_open", "open"),
    ("half_open", "closed"),
    ("closed", "isolated"),
    ("open", "isolated"),
    ("half_open", "isolated"),
    ("isolated", "closed"),
    ("open", "closed"),
}


def shares():
    return itertools.cycle([0.0, 0.25, 0.5, 1.0]).__next__


class Model:
    """The rules once more, written for clarity: it keeps every sample and counts anew each time."""

    def __init__(self):
        self.state, self.era, self.events = "closed", 0, []
        self.samples, self.row = {}, 0
        self.open_until, self.breaks, self.share = 0.0, 0, shares()
        self.probes, self.probes_won = [], 0

    def change(self, state, reason, now):
        self.events.append((self.state, state, reason))
        self.state, self.era = state, self.era + 1
        self.samples, self.row, self.probes, self.probes_won = {}, 0, [], 0
        if state == "open":
            full = min(5 * 2**self.breaks, 20)
            self.open_until = now + full * (0.5 + self.share() / 2)
            self.breaks += 1
        if state == "closed":
            self.breaks = 0

    def living(self, now):
        return [sample for sample in self.samples.values() if int(sample.at / 3) > int(now / 3) - 10]

    def admits(self, now):
        if self.state == "half_open":
            return sum(probe.until > now for probe in self.probes) < 2
        return self.state == "closed" or (self.state == "open" and now >= self.open_until)

    def begin(self, now):
        if not self.admits(now):
            return None
        if self.state == "closed":
            return SimpleNamespace(era=self.era, probe=None)
        if self.state == "open":
            self.change("half_open", "break_over", now)
        self.probes = [probe for probe in self.probes if probe.until > now]
        self.probes.append(SimpleNamespace(until=now + LEASE))
        return SimpleNamespace(era=self.era, probe=self.probes[-1])

    def end(self, permit, call_id, outcome, now):
        if permit.era != self.era:
            return
        if permit.probe is not None:
            if permit.probe in self.probes:
                self.probes.remove(permit.probe)
                self.end_probe(outcome, now)
        elif outcome == "success":
            self.succeed(call_id, now)
        elif outcome == "failure" and call_id not in self.samples:
            self.samples[call_id] = SimpleNamespace(at=now, failed=True)
            self.row += 1
            living = self.living(now)
            failed = sum(sample.failed for sample in living)
            if self.row >= 3 or (len(living) >= 4 and 2 * failed >= len(living)):
                self.change("open", "failures", now)

    def succeed(self, call_id, now):
        sample = self.samples.get(call_id)
        if sample is not None and not sample.failed:
            return
        self.row = 0
        if sample in self.living(now):
            sample.failed = False
        else:
            self.samples[call_id] = SimpleNamespace(at=now, failed=False)

    def end_probe(self, outcome, now):
        if outcome == "failure":
            self.change("open", "probe_failed", now)
        elif outcome == "success":
            self.probes_won += 1
            if self.probes_won >= 2:
                self.change("closed", "probe_succeeded", now)


OUTCOMES = st.sampled_from(["success", "failure", "failure", "ignored", "cancelled", "bug"])


class CircuitHistory(RuleBasedStateMachine):
    calls = Bundle("calls")
    running = Bundle("running")

    def __init__(self):
        super().__init__()
        self.loop = VirtualLoop()
        self.model = Model()
        self.events = []
        self.circuit = self.on_loop(self.make)

    def make(self):
        return CircuitBreaker(
            OPTIONS, server=SERVER, endpoint=ENDPOINT, rng=shares(), emit=self.events.append, lease=LEASE
        )

    def on_loop(self, function, *args):
        async def main():
            return function(*args)

        return self.loop.run_until_complete(main())

    def settle(self):
        async def main():
            for _ in range(5):
                await asyncio.sleep(0)

        self.loop.run_until_complete(main())

    def teardown(self):
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.settle()
        self.loop.close()

    @rule(seconds=st.one_of(st.floats(0, 40), st.sampled_from([0.1, 1.0, 3.0, 5.0, 12.0, 27.0, 30.0])))
    def time_passes(self, seconds):
        self.loop.advance(seconds)

    @rule(target=calls)
    def new_call(self):
        return make_call()

    @rule(target=running, call=calls)
    def begin_attempt(self, call):
        return self.begin(call)

    @rule(target=running)
    def begin_call(self):
        return self.begin(make_call())

    def begin(self, call):
        permit = self.model.begin(self.loop.time())
        end = self.loop.create_future()

        async def step(call):
            return await end

        async def attempt():
            try:
                return await self.circuit(call, step)
            except (RouterError, LookupError) as error:
                return error

        task = self.loop.create_task(attempt())
        self.settle()
        if permit is None:
            assert isinstance(task.result(), CircuitOpen)
            assert task.result().payload.retry_after is None or task.result().payload.retry_after > -1e-9
        else:
            assert not task.done()
        return SimpleNamespace(call=call, permit=permit, end=end, task=task)

    @rule(attempt=consumes(running), outcome=OUTCOMES)
    def end_attempt(self, attempt, outcome):
        self.end(attempt, outcome)

    @rule(
        attempts=st.lists(consumes(running), min_size=2, max_size=6, unique_by=id),
        outcome=st.sampled_from(["success", "failure"]),
    )
    def end_many(self, attempts, outcome):
        for attempt in attempts:
            self.end(attempt, outcome)

    def end(self, attempt, outcome):
        if attempt.permit is None:
            return
        self.model.end(attempt.permit, attempt.call.call_id, outcome, self.loop.time())
        if outcome == "success":
            attempt.end.set_result("yes")
        elif outcome == "cancelled":
            attempt.task.cancel()
        else:
            errors = {"failure": failure("server_error"), "ignored": failure("overloaded"), "bug": LookupError()}
            attempt.end.set_exception(errors[outcome])
        self.settle()
        assert attempt.task.done()
        assert attempt.task.cancelled() is (outcome == "cancelled")

    @rule(attempt=consumes(running))
    def lose_attempt(self, attempt):
        pass

    @rule(rounds=st.integers(1, 4))
    def outage(self, rounds):
        for _ in range(rounds):
            self.loop.advance(max(0.0, self.model.open_until - self.loop.time()) + 0.01)
            for _ in range(4):
                self.end(self.begin(make_call()), "failure")

    @rule()
    def recovery(self):
        self.loop.advance(max(0.0, self.model.open_until - self.loop.time()) + 0.01)
        for _ in range(3):
            self.end(self.begin(make_call()), "success")

    @rule()
    def reconnect(self):
        if self.model.state == "open":
            self.model.change("half_open", "reconnected", self.loop.time())
        self.on_loop(self.circuit.half_open)

    @rule(close=st.booleans())
    def operator(self, close):
        wanted = "closed" if close else "isolated"
        if self.model.state != wanted:
            self.model.change(wanted, "operator", self.loop.time())
            self.on_loop(self.circuit.close if close else self.circuit.isolate)

    @invariant()
    def it_is_what_the_rules_say(self):
        now = self.loop.time()
        snapshot = self.on_loop(self.circuit.snapshot)
        living = self.model.living(now)
        assert snapshot.state == self.model.state == self.circuit.state
        assert self.circuit.would_admit(now) is self.model.admits(now)
        assert (snapshot.samples, snapshot.failures) == (len(living), sum(sample.failed for sample in living))
        assert snapshot.consecutive == self.model.row
        if self.model.state == "open":
            assert snapshot.retry_after == max(0.0, self.model.open_until - now)
            assert snapshot.retry_after <= OPTIONS.open_cap + 1e-6

    @invariant()
    def every_change_is_legal_and_told_once_in_order(self):
        told = [(event.previous, event.state, event.reason) for event in self.events]
        assert told == self.model.events
        assert {(previous, state) for previous, state, _ in told} <= LEGAL
        assert all(before[1] == after[0] for before, after in itertools.pairwise(told))


TestCircuitHistory = CircuitHistory.TestCase
TestCircuitHistory.settings = settings(
    max_examples=120, stateful_step_count=50, suppress_health_check=list(HealthCheck)
)
