"""The page about the testing kit names what is there, and its file of tests passes."""

from __future__ import annotations

import inspect

import pytest
from pages import ROOT, blocks, codes, tables

from recloser.testing import asserts, chaos, plugin
from recloser.testing.chaos import ChaosPolicy
from recloser.testing.fake import FakeServer, Request
from recloser.testing.proxy import KINDS

pytest_plugins = ["pytester"]

PAGE = ROOT / "docs" / "testing.md"
TABLES = tables(PAGE)


def test_every_chaos_policy_is_told_with_its_own_words() -> None:
    rows = {codes(row[0])[0]: tuple(row[1:]) for row in TABLES["policy", "simulates", "what becomes of the call"]}
    known = [getattr(chaos, name) for name in chaos.__all__]
    policies = [kind for kind in known if inspect.isclass(kind) and issubclass(kind, ChaosPolicy)]
    assert rows == {kind.__name__: (kind.simulates, kind.outcome) for kind in policies if kind is not ChaosPolicy}


def test_every_toxic_is_told_with_its_own_words_and_all_its_numbers() -> None:
    rows = {codes(row[0])[0]: (row[1], codes(row[2])) for row in TABLES["toxic", "what it does", "attributes"]}
    assert rows == {name: (facts.does, list(facts.attributes)) for name, facts in KINDS.items()}


@pytest.mark.parametrize(
    ("headings", "kind"),
    [(("of a request", "what it does"), Request), (("of the server", "what it does"), FakeServer)],
    ids=["request", "server"],
)
def test_every_public_method_of_the_fake_server_is_told(headings: tuple[str, str], kind: type) -> None:
    told = {word for row in TABLES[headings] for code in codes(row[0]) for word in [code.split("(")[0].split(" ")[0]]}
    methods = {name for name, value in vars(kind).items() if inspect.isfunction(value) and not name.startswith("_")}
    methods |= {name for name, value in vars(FakeServer).items() if name == "connect" and kind is FakeServer and value}
    assert methods - {"cancel"} <= told
    assert all(hasattr(kind, name) or name in ("requests", "received") for name in told)


def test_every_fixture_and_the_marker_are_told() -> None:
    told = {codes(row[0])[0] for row in TABLES["name", "what it is"]}
    text = inspect.getsource(plugin)
    fixtures = {"virtual_clock", "fake_server", "faulty_http", "faulty_stdio", "no_leaks"}
    assert text.count("@pytest.fixture") == len(fixtures)
    assert told == {f"@pytest.mark.{plugin.MARKER}", *fixtures}


def test_every_assertion_is_told() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"- `{name}(" in text for name in ("at_most_once", "by_deadline", "no_leaks"))
    assert f"plus {asserts.GRACE * 1000:g} ms" in text


@pytest.mark.processes
def test_the_file_of_tests_passes(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (shown,) = [block for block in blocks(PAGE) if block.mark == "pytest"]
    pytester.makepyfile(shown.text)
    result = pytester.runpytest_subprocess("-p", "recloser.testing.plugin", "-p", "no:cacheprovider", "-W", "error")
    result.assert_outcomes(passed=2)
