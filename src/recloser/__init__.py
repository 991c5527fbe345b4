"""Resilient routing in front of many MCP servers: an agent keeps working when its servers do not.

The public names are loaded when they are first used: a part of the package that needs little, such as the faulty server
of `recloser.testing`, starts in a tenth of the time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from recloser.version import __version__ as __version__

if TYPE_CHECKING:
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

_HOMES = {
    "call": ("Call",),
    "errors": (
        "AuthError",
        "Cause",
        "CircuitOpen",
        "CriticalError",
        "ErrorPayload",
        "RouterError",
        "TransientError",
        "error_of",
    ),
    "fanout": ("FanOut", "Reply"),
    "health": ("EndpointHealth", "ServerHealth"),
    "options": ("Breaker", "Bulkhead", "Limits", "Retry", "Server", "Timeouts"),
    "router": ("Router",),
    "sync": ("SyncRouter",),
}

if not TYPE_CHECKING:  # pragma: no branch - a type checker would take any name for one of the package

    def __getattr__(name: str) -> Any:
        for home, names in _HOMES.items():
            if name in names:
                value = getattr(import_module(f"recloser.{home}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module 'recloser' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
