"""Whether an endpoint is worth asking: its circuit opens on failures, and recloses by itself.

pybreaker is the state machine. It knows nothing of asyncio, so no call runs inside it: a call is admitted, awaited
outside, and its outcome replayed through pybreaker's public `call()`.
"""

from recloser.policies.breaker.circuit import CircuitBreaker, CircuitSnapshot

__all__ = ["CircuitBreaker", "CircuitSnapshot"]
