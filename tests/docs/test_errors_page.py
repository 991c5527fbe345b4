"""The page of errors says what the tables in the code say."""

from __future__ import annotations

import asyncio
import errno
import re
import types
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from pages import ROOT, blocks, codes, prose, tables

from recloser import Router, classify, error_of, errors
from recloser.classify import Verdict
from recloser.cli import exits
from recloser.errors import CODES, ErrorPayload
from recloser.facts import SPEAK_FOR_THEMSELVES, HttpFacts, Kind
from recloser.testing import FakeServer, run_virtual
from support.traces import Traces

assert isinstance(classify, types.ModuleType)

PAGE = ROOT / "docs" / "errors.md"
TABLES = tables(PAGE)
YES = {True: "yes", False: "no"}

Row = tuple[str, str, str]
"""Code, delivered, counts."""


def meaning(verdict: Verdict) -> Row:
    facts = CODES[verdict.code]
    evidence = facts.evidence if verdict.evidence is None else verdict.evidence
    return f"`{verdict.code}`", verdict.delivered or facts.delivered, YES[evidence]


def rows(first: str) -> dict[str, Row]:
    """A table of meanings by what stands in backticks in its first column, or by the text where nothing does."""
    found: dict[str, Row] = {}
    for cell, code, delivered, counts in TABLES[first, "code", "delivered", "counts"]:
        for name in codes(cell.partition(": ")[0]) or [cell]:
            assert name not in found
            found[name] = code, delivered, counts
    return found


def pairs(first: str) -> dict[str, str]:
    return {name: code.strip("`") for cell, code in TABLES[first, "code"] for name in codes(cell)}


def test_every_code_is_there_in_order_with_what_it_says() -> None:
    said = TABLES["code", "type", "delivered", "counts", "next_action"]
    assert said == [
        [f"`{code}`", facts.type, facts.delivered, YES[facts.evidence], f"`{facts.next_action}`"]
        for code, facts in CODES.items()
    ]


def test_every_code_has_a_section_with_cause_doing_and_advice() -> None:
    sections = re.findall(r"^### (\w+)\n\n(.*?)(?=\n## |\n### )", prose(PAGE), re.DOTALL | re.MULTILINE)
    told = {name: text for name, text in sections if name in CODES}
    assert list(told) == list(CODES)
    for name, text in told.items():
        assert re.findall(r"^- \*\*([\w.]+)\*\*", text, re.MULTILINE) == ["Cause.", "recloser", "Do."], name


def test_every_field_of_the_payload_is_explained() -> None:
    table = TABLES["field", "value", "meaning"]
    assert [codes(row[0]) for row in table] == [[field.name] for field in fields(ErrorPayload)]
    values = {codes(row[0])[0]: codes(row[1]) for row in table}
    for name, known in (
        ("type", errors.ErrorType),
        ("delivered", errors.Delivered),
        ("next_action", errors.NextAction),
    ):
        assert tuple(values[name]) == known.__args__
    assert values["schema"] == [errors.SCHEMA]


def of_kind(number: type | tuple[type, ...]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, number)


VALUES: dict[str, Callable[[object], bool]] = {
    "one of the table below": lambda value: value in CODES,
    "one sentence": of_kind(str),
    "name": of_kind(str),
    "true or false": of_kind(bool),
    "seconds": of_kind((int, float)),
    "number": of_kind(int),
    "object": of_kind(dict),
    "32 hex digits": lambda value: re.fullmatch("[0-9a-f]{32}", str(value)) is not None,
}
"""What the words of the column mean."""


def holds(cell: str, value: object) -> bool:
    if codes(cell):
        return value in codes(cell)
    kind, _, _ = cell.partition(" or null")
    return VALUES[kind](value) if value is not None else cell.endswith(" or null")


