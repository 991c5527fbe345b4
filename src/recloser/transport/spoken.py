"""What httpx2 tells the log of our requests: of an address where it leads to, and nothing that may be a secret.

It tells every request at INFO with its whole URL: a password, the key in a query or in a path would stand in the log
of any host that has switched that on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import httpx2

__all__ = ["origins_only"]

_OURS: Final[ContextVar[bool]] = ContextVar("recloser_request", default=False)


class _Origins(logging.Filter):
    """Shortens the URLs in a record that was made while a request of ours was sent; those of others stay whole."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True: every record is told."""
        if _OURS.get() and isinstance(record.args, tuple):
            record.args = tuple(_short(each) if isinstance(each, httpx2.URL) else each for each in record.args)
        return True


_FILTER: Final = _Origins()
_TELLS: Final = logging.getLogger("httpx2")


@contextmanager
def origins_only() -> Iterator[None]:
    """Let the log have no more than the origin of what is asked meanwhile."""
    _TELLS.addFilter(_FILTER)  # once, however often
    token = _OURS.set(True)
    try:
        yield
    finally:
        _OURS.reset(token)


def _short(url: httpx2.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}/…"
