"""MCP servers that misbehave on purpose, for tests of whatever talks to MCP servers.

`FaultyHttp` runs in the test's own event loop, `FaultyStdio` is a command to start, and `FAULTS` is the table of what
they can do wrong; `python -m recloser.testing.faulty --list` prints it. The servers are written by hand on the standard
library alone, so that they start at once and can break every rule of the protocol; without a fault they keep them all,
in both eras.
"""

from recloser.testing.faulty.faults import FAULTS, Fault
from recloser.testing.faulty.in_process import FaultyHttp
from recloser.testing.faulty.protocol import Era
from recloser.testing.faulty.subprocesses import FaultyStdio, script
from recloser.testing.faulty.web import Answers, Seen

__all__ = ["FAULTS", "Answers", "Era", "Fault", "FaultyHttp", "FaultyStdio", "Seen", "script"]
