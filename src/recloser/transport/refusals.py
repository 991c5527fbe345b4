"""Texts of responses that are read for as long as they can matter, since status and headers are there already."""

from __future__ import annotations

import logging
from typing import Final

import anyio
import httpx2

from recloser.facts import SPEAK_FOR_THEMSELVES
from recloser.transport.bodies import TooLarge, announced_length, content_type, read_body

__all__ = ["dismiss", "read_refusal"]

REFUSAL: Final = 64 * 1024
"""Bytes read of a refusal that is not JSON: enough to see whether it is about our session."""
TEXT: Final = 0.75
"""Seconds for the text of a refusal whose meaning depends on it; less than an attempt has as a rule."""
BRIEF: Final = 0.2
"""The same where the status says it all, so that the connection can be used again."""

_log = logging.getLogger("recloser")


async def read_refusal(response: httpx2.Response, max_json: int, *, session: bool) -> bytes:
    """Return the text of a refusal and close its response; what cannot be read, or does not come in time, is empty.

    `session` says whether the request named a session of ours: then a 401 may be about that.
    """
    status = response.status_code
    text = status not in SPEAK_FOR_THEMSELVES or (status == 401 and session)
    limit = max_json if content_type(response) == "application/json" else REFUSAL
    return await _read(response, limit, TEXT if text else BRIEF)


async def dismiss(response: httpx2.Response) -> None:
    """Close a response whose text matters to nobody.

    It is read first, if it is short: a connection with something left on it could not be used again.
    """
    await _read(response, REFUSAL, BRIEF)


async def _read(response: httpx2.Response, limit: int, seconds: float) -> bytes:
    body = b""
    try:
        with anyio.move_on_after(seconds):
            body = await read_body(response, limit, announced_length(response))
    except (httpx2.RequestError, httpx2.StreamError, TooLarge):
        _log.debug("the text of a response with status %d could not be read", response.status_code)
    await response.aclose()
    return body
