"""Where else a server may send a request: nowhere but within its own origin, which may be known by two addresses.

A server that is reached through a proxy or a tunnel knows itself by what the `Host` header names, and gives addresses
that begin so.
"""

from __future__ import annotations

import httpx2

__all__ = ["at_home", "following"]

_Origin = tuple[str, str, int | None]


def following(response: httpx2.Response) -> httpx2.Request | None:
    """Return the request that follows a redirect, if it stays within the origin and keeps the method."""
    request, redirected = response.request, response.next_request
    if redirected is None or redirected.method != request.method:
        return None
    old, new = request.url, redirected.url
    if new.userinfo and new.userinfo != old.userinfo:
        return None
    home = at_home(new, request)
    if home is not new:
        # httpx2 has taken out what was not meant for another origin; this is none.
        return httpx2.Request(
            request.method, home, headers=request.headers, stream=request.stream, extensions=request.extensions
        )
    upgraded = (old.scheme, new.scheme) == ("http", "https") and old.port is None and new.port is None
    return redirected if _origin(old) == _origin(new) or (upgraded and old.host == new.host) else None


def at_home(url: httpx2.URL, request: httpx2.Request) -> httpx2.URL:
    """Return an address that a server gave in answer to a request, as one that we reach it by; any other as it is."""
    ours = request.url
    try:
        named = httpx2.URL(f"{ours.scheme}://{request.headers.get('host', '')}")
    except httpx2.InvalidURL:
        return url
    if _origin(url) != _origin(named) or _origin(named) == _origin(ours):
        return url
    return url.copy_with(host=ours.host, port=ours.port)


def _origin(url: httpx2.URL) -> _Origin:
    return url.scheme, url.host, url.port
