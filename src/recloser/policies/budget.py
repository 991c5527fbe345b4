"""How much retrying a server is worth: a bucket of tokens that failures empty and successes fill."""

from __future__ import annotations

from recloser.options import Retry

__all__ = ["RetryBudget"]


class RetryBudget:
    """The retry budget of one server, shared by all its calls; begins full.

    In an outage it is soon empty and every call is made once; it fills again only by calls that succeed.
    """

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        # Changed by the three methods below alone, from the event loop's thread.
        self._tokens = retry.budget

    @property
    def tokens(self) -> int:
        """How many tokens are left."""
        return self._tokens

    def take(self, *, throttled: bool) -> int | None:
        """Take what one retry costs and return it, or return None if there is not enough.

        Args:
            throttled: whether the server said that it is overloaded; it still answers, so a retry costs less.
        """
        cost = self._retry.throttled_cost if throttled else self._retry.cost
        if cost > self._tokens:
            return None
        self._tokens -= cost
        return cost

    def give_back(self, cost: int) -> None:
        """Return what a call's last retry cost: the call has succeeded after all, or that retry was not let through."""
        self._tokens = min(self._retry.budget, self._tokens + cost)

    def reward(self) -> None:
        """Add what a call earns that succeeded at once."""
        self._tokens = min(self._retry.budget, self._tokens + self._retry.refill)
