"""How a running HTTP server is told what to do wrong, and tells what it has counted: a page."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from recloser.testing.faulty.connection import Exchange
from recloser.testing.faulty.control import set_counts
from recloser.testing.faulty.deeds import encoded
from recloser.testing.faulty.plan import Order
from recloser.testing.faulty.web import HttpServer
from recloser.testing.faulty.work import Json

__all__ = ["control_page", "counters"]


def counters(server: HttpServer) -> Json:
    """Return what a server has counted, as plain JSON values."""
    return {
        "executions": dict(Counter(entry.tool for entry in server.core.work.ledger.entries())),
        "requests": dict(server.requests),
        "faults": [order.fault.name for order in server.plan.orders],
        "fired": len(server.plan.tally.read()),
        "cancelled": server.cancelled,
        "sessions": len(server.sessions),
        "connections": len(server.connections),
    }


def control_page(server: HttpServer, exchange: Exchange) -> None:
    """Answer a request for `/control`: GET returns the counters, POST changes what goes wrong.

    A POST holds `fault` (null heals) with `after`, `times`, `seconds`, `on`, `tool`, `arguments` and `keep`; or any of
    `extra` (further tools), `page` (size of a page) and `announce` (a notification's method).
    """
    try:
        if exchange.verb == "POST":
            _apply(server, json.loads(exchange.body))
    except (TypeError, ValueError, RecursionError) as error:
        exchange.respond(400, encoded({"error": str(error)}).encode())
    else:
        exchange.respond(200, encoded(counters(server)).encode())


def _apply(server: HttpServer, asked: Any) -> None:
    if not isinstance(asked, dict):
        raise TypeError(f"expected an object, got {asked!r}")
    set_counts(server.core, asked)
    announced = asked.pop("announce", None)
    if "fault" in asked:
        keep = bool(asked.pop("keep", False))
        if asked["fault"] is None:
            server.plan.heal()
        else:
            order = Order.of(**asked)
            order.check("http", server.core.era)
            server.plan.add(order, keep=keep)
    elif asked:
        raise ValueError(f"not understood: {', '.join(sorted(asked))}")
    if announced is not None:
        server.core.announce(str(announced))
