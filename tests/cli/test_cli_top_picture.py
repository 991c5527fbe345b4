"""The picture of `recloser top`: it fits, cuts no number, and stands any document."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console
from top_kit import DOCUMENT, NAMES

from recloser.cli import top_columns
from recloser.cli.top_columns import short
from recloser.cli.top_reading import Reading
from recloser.cli.top_view import AROUND, FROM_WIDE, cells, screen
from recloser.telemetry.stats import Stats
from recloser.testing.clock import run_virtual
from support.status import health

pytestmark = pytest.mark.thorough


# --- the picture


def picture(document: Any = DOCUMENT, *, width: int = 80, height: int | None = None, **options: Any) -> str:
    """What is seen, in plain text."""
    console = Console(width=width, record=True, file=io.StringIO(), force_terminal=True, color_system="256")
    console.print(screen(document, source="here", width=width, height=height, **{"alone": False} | options))
    return console.export_text()


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("width", [80, 100, FROM_WIDE, 200])
def test_it_fits_the_terminal_and_cuts_no_number(width: int, alone: bool) -> None:
    seen = picture(width=width, alone=alone)
    assert max(map(len, seen.splitlines())) <= width
    rows = {line.split()[0]: line for line in seen.split("Last failures")[0].splitlines() if line.strip()}
    assert rows["search"].split()[:2] == ["search", "ready"]
    assert rows["search"].split()[2].startswith("half-open")
    assert rows["search/0"].split()[1:3] == ["ready", "closed"]
    assert rows["notes"].split()[2].startswith("isolated")
    if not alone:
        assert "28+4" in rows["search"]
        assert "123 ms" in rows["search"] or "122 ms" in rows["search"]
        assert "6 transient" in seen or "connection_lost" in seen


def test_a_wide_terminal_is_told_more() -> None:
    seen = picture(width=220)
    assert "open for 3.0 s, try in 1.7 s" in seen
    assert "transient: 6 connection_lost, 1 circuit_open" in " ".join(seen.split())
    assert "auth: 1 forbidden; critical: 1 server_fault" in " ".join(seen.split())
    assert "24 %" in seen
    assert "warehouse-analytics-of-the-whole-company" in seen


def test_what_went_wrong_and_what_has_changed_stands_under_the_table() -> None:
    seen = picture(width=120)
    failures, changes = seen.split("Last failures")[1].split("Changes")
    assert [line.split()[:4] for line in failures.splitlines() if line.strip()] == [
        ["files", "3.0", "s", "ago"],
        ["jira-cloud", "3.0", "s", "ago"],
    ]
    assert "connection_lost in web: the connection to server 'files' was lost; try again later." in failures
    assert "forbidden in create_issue" in failures
    assert "connecting again (connection_lost)" in changes
    assert "circuit open (failures)" in changes
    assert "connected" in changes


def test_the_whole_is_summed_up_in_words() -> None:
    seen = " ".join(picture(width=200).split())
    assert "Last 33 s: 7.8 calls/s, 3.5 % failed, 28 in flight" in seen
    assert "1 retries, 1 rejected, 1 to no known server" in seen
    quiet = run_virtual(_quiet())
    assert "0.0 calls/s, none failed" in picture(quiet, width=200)
    assert "Last failures" not in picture(quiet)


async def _quiet() -> dict[str, Any]:
    return Stats().snapshot({"search": health("search")})


def test_a_router_that_nobody_uses_is_told_by_how_its_servers_answer() -> None:
    seen = picture(alone=True)
    assert "calls/s" not in seen
    assert "in 2.0 ms" in seen
    assert "none in" in seen
    (off,) = (line for line in seen.split("Last failures")[0].splitlines() if line.startswith("off"))
    assert off.split() == ["off", "disabled", "-", "stdio", "-", "3", "-"]


def test_where_not_all_fit_those_with_trouble_are_shown_in_their_order() -> None:
    servers = [dict(DOCUMENT["servers"][4], name=f"fine{number}", endpoints=[]) for number in range(30)]
    document = DOCUMENT | {"servers": [*servers, *DOCUMENT["servers"]]}
    seen = picture(document, height=AROUND + 4)
    shown = [line.split()[0] for line in seen.split("and 32 more")[0].splitlines()[6:] if line[:1].strip()]
    assert shown == ["search", "files", "jira-cloud", "notes"]
    assert "and 32 more" in seen
    assert "more, of which" not in picture(document, height=None)
    assert "and 35 more" in picture(document, height=3)


def test_a_notice_and_how_to_end_it_are_shown_on_a_live_view_only() -> None:
    assert "Ctrl-C ends" in picture(height=40)
    assert "Ctrl-C ends" not in picture()
    assert "it is 12 s old" in picture(notice="it is 12 s old")


def test_the_lines_for_programs_hold_all_in_words() -> None:
    found = {row[0]: row for row in cells(DOCUMENT, alone=False)}
    assert list(found) == list(NAMES)
    assert len({len(row) for row in found.values()}) == 1
    assert found["files"][-3:] == ["24 %", "3.0 s ago", "connection_lost 3.0 s ago"]
    assert found["off"][-3:] == ["500", "never", "-"]  # the size of its budget is not known
    assert cells(DOCUMENT, alone=True)[4][-2:] == ["none in 5.0 s, answered 3.0 s ago", "-"]


@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255)])
@pytest.mark.parametrize("colour", ["GOOD", "UNSURE", "BAD", "HELD", "FAINT"])
def test_every_colour_can_be_read_on_a_dark_ground_and_on_a_light_one(
    colour: str, ground: tuple[int, int, int]
) -> None:
    from rich.color import Color

    name = getattr(top_columns, colour).removeprefix("bold ")
    bright = sorted([_brightness(Color.parse(name).get_truecolor()), _brightness(ground)])
    assert (bright[1] + 0.05) / (bright[0] + 0.05) >= 3.0  # what WCAG asks of large text and of signs


def _brightness(colour: Any) -> float:
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_nothing_is_said_by_colour_alone() -> None:
    plain = Console(width=FROM_WIDE, file=io.StringIO(), no_color=True, force_terminal=False, legacy_windows=False)
    plain.print(screen(DOCUMENT, source="here", width=FROM_WIDE, alone=False))
    text = plain.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO
    for word in ("ready", "connecting", "disabled", "closed", "open", "half-open", "isolated", "24 %", "failed"):
        assert word in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0.0 ms"),
        (0.00123, "1.2 ms"),
        (0.00996, "10 ms"),
        (0.4, "400 ms"),
        (0.9996, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (99.4, "99 s"),
        (100.0, "2 min"),
        (5400.0, "90 min"),
        (7200.0, "2 h"),
        (200_000.0, "2 d"),
        (1e9, "11574 d"),
    ],
)
def test_a_duration_is_short_and_has_a_unit(seconds: float | None, text: str) -> None:
    assert short(seconds) == text
    assert len(text) <= 7


# --- a document that another program wrote


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*at, key))
    elif isinstance(value, list) and value:
        yield from paths(value[0], (*at, 0))


def changed(value: Any, at: tuple[Any, ...], junk: Any) -> Any:
    if not at:
        return junk
    copy = value.copy()
    copy[at[0]] = changed(value[at[0]], at[1:], junk)
    return copy


@pytest.mark.parametrize(
    "junk", [None, True, -7, 1e308, float("inf"), float("nan"), "x\x1b[2J\u202e", [], [3], {}, {"x": []}], ids=repr
)
def test_whatever_stands_in_a_document_is_shown_as_far_as_it_makes_sense(junk: Any) -> None:
    small = DOCUMENT | {"servers": DOCUMENT["servers"][1:2], "changes": DOCUMENT["changes"][:1]}
    for at in paths(small):
        document = changed(small, at, junk)
        for alone in (False, True):
            text = str(cells(document, alone=alone))
            assert "\x1b" not in text
        if at and at[-1] in ("name", "state", "ago", "p50", "errors", "servers", "changes", "endpoints", "circuit"):
            assert "\u202e" not in picture(document)


def test_a_reading_of_nothing_is_nothing() -> None:
    nothing = Reading("text")
    assert not nothing
    assert (nothing.text("a"), nothing.number("a"), nothing.count("a"), nothing.counts("a")) == ("", None, 0, {})
    assert nothing.parts("a") == []
    some = Reading({"a": "two\nlines", "b": {"few": 1, "many": 5, "none": "x"}})
    assert some.text("a") == "two lines"
    assert list(some.counts("b").items()) == [("many", 5), ("few", 1), ("none", 0)]
