"""What is told of every call is whole, however cheaply it was made."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from recloser import Router
from recloser.events import AttemptFinished, CallFinished, Event
from recloser.testing.clock import run_virtual
from support.peers import Peer


def heard(name: str) -> list[Event]:
    events: list[Event] = []

    async def main() -> None:
        async with Router(Peer().server(), listeners=[events.append]) as router:
            await router.ready("peer")
            await router.call_tool(name)

    run_virtual(main())
    return events


@pytest.mark.parametrize(
    ("kind", "name"), [(AttemptFinished, "peer__echo"), (CallFinished, "peer__echo"), (CallFinished, "peer__none")]
)
def test_an_event_of_a_call_is_a_record_like_one_made_in_the_usual_way(kind: Any, name: str) -> None:
    event: Any = next(event for event in heard(name) if isinstance(event, kind))
    usual = replace(event)
    assert vars(event).keys() == vars(usual).keys() == {field.name for field in fields(kind)}
    assert event == usual
    assert hash(event) == hash(usual)
    assert repr(event) == repr(usual)
    with pytest.raises(FrozenInstanceError):
        event.name = "another"
