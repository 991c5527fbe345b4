"""What becomes of a run's outcomes: numbers, rounds, rows, and where recloser is beaten."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.scoreboard.figures import Figures, figures, merged, percentile, summary, worse
from benchmarks.scoreboard.verdict import missed, put_together
from scored import DEADLINE, outcome, piece


def of(**changes: Any) -> Figures:
    return figures(piece(**changes), deadline=DEADLINE)


def test_a_run_in_which_all_went_well_says_so() -> None:
    found = of()
    assert found["recoverable"] == [1, 1]
    assert found["healthy"] == [80, 80]
    assert found["recovered"] == pytest.approx(0.1)
    assert found["detected"] == pytest.approx(0.1)
    assert found["overrun"] == 0
    assert found["survived"]
    assert (found["start"], found["ended"]) == ("ok", "closed")
    assert found["p99_calm"] == pytest.approx(10)
    assert found["p99_trouble"] == pytest.approx(10)


def test_only_what_begins_in_trouble_counts_as_trouble() -> None:
    slow = [outcome(0.5, 0.2), outcome(1.5, 0.4), outcome(9.0, 0.9)]
    found = of(calls={"alpha": slow, "gamma": []})
    assert found["p99_calm"] == pytest.approx(200)
    assert found["p99_trouble"] == pytest.approx(400)


def test_a_call_that_never_came_back_counts_as_late_and_as_lost() -> None:
    found = of(blips=[{"safe": True, "outcome": outcome(1.0, 2.5, good=False, said="never came back", cut=True)}])
    assert found["overrun"] == pytest.approx(1000)
    assert found["never_back"] == 1
    assert found["recoverable"] == [0, 1]


def test_a_dead_host_serves_nobody_from_then_on() -> None:
    found = of(died="CancelledError", calls={"alpha": [outcome(0.1, 0.01)]}, blips=[], served=None, healed=None)
    served, asked = found["healthy"]
    assert served == 1
    assert asked > 50
    assert found["recoverable"] == [0, 1]
    assert found["recovered"] is None
    assert not found["survived"]
    assert found["ended"] == "died"


@pytest.mark.parametrize(
    ("changes", "start", "ended"),
    [
        ({"opened": None, "blocked": True, "hung": False, "died": None}, "blocked", "closed"),
        ({"opened": None, "died": "OSError"}, "failed", "died"),
        ({"blocked": True}, "blocked", "closed"),
        ({"hung": True}, "ok", "hung"),
        ({"ending": {"closed": None}}, "ok", "would not close"),
    ],
)
def test_how_a_host_started_and_ended_is_told_in_a_word(changes: dict[str, Any], start: str, ended: str) -> None:
    found = of(**changes)
    assert (found["start"], found["ended"]) == (start, ended)


def test_nothing_measured_is_no_number() -> None:
    found = of(calls={}, blips=[], blips_planned=0, trouble=[], calm=[])
    assert found["p99_calm"] is None
    assert found["detected"] is None
    assert found["overrun"] is None
    assert percentile([], 0.99) is None


def test_rounds_are_added_up_and_the_worst_overrun_stays() -> None:
    late = {"blips": [{"safe": True, "outcome": outcome(1.0, 1.6, good=False)}]}
    found = merged([of(), of(**late), of(duplicates=2, left=["task a: x", "process 1 (x)"])])
    assert found["recoverable"] == [2, 3]
    assert found["overrun"] == pytest.approx(100)
    assert found["duplicates"] == 2
    assert (found["left"], found["left_what"]) == (2, ["process", "task"])
    assert found["survived"]


def test_one_round_in_which_the_server_stays_lost_is_enough() -> None:
    assert merged([of(), of(served=None)])["recovered"] is None


def test_rounds_that_end_differently_are_told_both() -> None:
    assert merged([of(), of(hung=True)])["ended"] == "closed/hung"


def test_a_summary_counts_over_all_scenarios() -> None:
    found = summary({"a": of(), "b": of(served=None, duplicates=1)})
    assert (found["recovered"], found["scenarios"]) == (1, 2)
    assert found["recoverable"] == 1
    assert found["duplicates"] == 1
    assert found["p99"] == pytest.approx(1)


def test_a_difference_within_the_band_beats_nobody() -> None:
    assert worse(of(), of(), deadline=DEADLINE) == {}
    assert worse(of(served=2.8), of(), deadline=DEADLINE) == {}


@pytest.mark.parametrize(
    ("changes", "figure"),
    [
        ({"served": None}, "recovered"),
        ({"served": 4.0}, "recovered"),
        ({"duplicates": 1}, "duplicates"),
        ({"left": ["task a: x"]}, "left"),
        ({"died": "x"}, "survived"),
        ({"blips": [{"safe": True, "outcome": outcome(1.0, 0.1, good=False)}]}, "recoverable"),
        ({"blips": [{"safe": True, "outcome": outcome(1.0, 1.6)}]}, "overrun"),
    ],
)
def test_what_is_worse_is_found(changes: dict[str, Any], figure: str) -> None:
    assert figure in worse(of(**changes), of(), deadline=DEADLINE)


def test_to_be_told_within_the_deadline_is_soon_enough() -> None:
    blips = [{"safe": False, "outcome": outcome(1.0, 1.4, good=False)}]
    calls = {"alpha": [outcome(0.1, 0.01)], "gamma": [], "safe": [], "unsafe": []}
    assert "detected" not in worse(of(blips=blips, calls=calls), of(calls=calls), deadline=DEADLINE)


def test_healthy_times_are_compared_with_those_who_bring_the_server_back() -> None:
    slow = {"alpha": [outcome(0.5, 0.01), outcome(1.5, 0.1)], "gamma": []}
    assert "p99" in worse(of(calls=slow), of(), deadline=DEADLINE)
    assert "p99" not in worse(of(calls=slow), of(served=None), deadline=DEADLINE)


def test_pieces_become_one_row_for_each_peer_and_mode() -> None:
    pieces = [piece(), piece(tuned=False), piece(peer="mcp", tuned=False), piece(scenario="reset")]
    rows = put_together(pieces, deadline=DEADLINE)
    assert [(row["peer"], row["mode"], list(row["faults"])) for row in rows] == [
        ("recloser", "tuned", ["exit_mid_call", "reset"]),
        ("recloser", "defaults", ["exit_mid_call"]),
        ("mcp", "defaults", ["exit_mid_call"]),
    ]


def test_what_recloser_must_reach_is_said_where_it_does_not() -> None:
    bad = {"duplicates": 1, "left": ["task a: x"], "served": None, "died": "x"}
    bad["blips"] = [{"safe": True, "outcome": outcome(1.0, 1.7, good=False)}]
    told = " ".join(missed(put_together([piece(**bad)], deadline=DEADLINE), deadline=DEADLINE))
    for what in ("recoverable", "duplicate", "200 ms late", "left behind", "did not recover", "did not survive"):
        assert what in told


def test_at_its_defaults_recloser_is_compared_with_others_at_theirs() -> None:
    slow = piece(tuned=False, served=5.0)
    tuned = [slow, piece(peer="google-adk", tuned=True)]
    assert missed(put_together(tuned, deadline=DEADLINE), deadline=DEADLINE) == []
    plain = [slow, piece(peer="google-adk", tuned=False)]
    (line,) = missed(put_together(plain, deadline=DEADLINE), deadline=DEADLINE)
    assert line == "recloser (defaults), exit_mid_call, recovered: 2.5; google-adk (defaults) 0.1"


def test_a_scenario_that_only_one_of_them_has_is_not_compared() -> None:
    rows = put_together([piece(served=5.0), piece(peer="mcp", scenario="reset")], deadline=DEADLINE)
    assert missed(rows, deadline=DEADLINE) == []
