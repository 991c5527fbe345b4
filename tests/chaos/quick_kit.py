"""What the tests share that break a rule on purpose: a scenario of a second, on a real server behind a real router."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from chaos.chaos_kit import written
from recloser.testing.scenario import Scenario, Verdict, judge, run_scenario

QUICK = """
title = "Quick"
proves = "Something."
duration = 1.0
{more}
rules = [{rules}]

[servers.sick]
transport = "{transport}"
era = "{era}"
timeouts = {{ total = 2.0, attempt = 0.5, start = 5.0, shutdown = 1.0 }}
retry = {{ attempts = 3, backoff = 0.01, budget = 60 }}
breaker = {{ {breaker} }}

[[load]]
name = "agents"
kind = "closed"
callers = 3
pause = 0.005
timeout = {timeout}
tools = {tools}

[[timeline]]
at = 0.2
server = "sick"
{until}
{fault}
"""

NO_CIRCUIT = "enabled = false"
SHORT = "open_for = 0.2, open_cap = 0.4"


def quick(directory: Path, rules: str, **facts: Any) -> Scenario:
    given = {
        "more": "",
        "transport": "http",
        "era": "dual",
        "breaker": NO_CIRCUIT,
        "timeout": 1.0,
        "tools": "{ write = 1 }",
        "until": "until = 0.8",
        "fault": 'fault = "status_503"\non = "tools/call"',
    } | facts
    return written(directory, QUICK.format(rules=rules, **given))


def verdicts(what: Scenario, **more: Any) -> dict[str, Verdict]:
    """Run and judge; what a busy machine has left no time for is run again."""
    for _ in range(3):
        run = asyncio.run(run_scenario(what, seed=1, **more))
        told = {each.rule: each for each in judge(run)}
        if all(each.state != "unseen" for each in told.values()):
            break
    return told
