"""Policies around a sender, made into one callable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recloser.call import Call, CallNext, Policy

__all__ = ["compose"]


def compose(policies: Sequence[Policy], send: CallNext[Any]) -> CallNext[Any]:
    """Return `send` with `policies` around it, the first one outermost.

    What is composed stays as it is: changing the sequence later changes nothing.
    """
    chain = send
    for policy in reversed(policies):
        chain = _link(policy, chain)
    return chain


def _link(policy: Policy, rest: CallNext[Any]) -> CallNext[Any]:
    # A plain function that hands on the policy's coroutine: one coroutine fewer for every policy of every call.
    def link(call: Call[Any], /) -> Any:
        return policy(call, rest)

    return link
