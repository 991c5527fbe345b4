"""What a server sends behind an answer: nobody asked for it, so nobody may be given it.

A connection is used again for the next request. The second copy of an answer, or a refusal behind it, that came with
the answer would be read as the answer to that next request, which may be of another tool and another caller: one that
ran would be told to have failed, or to have been refused, and be sent once more.
"""

from __future__ import annotations

import weakref
from typing import Any

import httpx2
from httpcore2 import AsyncConnectionInterface, Origin

__all__ = ["drop_strays"]


def drop_strays(transport: httpx2.AsyncHTTPTransport) -> None:
    """Let no connection of a transport be used again once more has come over it than the answers that were asked for.

    What has not been read yet is looked for by httpcore2 itself; this is about what was read together with an answer.
    """
    pool: Any = transport._pool  # noqa: SLF001 - httpx2 has no way to another pool
    create = pool.create_connection

    def create_connection(origin: Origin) -> AsyncConnectionInterface:
        connection: Any = create(origin)
        itself = weakref.proxy(connection)  # one that held itself would stay after it was closed, until a collection
        has_expired = type(connection).has_expired
        connection.has_expired = lambda: has_expired(itself) or has_strays(itself)
        made: AsyncConnectionInterface = connection
        return made

    pool.create_connection = create_connection


def has_strays(connection: Any) -> bool:
    """Return whether bytes have been read over a connection that belong to no answer."""
    while (inner := getattr(connection, "_connection", None)) is not None:  # a proxy's holds another
        connection = inner
    parser = getattr(connection, "_h11_state", None)
    return parser is not None and bool(parser.trailing_data[0])
