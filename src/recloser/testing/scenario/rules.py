"""The rules that scenarios judge: those of the design, by their numbers, and goals that come from them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["GOALS", "OPEN", "OPEN_SCENARIOS", "RULES"]

RULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "1": "A call returns by its deadline plus 50 ms, plus the loop's own lag.",
        "2": "A failure of one call or server is that one's alone: the others are answered, and as fast as before.",
        "3": "A tool that is not known to be safe to repeat runs at most once per call.",
        "4": "A caller's cancellation is nobody's failure: it goes out at once, reaches the server, opens no circuit.",
        "5": "An open circuit sends no caller's request; half-open, one probe at a time; no call opens it alone.",
        "6": "Retries come where they can help, when the server asked, within the budget; reconnects one at a time.",
        "7": "No task, process, socket, thread or permit outlives its owner.",
        "8": "No secret and no argument or result content in a log, span, metric, event, audit line, health or error.",
        "10": "Bad input gets a clear error that names the place; nothing crashes.",
        "11": "A known tool of a server that is down stays listed, and a call to it says which server and what to do.",
        "12": "Each peer is spoken to in its own era; no fault while negotiating downgrades it.",
        "13": "While a server waits for our side, its call's clocks stand still and nothing of it is evidence.",
    }
)
"""By number, as `docs/architecture.md` counts them."""

GOALS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "answered": "Calls that may be repeated are answered in spite of the faults.",
        "evidence": "What speaks against no server opens no circuit: a rate limit, a missing token, a wrong call.",
        "recovery": "A server whose fault has ended answers again soon, without help, and goes on doing so.",
    }
)
"""What follows from the rules, and is asked of scenarios whose faults end."""

OPEN: Final[Mapping[str, str]] = MappingProxyType(
    {"9": "it is about the clients of the gateway, which is not there yet"},
)
"""Rules that nothing can judge yet, and why."""

OPEN_SCENARIOS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "brownout_of_replicas": "needs replicas of a server, which are not there yet",
        "token_refresh": "needs the renewal of tokens, which is not there yet; token_expiry shows what happens without",
        "gateway_clients": "needs the gateway, which is not there yet; rule 9 is judged by it",
    }
)
"""Scenarios that cannot be run yet, and why: listed, never passed."""
