"""The vocabulary: calls are frozen, deadlines stand still."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from recloser.call import Call, Deadline, new_call_id


def test_replacing_makes_another_call_and_leaves_the_first_one() -> None:
    call = Call.tool("a__b", {"x": 1}, timeout=2.0)
    other = call.replace(attempt=2)

    assert (call.attempt, other.attempt) == (1, 2)
    assert (other.params, other.trail is call.trail) == (call.params, True)


def test_replacing_a_field_that_there_is_not_is_a_mistake_with_its_name() -> None:
    with pytest.raises(TypeError, match="'atempt', 'servr'"):
        Call.tool("a").replace(servr="s", atempt=2)


def test_a_call_is_frozen_also_a_replaced_one() -> None:
    with pytest.raises(FrozenInstanceError):
        Call.tool("a").replace(attempt=2).attempt = 3  # type: ignore[misc]


def test_every_call_has_an_identifier_and_a_trail_of_its_own() -> None:
    first, second = Call.tool("a"), Call.tool("a")

    assert first.call_id != second.call_id != new_call_id()
    assert first.trail is not second.trail


def test_the_arguments_of_a_call_are_its_own() -> None:
    given = {"x": 1}
    call = Call.tool("a", given)
    given["x"] = 2

    assert call.params["arguments"] == {"x": 1}


@pytest.mark.parametrize("given", [[("x", 1)], [], "x", 0])
def test_arguments_of_a_call_that_are_no_mapping_are_a_mistake(given: Any) -> None:
    with pytest.raises(TypeError, match="arguments must be a mapping of names to JSON values"):
        Call.tool("a", given)


def test_a_paused_deadline_stands_still_and_moves_by_as_long_as_it_did() -> None:
    deadline = Deadline(10.0)
    deadline.pause(4.0)
    deadline.pause(5.0)

    assert (deadline.paused, deadline.remaining(8.0)) == (True, 6.0)
    deadline.resume(6.0)
    assert (deadline.paused, deadline.remaining(8.0)) == (True, 6.0)
    deadline.resume(9.0)
    assert (deadline.paused, deadline.at, deadline.remaining(9.0)) == (False, 15.0, 6.0)
    assert "15.0" in repr(deadline)


def test_whoever_watches_a_deadline_hears_of_each_move_until_he_stops() -> None:
    deadline, moves = Deadline(1.0), []

    def heard() -> None:
        moves.append(deadline.at)

    deadline.watch(heard)
    deadline.move(2.0)
    deadline.pause(0.0)
    deadline.resume(1.0)
    deadline.unwatch(heard)
    deadline.unwatch(heard)
    deadline.move(9.0)

    assert moves == [2.0, 3.0]
