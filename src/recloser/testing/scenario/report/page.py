"""The page: one HTML file that needs no network, no script and no font, made from the document alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any, Final

from recloser.testing.scenario.report import charts
from recloser.testing.scenario.report.document import OUTCOMES
from recloser.testing.scenario.report.lanes import lanes
from recloser.testing.scenario.report.svg import seconds, tag
from recloser.testing.scenario.verdicts.numbers import counted, in_time, share

__all__ = ["page"]

WIDTHS: Final = (1080.0, 700.0, 330.0)
"""Pixels of width that each chart is drawn for: a wide window, a small one or paper, a telephone."""

WORDS: Final = {"held": "held", "broke": "broke", "unseen": "not seen", "interrupted": "interrupted"}
_SIGNS: Final = {
    "held": "M4 12.5l5.2 5.2L20 6.9",
    "broke": "M6 6l12 12M18 6L6 18",
    "unseen": "M8.6 9a3.5 3.5 0 1 1 5 3.2c-1.1.6-1.6 1.2-1.6 2.6M12 18.5v.4",
    "interrupted": "M9 6v12M15 6v12",
}


def page(told: Mapping[str, Any]) -> str:
    """Return the whole page as text; `told` is what `document` returns."""
    scenario = told["scenario"]
    style = (files("recloser.testing.scenario.report") / "style.css").read_text(encoding="utf-8")
    body = "".join(_body(told))
    title = f"{scenario['title']}: {WORDS[told['verdict']]}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} - recloser chaos</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n{_patterns()}\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def _body(told: Mapping[str, Any]) -> Iterator[str]:
    scenario = told["scenario"]
    whose = "the built-in fleet" if scenario["fleet"] == "built-in" else "your own servers"
    who = "a router" if told["target"] == "router" else "the raw SDK client"
    yield f'<p class="brand"><b>recloser chaos</b> &nbsp;{escape(scenario["name"])}, {who} on {whose}</p>\n'
    yield f"<h1>{escape(scenario['title'])}</h1>\n"
    yield f'<p class="proves">{escape(scenario["proves"])}</p>\n'
    yield _headline(told)
    yield _figures(told)
    yield _section(
        "What became of each call",
        "Each bar is a stretch of time; its colours say how the calls in it ended. Shaded: a fault is in force.",
        _drawn(charts.calls, told) + _legend(told) + _behind(told),
    )
    yield _section(
        "Faults and circuits",
        "Above, what was done to each server; below that, its circuit: a thin line while it is closed, a band while it "
        "keeps callers away.",
        _drawn(lanes, told) + _states(told),
    )
    if told["latency"]["groups"]:
        yield _section(
            "How long answers took",
            "Answered calls only; the axis is logarithmic. The left or upper panel is what the healthy servers felt."
            if len(told["latency"]["groups"]) > 1
            else "Answered calls only; the axis is logarithmic.",
            _drawn(charts.latency, told),
        )
    yield _section("The rules", "What was judged, and what the verdict rests on.", _rules(told), cls="long")
    yield _section("The servers", "", _servers(told))
    yield _section("Once more", "The same seed makes the same calls and the same faults.", _again(told))


def _section(heading: str, why: str, inner: str, cls: str = "") -> str:
    said = f'<p class="why">{escape(why)}</p>' if why else ""
    name = f' class="{cls}"' if cls else ""
    return f"<section{name}>\n<h2>{escape(heading)}</h2>\n{said}\n{inner}\n</section>\n"


def _drawn(chart: Callable[[Mapping[str, Any], float], str], told: Mapping[str, Any]) -> str:
    """Return a chart in all widths; the style shows the one that fits."""
    return "".join(f'<div class="at-{width:.0f}">{chart(told, width)}</div>' for width in WIDTHS)


def _sign(state: str) -> str:
    path = tag(
        "path",
        d=_SIGNS[state],
        fill="none",
        stroke="currentColor",
        stroke_width=2.6,
        stroke_linecap="round",
        stroke_linejoin="round",
    )
    return tag("svg", path, viewBox="0 0 24 24", aria_hidden="true")


def _headline(told: Mapping[str, Any]) -> str:
    rules = told["rules"]
    bad = [each["rule"] for each in rules if each["state"] == "broke"]
    unseen = [each["rule"] for each in rules if each["state"] == "unseen"]
    state = told["verdict"]
    if bad:
        big = f"{_enumerated(bad)} broke"
    elif state == "interrupted":
        big = f"Interrupted after {told['ended']:.1f} of {told['scenario']['duration']:g} s"
    elif unseen:
        big = f"{_enumerated(unseen)} could not be seen"
    else:
        big = _all_held([each["rule"] for each in rules])
    numbers = told["numbers"]
    good = numbers["outcomes"]["answered"] + numbers["outcomes"]["retried"]
    small = f"{counted(numbers['calls'], 'call')} in {told['ended']:.1f} s, {share(good, numbers['calls'])} answered"
    small += f"; {counted(len(told['faults']), 'fault')}"
    return (
        f'<div class="headline {state}" role="status">{_sign(state)}<div><p class="big">{escape(big)}</p>'
        f'<p class="small">{escape(small)}.</p></div></div>\n'
    )


def _all_held(rules: Sequence[str]) -> str:
    goals = sum(not rule.isdigit() for rule in rules)
    named = [f"all {len(rules) - goals} rules" if len(rules) - goals > 1 else "the rule"] if len(rules) > goals else []
    named += [{1: "the goal", 2: "both goals"}.get(goals, f"all {goals} goals")] if goals else []
    said = " and ".join(named)
    return f"{said[0].upper()}{said[1:]} held"


def _enumerated(rules: Sequence[str]) -> str:
    named = [f"rule {rule}" if rule.isdigit() else f"the goal {rule!r}" for rule in rules]
    said = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return said[0].upper() + said[1:]


def _figures(told: Mapping[str, Any]) -> str:
    numbers, outcomes = told["numbers"], told["numbers"]["outcomes"]
    calls = numbers["calls"]
    back = [each["took"] for each in told["recoveries"] if each["took"] is not None]
    rows = [
        ("answered", share(outcomes["answered"] + outcomes["retried"], calls), f"{counted(calls, 'call')} in all"),
        (
            "saved by another attempt",
            str(outcomes["retried"]),
            "-" if told["target"] == "raw" else f"{counted(numbers['attempts'], 'attempt')} in all",
        ),
        ("turned away at once", str(outcomes["rejected"]), "by an open circuit or a full bulkhead"),
        (
            "longest overrun of a deadline",
            in_time(numbers["overrun"]),
            f"the loop's lag: {in_time(told['lag']['longest'])}",
        ),
        (
            "slowest return to service",
            in_time(max(back)) if back else "-",
            f"after {counted(len(back), 'fault')}" if back else "none was seen",
        ),
        (
            "p99 of answered calls",
            "-" if numbers["p99"] is None else in_time(numbers["p99"]),
            "-" if numbers["p50"] is None else f"median {in_time(numbers['p50'])}",
        ),
    ]
    cells = "".join(
        f'<div><dt>{escape(name)}</dt><dd>{escape(value)}<span class="sub">{escape(more)}</span></dd></div>'
        for name, value, more in rows
    )
    return f'<dl class="figures">{cells}</dl>\n'


def _swatch(cls: str) -> str:
    return tag("svg", tag("rect", width=15, height=15, class_=cls), viewBox="0 0 15 15", aria_hidden="true")


def _legend(told: Mapping[str, Any]) -> str:
    items = "".join(
        f"<li>{_swatch(f'o-{name}')}<span><b>{count}</b> {escape(OUTCOMES[name])}</span></li>"
        for name, count in told["numbers"]["outcomes"].items()
        if count
    )
    return f'<ul class="legend">{items}</ul>'


def _states(told: Mapping[str, Any]) -> str:
    states = {each["state"] for server in told["servers"] for each in server["circuit"]}
    known = {
        "closed": "circuit closed",
        "open": "open: callers are turned away",
        "half_open": "half-open: one probe at a time",
    }
    items = [f"<li>{_swatch('fault')}<span>a fault is in force</span></li>"] if told["faults"] else []
    items += [f"<li>{_swatch(f's-{name}')}<span>{said}</span></li>" for name, said in known.items() if name in states]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _behind(told: Mapping[str, Any]) -> str:
    """Return the numbers of the timeline as a table, for whoever cannot see it or wants to count."""
    step, counts = told["calls"]["step"], told["calls"]["counts"]
    shown = [name for name in OUTCOMES if any(counts[name])]
    head = "".join(f'<th class="n">{escape(OUTCOMES[name])}</th>' for name in shown)
    rows = "".join(
        f"<tr><td>{part * step:g} to {(part + 1) * step:g} s</td>"
        + "".join(f'<td class="n">{counts[name][part]}</td>' for name in shown)
        + "</tr>"
        for part in range(len(next(iter(counts.values()))))
    )
    table = f"<table><thead><tr><th>time</th>{head}</tr></thead><tbody>{rows}</tbody></table>"
    summary = f"<summary>The numbers behind it, for each {seconds(step)}</summary>"
    return f'<details>{summary}<div class="scroll">{table}</div></details>'


def _rules(told: Mapping[str, Any]) -> str:
    items = []
    for each in told["rules"]:
        state = each["state"]
        number = (
            f'<span class="no">Rule {each["rule"]}.</span> '
            if each["rule"].isdigit()
            else '<span class="no">Goal.</span> '
        )
        cases = "".join(f"<li>{escape(case)}</li>" for case in each["cases"])
        items.append(
            f'<li><span class="badge {state}">{_sign(state)}{WORDS[state]}</span><div><p class="rule">{number}'
            f'{escape(each["text"])}</p><p class="evidence">{escape(_sentence(each["evidence"]))}</p>'
            + (f'<ul class="cases">{cases}</ul>' if cases else "")
            + "</div></li>"
        )
    return f'<ul class="rules">{"".join(items)}</ul>'


def _sentence(said: str) -> str:
    return f"{said[:1].upper()}{said[1:]}."


def _servers(told: Mapping[str, Any]) -> str:
    heads = ("calls", "answered", "turned away", "failed", "median", "p99", "connected", "circuit opened")
    head = "<th>server</th><th>reached over</th>" + "".join(f'<th class="n">{name}</th>' for name in heads)
    rows = []
    for server in told["servers"]:
        ended = server["outcomes"]
        good = ended["answered"] + ended["retried"]
        failed = ended["transient"] + ended["auth"] + ended["critical"] + ended["hung"]
        over = " ".join(part for part in (server["transport"], server["era"]) if part) or "-"
        cells = (
            str(server["calls"]),
            share(good, server["calls"]) if server["calls"] else "-",
            str(ended["rejected"]),
            str(failed),
            *("-" if server[part] is None else in_time(server[part]) for part in ("p50", "p99")),
            counted(server["connected"], "time"),
            counted(server["opened"], "time"),
        )
        struck = "" if not server["struck"] else ", struck"
        rows.append(
            f"<tr><td><b>{escape(server['name'])}</b>{struck}</td><td>{escape(over)}</td>"
            + "".join(f'<td class="n">{escape(cell)}</td>' for cell in cells)
            + "</tr>"
        )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _again(told: Mapping[str, Any]) -> str:
    versions = told["versions"]
    facts = {
        "seed": str(told["seed"]),
        "recloser": versions["recloser"],
        "mcp": versions["mcp"],
        "Python": versions["python"],
        "system": versions["system"],
    }
    items = "".join(f"<li>{name} <b>{escape(value)}</b></li>" for name, value in facts.items())
    notes = "".join(f"<li>{escape(note)}</li>" for note in told["notes"])
    more = f'<ul class="notes">{notes}</ul>' if notes else ""
    return f'<pre><code>{escape(told["command"])}</code></pre><ul class="facts">{items}</ul>{more}'


def _patterns() -> str:
    """Return the fills of the charts: each way to end has a texture of its own, besides its colour."""

    def pattern(name: str, size: float, over: str, *, turned: int = 0) -> str:
        back = tag("rect", width=size, height=size, class_=f"f-{name}")
        turn = f"rotate({turned})" if turned else None
        units = "userSpaceOnUse"
        return tag("pattern", back, over, id=name, width=size, height=size, patternUnits=units, patternTransform=turn)

    stripe = tag("path", d="M0 1h6", stroke_width=1.6, class_="over")
    fine = tag("path", d="M0 1h4", stroke_width=1, class_="over")
    dot = tag("circle", cx=2.5, cy=2.5, r=1, class_="over-dot")
    cross = tag("path", d="M0 1h5M1 0v5", stroke_width=1, class_="over")
    defs = (
        pattern("retried", 5, dot),
        pattern("rejected", 6, stripe, turned=45),
        pattern("transient", 5, cross, turned=45),
        pattern("auth", 4, fine),
        pattern("critical", 4, fine, turned=135),
        pattern("cancelled", 5, cross),
        pattern("half", 6, stripe, turned=45),
    )
    return f'<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>{"".join(defs)}</defs></svg>'
