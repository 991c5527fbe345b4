"""What the tests of attempts share: their times, and one attempt under them."""

from policy_kit import make_call, now

from recloser.errors import TransientError
from recloser.options import Timeouts
from recloser.policies.attempt import AttemptTimeout

TIMEOUTS = Timeouts(total=60, attempt=30)


async def attempt(step, *, policy=None, **facts):
    """Make one attempt; return its result or error, and when it ended."""
    policy = policy or AttemptTimeout(TIMEOUTS)
    try:
        result = await policy(make_call(**facts), step)
    except TransientError as error:
        result = error
    return result, now()
