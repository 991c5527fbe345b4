"""What `recloser chaos new` writes: a scenario to change, that says what can be said."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from string import Template
from typing import Final

from recloser.testing.scenario.rules import GOALS, RULES

__all__ = ["command", "starter"]

_HEAD: Final = Template(
    """\
# A scenario of recloser chaos. Run it with: $command

title = $title
proves = "Say in one sentence what it shows when all its rules hold."

# Seconds of load. All moments below count from its beginning.
duration = 8.0

# What is judged:
$rules
rules = $judged
"""
)

_BUILT: Final = """
# The servers: real processes, each over http or stdio, that can do everything wrong on demand
# (python -m recloser.testing.faulty --list). Their options are those of recloser.servers.<name>.
[servers.search]
transport = "http"
era = "dual"                    # the protocol: legacy (handshake), modern (stateless) or dual

[servers.files]
transport = "stdio"
timeouts = { total = 2.0, attempt = 0.5, start = 2.0 }
breaker = { open_for = 0.5, open_cap = 1.0 }

# The load: calls that come at a rate, whatever the answers do. With kind = "closed", callers = 4, each caller waits.
[[load]]
name = "agents"
rate = 50                       # calls a second
timeout = 1.0                   # seconds that each call is given
tools = { echo = 3, write = 1 } # echo may be repeated, write must not be; also: add, upsert, sleep, big, fail, ask

# The timeline. Each entry has one of
#   fault  = what a server does wrong, one of the faulty servers' list, with arguments = { ... }
#   action = kill, down, freeze, partition, memory, clock_step, collector_down, audit_disk_full
#   policy = Latency, Fault, Blackhole, Disconnect, AuthFailure, RateLimited, Garbage
#   toxic  = what a proxy before a server over http does: latency, bandwidth, timeout, reset_peer, down, ...
[[timeline]]
at = 2.0
until = 5.0                     # left out: to the end
server = "files"                # or several: ["files", "search"]
fault = "hang_call"

# How much is asked of what no rule sets a number for.
[limits]
recover_within = 3.0            # seconds after the end of a fault
answered = 0.9                  # share of the calls that may be repeated, for the goal "answered"
"""

_OWN: Final = Template(
    """
# The servers are those of the configuration. Only those that it marks are ever struck:
#   "recloser": { "servers": { "$name": { "chaos": true } } }
fleet = "config"

# The load: tools that say they are read-only, called with what their schemas suggest. Better, name calls of your own:
#   calls = [{ server = "$name", tool = "search", arguments = { query = "tower" }, safe = true, weight = 2 }]
# safe = true says that the call may be repeated.
[[load]]
name = "agents"
rate = 10                       # calls a second
timeout = 2.0                   # seconds that each call is given
tools = "read-only"

# The timeline. Each entry strikes some of the marked servers, or all of them: server = "marked". It has one of
#   policy = Latency, Fault, Blackhole, Disconnect, AuthFailure, RateLimited, Garbage   (on our own side)
#   toxic  = latency, bandwidth, timeout, reset_peer, slicer, limit_data, down   (a proxy, before a server over http)
#   action = kill   (ends the process of a server over stdio; needs --allow-kill)
[[timeline]]
at = 2.0
until = 4.0
server = $servers
policy = "Latency"
arguments = { delay = 0.5 }     # seconds

[[timeline]]
at = 4.0
until = 6.0
server = $servers
policy = "Disconnect"
arguments = { rate = 0.5 }      # the share of calls that it strikes

# How much is asked of what no rule sets a number for.
[limits]
recover_within = 8.0            # seconds after the end of a fault; the default break of a circuit is 5 s
"""
)


def command(file: str, *, config: str | None = None) -> str:
    """Return the words that run a scenario, as a shell takes them."""
    return shlex.join(["recloser", "chaos", "run", file, *([] if config is None else ["--config", config])])


def starter(file: str, *, config: str | None = None, marked: Sequence[str] = ()) -> str:
    """Return a commented scenario: for the built-in fleet, or for the marked servers of a configuration."""
    judged = ["1", "6", "7", "11", "recovery"] if config else ["1", "2", "3", "5", "6", "7", "11", "recovery"]
    rules = "\n".join(f"#   {name:9} {text}" for name, text in {**RULES, **GOALS}.items())
    title = file.removesuffix(".toml").replace("_", " ").capitalize() or "A scenario"
    head = _HEAD.substitute(
        command=_printable(command(file, config=config)),
        # Without what TOML forbids, its strings are JSON's.
        title=json.dumps(_printable(title), ensure_ascii=False),
        rules=rules,
        judged="[" + ", ".join(rule if rule.isdigit() else f'"{rule}"' for rule in judged) + "]",
    )
    if config is None:
        return head + _BUILT
    servers = '"marked"' if len(marked) != 1 else f'"{marked[0]}"'
    return head + _OWN.substitute(name=marked[0] if marked else "search", servers=servers)


def _printable(text: str) -> str:
    """Return a text of one line that a TOML file can hold."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)
