"""The proxies that the environment names: one that no client can be made with is told as what it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from mcp import MCPError

from recloser.facts import FAULT_CODE, HttpFacts, type_name

__all__ = ["named_proxies"]


@contextmanager
def named_proxies() -> Iterator[None]:
    """Go around the making of a client, in which nothing but `HTTP_PROXY` and its like can be wrong any more.

    Raises:
        MCPError: a proxy is no URL, is of a kind that is not known, or needs a package that is not there.
    """
    try:
        yield
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        facts = HttpFacts(kind="proxy", sent=False, exception=type_name(error))
        raise MCPError(FAULT_CODE, "HTTP proxy", facts.to_data()) from error
