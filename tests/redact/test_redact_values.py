"""Records and other values: redacted in all their depth, within a limit, whatever they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from recloser.redact import MASK, Redactor, redact
from recloser.redact.redactor import LENGTH, RECORD


@dataclass
class Record:
    name: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)


def test_a_log_record_is_redacted_in_all_its_depth() -> None:
    record = {
        "event": "token=zzz",
        "Authorization": "Bearer zzz",
        "empty": {"password": "", "token": None, "secret": False, "jwt": b"zzz", "credentials": {"deep": "zzz"}},
        "headers": [("Cookie", "zzz"), ("Accept", "*/*"), (b"x-api-key", b"zzz"), {"name": "Cookie", "value": "zzz"}],
        "command": ["run", "--token", "zzz", "--port", "1"],
        "record": Record("r", {"a": "zzz"}),
        "error": ValueError("password=zzz"),
        "bytes": b"secret=zzz",
        b"number": 1,
        3: 1.5,
        "set": {"token=zzz"},
        "type": Record,
        "enabled": True,
    }
    redacted = Redactor().mapping(record)
    assert "zzz" not in json.dumps(redacted)
    assert redacted["headers"] == [
        ["Cookie", MASK],
        ["Accept", "*/*"],
        ["x-api-key", MASK],
        {"name": "Cookie", "value": MASK},
    ]
    assert redacted["command"] == ["run", "--token", MASK, "--port", "1"]
    assert redacted["empty"] == {"password": "", "token": None, "secret": False, "jwt": MASK, "credentials": MASK}
    assert redacted["record"] == {"name": "r"}
    assert redacted["error"] == f"ValueError: password={MASK}"
    assert (redacted["number"], redacted["3"], redacted["enabled"]) == (1, 1.5, True)


def test_further_names_can_be_hidden() -> None:
    redactor = Redactor(names=["arguments"])
    assert redactor.mapping({"Arguments": {"q": "x"}, "tool": "web"}) == {"Arguments": MASK, "tool": "web"}


def test_a_number_of_a_foreign_type_becomes_text() -> None:
    class Odd(int):
        def __repr__(self) -> str:
            return "token=zzz"

    assert Redactor().value(Odd(1)) == f"token={MASK}"


def test_a_huge_number_is_not_written_out() -> None:
    assert Redactor().value([10**5000, -(10**5000), 10**300]) == [*["[a number of 16610 bits]"] * 2, 10**300]


def test_a_model_is_told_by_the_names_on_the_wire() -> None:
    block = types.TextContent(text="token=zzz", _meta={"password": "zzz"})
    assert Redactor().value(types.CallToolResult(content=[block])) == {
        "resultType": "complete",
        "isError": False,
        "content": [{"type": "text", "text": f"token={MASK}", "_meta": {"password": MASK}}],
    }


def test_what_a_model_holds_besides_its_fields_is_told_too() -> None:
    class Open(BaseModel, extra="allow"):
        known: str

    assert Redactor().value(Open(known="a", other="token=zzz")) == {"known": "a", "other": f"token={MASK}"}


def test_a_value_that_contains_itself_ends() -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    assert "[more]" in json.dumps(Redactor().value(loop))


def test_a_huge_value_costs_no_more_than_its_limit() -> None:
    assert len(Redactor().value(list(range(100_000)))) <= 2001
    assert len(Redactor().value({str(number): 1 for number in range(100_000)})) <= 2001


def test_many_long_texts_cost_no_more_than_their_limit() -> None:
    looked_at: list[str] = []

    class Counting(Redactor):
        def text(self, value: object) -> str:
            looked_at.append(str(value))
            return super().text(value)

    for value in (
        ["x" * 4000] * 1900,
        {f"{n}": "x" * 4000 for n in range(1900)},
        {"x" * 4000 + f"{n}": n for n in range(99)},
    ):
        looked_at.clear()
        found = Counting(["xyzxyz"]).value(value)
        assert "[more]" in found
        assert RECORD <= sum(map(len, looked_at)) <= RECORD + 2 * LENGTH
    assert "[more]" not in json.dumps(Redactor().value(["x" * 4000] * 5))


def test_the_text_in_which_the_limit_is_reached_is_not_cut_for_it() -> None:
    secret = "0123456789" * 30
    for before in range(300):
        found = Redactor([secret]).value(["x" * before, secret, "y", "z"], characters=300)
        assert "0" not in "".join(found)
        assert found[-1] == "[more]"


class Hostile(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_nothing_that_is_given_makes_it_raise() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert redact(Mute()) == "[unreadable]"
    assert redact(None) == "None"
    assert Redactor().value({"a": Mute(), "b": 1}) == {"a": "[unreadable]", "b": 1}
    assert Redactor().mapping(Hostile()) == {"value": "[unreadable]"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    )
)
def test_any_value_becomes_one_that_json_can_write(value: Any) -> None:
    json.dumps(Redactor().value(value)).encode()
