"""One deadline for the whole call."""

import pytest
from policy_kit import answers, failure, make_call, now

from recloser.call import Deadline
from recloser.errors import TransientError
from recloser.options import Timeouts
from recloser.policies.deadline import TotalDeadline
from recloser.testing.clock import run_virtual


async def give_back(call):
    return call


def seen_deadline(*, at=0.0, timeouts=Timeouts(total=60), **facts):  # noqa: B008 - frozen
    async def main():
        import asyncio

        asyncio.get_running_loop().advance(at)
        call = await TotalDeadline(timeouts)(make_call(**facts), give_back)
        return call.deadline

    return run_virtual(main)


def test_without_a_wish_the_configured_total_counts_from_now():
    assert seen_deadline(at=5.0).at == 65.0


def test_a_callers_timeout_counts_instead():
    assert seen_deadline(timeout=2.5).at == 2.5


def test_a_callers_timeout_never_exceeds_the_ceiling():
    assert seen_deadline(timeout=1000).at == 60.0
    assert seen_deadline(timeout=1000, timeouts=Timeouts(total=60, ceiling=90)).at == 90.0


def test_an_earlier_deadline_stays_the_very_same_object():
    earlier = Deadline(10.0)

    assert seen_deadline(deadline=earlier) is earlier


def test_a_deadline_at_the_same_moment_stays_too():
    same = Deadline(60.0)

    assert seen_deadline(deadline=same) is same


def test_a_later_deadline_gives_way():
    later = Deadline(1000.0)

    made = seen_deadline(deadline=later)

    assert made is not later
    assert made.at == 60.0
    assert later.at == 1000.0


def test_a_deadline_that_stands_still_is_measured_by_what_is_left_of_it():
    standing = Deadline(10.0)
    standing.pause(4.0)

    assert seen_deadline(at=500.0, deadline=standing) is standing


@pytest.mark.parametrize(
    "facts", [{"timeout": 0}, {"timeout": -1}, {"timeout": float("nan")}, {"deadline": Deadline(0)}]
)
def test_a_call_without_time_is_refused_before_anything_starts(facts):
    async def main():
        started = []

        async def call_next(call):
            started.append(call)

        with pytest.raises(TransientError) as caught:
            await TotalDeadline(Timeouts())(make_call(**facts), call_next)
        return started, caught.value

    started, error = run_virtual(main)

    assert started == []
    assert error.payload.code == "timeout"
    assert error.payload.delivered == "no"
    assert error.payload.server == "search"
    assert error.payload.tool == "web"
    assert error.payload.message == "there was no time left to call 'search__web'; nothing was sent"
    assert error.evidence is False


def test_a_call_without_a_name_names_no_tool():
    async def main():
        call = make_call(timeout=0).replace(name="")
        with pytest.raises(TransientError) as caught:
            await TotalDeadline(Timeouts())(call, answers())
        return caught.value.payload.tool

    assert run_virtual(main) is None


def test_it_does_not_end_a_call_by_itself():
    async def main():
        with pytest.raises(TransientError, match="it was overloaded"):
            await TotalDeadline(Timeouts())(make_call(timeout=1), late)
        return now()

    async def late(call):
        await answers(after=5)(call)
        raise failure("overloaded")

    assert run_virtual(main) == 5.0