async def failures(**options: Any) -> list[dict[str, Any]]:
    """The payloads of some calls that fail."""
    async with FakeServer("say") as fake, Router(fake.server("fake"), **options) as router:
        found = [await router.call_tool(name) for name in ("fake__none", "nobody__x")]
        for code in ("overloaded", "server_fault"):
            call = asyncio.create_task(router.call_tool("fake__say", timeout=4))
            (await fake.expect(name="say")).fail(code, retry_after=9)
            found.append(await call)
    return [payload.to_dict() for result in found if (payload := error_of(result)) is not None]


def test_the_fields_of_real_payloads_have_the_values_that_the_page_says() -> None:
    cells = {codes(row[0])[0]: row[1] for row in TABLES["field", "value", "meaning"]}
    traced = run_virtual(failures(tracer_provider=Traces().provider))
    alone = run_virtual(failures())
    assert (len(traced), len(alone)) == (4, 4)
    for payload in (*traced, *alone):
        assert {name: value for name, value in payload.items() if not holds(cells[name], value)} == {}
    assert all(payload["trace_id"] is not None for payload in traced)
    assert all(payload["trace_id"] is None for payload in alone)


def test_the_statuses_mean_what_the_page_says() -> None:
    said = rows("HTTP status")
    others = said.pop("any other 4xx"), said.pop("any other 5xx")
    assert said == {str(status): meaning(verdict) for status, verdict in classify._STATUSES.items()}
    for status in range(400, 600):
        if status not in classify._STATUSES:
            verdict = classify._of_status(HttpFacts(kind="status", sent=True, status=status))
            assert meaning(verdict) == others[status >= 500]
    told = re.search(r"three exceptions: ([\d, and]+)", " ".join(prose(PAGE).split()))
    assert told is not None
    assert set(map(int, re.findall(r"\d+", told[1]))) == SPEAK_FOR_THEMSELVES


def test_other_exchanges_mean_what_the_page_says() -> None:
    said = rows("what happened")
    assert said == {kind: meaning(verdict) for kind, verdict in classify._BY_KIND.items()}
    assert set(said) == set(Kind.__args__) - {"status", "transport"}


def test_the_codes_of_a_server_mean_what_the_page_says() -> None:
    said = rows("JSON-RPC code")
    assert said.pop("any other") == meaning(Verdict(code="server_fault", evidence=False))
    assert said == {str(code): meaning(verdict) for code, verdict in classify._BY_RPC.items()}


def test_exceptions_mean_what_the_page_says() -> None:
    assert pairs("exception of httpx2 or httpx") == {name: verdict.code for name, verdict in classify._HTTP.items()}
    others = {
        (name if library == "builtins" else f"{library}.{name}"): verdict.code
        for (library, name), verdict in classify._BY_NAME.items()
        if library not in ("httpx2", "httpx")
    }
    assert pairs("other exception") == others
    numbers = {errno.errorcode[number]: code for number, code in classify._BY_ERRNO.items()}
    assert pairs("error number of an `OSError`") == numbers


def test_what_a_tool_says_means_what_the_page_says() -> None:
    said = {codes(row[0])[0]: row for row in TABLES["type", "code", "with a code that speaks of it"]}
    assert list(said) == list(classify._TYPES)
    for kind, (special, usual) in classify._TYPES.items():
        _, code, exception = said[kind]
        assert codes(code) == [usual]
        assert codes(exception) == ([special] if special else [])
        for word in exception.partition(": ")[2].split(", ") if special else ():
            assert classify._SPECIAL[special].search(word), word


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    said = {codes(row[1])[0]: int(codes(row[0])[0]) for row in TABLES["exit code", "name", "when"]}
    assert said == {name: value for name, value in vars(exits).items() if isinstance(value, int)}


def test_the_tree_is_that_of_the_code() -> None:
    (tree,) = (block.text for block in blocks(PAGE) if "RouterError" in block.text)
    for name in re.findall(r"\w+Error|CircuitOpen", tree):
        assert issubclass(getattr(errors, name), errors.RouterError)
    assert "│   └── CircuitOpen" in tree
    assert errors.CircuitOpen.__base__ is errors.TransientError
