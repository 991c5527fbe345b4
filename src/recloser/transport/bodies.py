"""The bodies of responses: what they are said to be, and all of their bytes up to a limit."""

from __future__ import annotations

from typing import Final

import httpx2

__all__ = ["TooLarge", "announced_length", "content_type", "own_headers", "read_body", "whole"]

_FRAMING: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class TooLarge(Exception):  # noqa: N818 - a verdict that never leaves the transport
    """A body has more bytes than allowed."""


def content_type(response: httpx2.Response) -> str:
    """Return the media type that the body is said to have."""
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(response: httpx2.Response, limit: int, announced: int | None) -> bytes:
    """Return the whole body, of which the header announced that many bytes.

    Raises:
        TooLarge: it has more than `limit` bytes; the response is closed.
    """
    if announced is not None and announced <= limit:
        return await response.aread()
    parts: list[bytes] = []
    size = announced or 0
    if size <= limit:
        async for part in response.aiter_bytes():
            parts.append(part)
            size += len(part)
            if size > limit:
                break
        else:
            return b"".join(parts)
    await response.aclose()
    raise TooLarge


def announced_length(response: httpx2.Response) -> int | None:
    """Return the length that the body will have, if that is known; HTTP itself then holds the server to it."""
    length: str = response.headers.get("content-length", "")
    if not length.isdecimal() or "content-encoding" in response.headers or "transfer-encoding" in response.headers:
        return None  # what is unpacked may have any length, and chunks win over a length beside them
    return int(length[:19])


def whole(response: httpx2.Response, body: bytes) -> httpx2.Response:
    """Return a response whose body has been read, for a reader that wants to read it again."""
    return httpx2.Response(response.status_code, headers=own_headers(response), content=body, request=response.request)


def own_headers(response: httpx2.Response) -> list[tuple[str, str]]:
    """Return the headers but those that say how the bytes are framed: of other bytes they would not be true."""
    return [(name, value) for name, value in response.headers.multi_items() if name not in _FRAMING]
