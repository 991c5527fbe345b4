"""For tests of hosts and servers: faults, clocks and servers that misbehave."""
