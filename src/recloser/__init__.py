"""Resilient routing in front of many MCP servers: an agent keeps working when its servers do not."""

from recloser.call import Call
from recloser.errors import (
    AuthError,
    Cause,
    CircuitOpen,
    CriticalError,
    ErrorPayload,
    RouterError,
    TransientError,
    error_of,
)
from recloser.fanout import FanOut, Reply
from recloser.health import EndpointHealth, ServerHealth
from recloser.options import Breaker, Bulkhead, Limits, Retry, Server, Timeouts
from recloser.router import Router
from recloser.sync import SyncRouter
from recloser.version import __version__ as __version__

__all__ = [
    "AuthError",
    "Breaker",
    "Bulkhead",
    "Call",
    "Cause",
    "CircuitOpen",
    "CriticalError",
    "EndpointHealth",
    "ErrorPayload",
    "FanOut",
    "Limits",
    "Reply",
    "Retry",
    "Router",
    "RouterError",
    "Server",
    "ServerHealth",
    "SyncRouter",
    "Timeouts",
    "TransientError",
    "error_of",
]
