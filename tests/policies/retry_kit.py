"""What the tests of retries share: one call, what became of it, and what it took."""

from policy_kit import Peer, make_call, now

from recloser.errors import RouterError
from recloser.events import RetryScheduled, RetrySuppressed
from recloser.options import Retry
from recloser.policies.budget import RetryBudget
from recloser.policies.retry import Retrying
from recloser.testing.clock import run_virtual


class Outcome:
    """What became of one call, and what it took."""

    def __init__(self, peer, retry, rng, facts):
        self.events = []
        self.budget = RetryBudget(retry)
        self.peer = peer
        self.call = make_call(**facts)
        self.policy = Retrying(retry, self.budget, rng=rng, emit=self.events.append, server="search")

    async def __call__(self):
        self.result = self.error = None
        try:
            self.result = await self.policy(self.call, self.peer)
        except RouterError as error:
            self.error = error
        self.at = now()
        return self

    @property
    def reasons(self):
        return [event.reason for event in self.events if isinstance(event, RetrySuppressed)]

    @property
    def delays(self):
        return [event.delay for event in self.events if isinstance(event, RetryScheduled)]


def make(*steps, retry=Retry(), rng=lambda: 0.5, **facts):  # noqa: B008 - frozen
    facts.setdefault("safe", True)
    return run_virtual(Outcome(Peer(*steps), retry, rng, facts))
