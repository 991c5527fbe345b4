"""Faults as policies: they stand innermost, before the connection, and strike a share of the calls.

    faults = Fault("server_error", rate=0.2, seed=7)
    Server("search", url, chaos=[Latency(normal(0.2, 0.05)), faults])
    faults.off()

Each is a policy of the one shape `async (call, call_next) -> result`, so that everything around it (attempt timeout,
circuit, bulkhead, retries, deadline) works as it does against a server that fails in this way. They strike calls only:
connecting, listing and signs of life go on. For faults of a connection take `recloser.testing.faulty` or
`recloser.testing.proxy`.
"""

from recloser.testing.chaos.delays import Blackhole, Delay, Latency, exponential, lognormal, normal, uniform
from recloser.testing.chaos.faults import AuthFailure, Disconnect, Fault, Garbage, RateLimited
from recloser.testing.chaos.policy import Chance, ChaosPolicy, Phase

__all__ = [
    "AuthFailure",
    "Blackhole",
    "Chance",
    "ChaosPolicy",
    "Delay",
    "Disconnect",
    "Fault",
    "Garbage",
    "Latency",
    "Phase",
    "RateLimited",
    "exponential",
    "lognormal",
    "normal",
    "uniform",
]
