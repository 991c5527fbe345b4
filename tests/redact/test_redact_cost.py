"""The work of redacting grows with the length of a text, whoever wrote it.

No clock on the wall is read: what is compared is the processor's time for a text and for one four times as long. A
pattern whose work grows with the square takes sixteen times as long for it.
"""

from __future__ import annotations

import re
import time
from re import _constants as codes  # type: ignore[attr-defined] # how Python itself sees a pattern; nothing public does
from re import _parser as parser  # type: ignore[attr-defined] # as above
from typing import Any

import pytest

from recloser.redact import Redactor, forms, known, named, names, redactor, shapes

pytestmark = pytest.mark.thorough

SIZE = 15_000
MOST = 9
"""Times as long for four times as much: linear is 4, and a loaded machine is unsteady; quadratic is 16."""

PIECES = [
    "a",
    "A1",
    "a.",
    "a-",
    "eyJ",
    "eyJaaaaaaaaaaa.",
    "://",
    "://a:b",
    "a@",
    "user:",
    "user:pw ",
    "=u:p",
    "%3A%2F%2F",
    "%3a%2f%2fa",
    ":\\/\\/a",
    ":thin:",
    ";pwd=",
    "?code=",
    "Bearer ",
    "bearer  a",
    "Bearer token",
    "basic+",
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "-----BEGIN ",
    "token",
    "token=",
    "token='",
    'token="\\',
    "'token', '",
    "--token ",
    "authorization: a, ",
    "<token>",
    "<token ",
    "<a:",
    "secret: {",
    "sk-",
    "SG.aaaaaaaaaaaaaaaaaaaa",
    "1//0",
    "x8Q~",
    "AKIA",
    "a==",
    "AZDO",
    "azJQQJ99",
    "u:p@tcp(",
    "%40",
    "xoxe.xoxp",
    "\x1b[",
    "\x1b]",
    "\\",
    '"',
    "abcdefgh",
    "[redacted]",
    "%3Ftoken%3D",
    "%26",
    "%3d",
    'key="token" value="',
    "name='a' ",
    "token:\n ",
    "token   ",
    "token: |\n a",
    "Private-Lines:",
    "LS0tLS1CRUdJTiB",
    "session id: ",
    "-----BEGIN%20",
    "a\n",
    "\\n",
    "> \n",
    "\n",
]


def work(made: Redactor, piece: str, size: int) -> float:
    """The least of several measurements, in seconds of the processor."""
    text = piece * (size // len(piece))
    least = float("inf")
    for _ in range(4):
        begun = time.process_time()
        made.tail(text, size, severed=True)
        least = min(least, time.process_time() - begun)
    return least


@pytest.mark.parametrize("piece", PIECES)
def test_four_times_the_text_is_about_four_times_the_work(piece: str) -> None:
    made = Redactor(["abcdefgh", "aaaaaaaa", "hunter2"])
    assert work(made, piece, 4 * SIZE) <= MOST * max(work(made, piece, SIZE), 0.0005)


def patterns() -> dict[str, re.Pattern[str]]:
    modules = (forms, known, named, names, redactor, shapes)
    found = {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    }
    found |= {f"recloser.redact.shapes._RARE[{part!r}]": shape for part, shape in shapes._RARE}
    assert len(found) >= 25
    return found


def repeats(tree: Any, within: bool = False) -> list[str]:
    """The repetitions without a bound that may be taken back, inside of another one."""
    found = []
    for code, given in tree:
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            _, most, inner = given
            endless = most == codes.MAXREPEAT
            if endless and within:
                found.append(str(inner))
            found += repeats(inner, within or endless)
        elif code is codes.POSSESSIVE_REPEAT:
            found += repeats(given[2], within)
        elif code is codes.BRANCH:
            for branch in given[1]:
                found += repeats(branch, within)
        elif code is codes.SUBPATTERN:
            found += repeats(given[3], within)
        elif code in (codes.ASSERT, codes.ASSERT_NOT):
            found += repeats(given[1], within)
        elif code is codes.ATOMIC_GROUP:
            found += repeats(given, within)
    return found


@pytest.mark.parametrize(("name", "pattern"), patterns().items(), ids=patterns())
def test_no_pattern_repeats_what_repeats_without_an_end(name: str, pattern: re.Pattern[str]) -> None:
    assert repeats(parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)) == [], name


def test_the_check_of_patterns_would_see_one() -> None:
    assert repeats(parser.parse("(a+)+"))
    assert not repeats(parser.parse("(?:a++b{1,5})*"))
