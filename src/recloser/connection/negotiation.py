"""Which era a server speaks: asked once a generation, and never guessed from a fault.

The SDK's own `mode="auto"` takes every error as "an older server": a 503 in the wrong moment then costs the connection
its era for life. Here only a positive sign counts: a well-formed refusal, or, over a pipe, silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import mcp_types as types
from mcp import MCPError
from mcp.client import ClientSession
from mcp_types.version import LATEST_MODERN_VERSION, MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from recloser.connection.own import Ask, unseen
from recloser.facts import facts_of, original_data
from recloser.options import Era

__all__ = ["Silent", "negotiate"]

SILENCE: Final = 10.0
"""Seconds without an answer to `server/discover` that make a pipe's server an older one: the SDK's own number. Where
silence says nothing of an era there is no such limit: a server that fetches its packages first is silent too."""


class Silent(Exception):  # noqa: N818 - not an error but an observation, which the caller remembers
    """A pipe's server did not answer `server/discover`: it is of the handshake era."""


async def negotiate(session: ClientSession, era: Era, *, pipe: bool, patience: float, ask: Ask = unseen) -> None:
    """Agree on a protocol version with the server.

    `patience` is how many seconds the whole start may take, which the caller sees to. A pipe's server whose era is not
    given counts as silent after a third of it, at most ten seconds. `ask` goes around each request.

    Raises:
        Silent: the server speaks over a pipe and stayed silent; nothing was agreed, call again with era "legacy".
        MCPError: the server refused, answered the handshake with a version that is none of it, or the transport failed.
        TimeoutError: the transport did not take a message in a time of its own: a fault, and no sign.
    """
    if era == "legacy":
        await _initialize(session, ask)
        return
    silence = min(SILENCE, patience / 3) if pipe and era == "auto" else None
    try:
        raw = await _discover(session, silence, ask, partial(_tells_era, era=era, pipe=pipe))
    except TimeoutError:
        if silence is None:
            raise
        raise Silent from None
    except MCPError as error:
        if era == "modern" or not _means_older(error):
            raise
    else:
        if _adopt(session, raw, era):
            return
    await _initialize(session, ask)


async def _initialize(session: ClientSession, ask: Ask) -> None:
    with ask("initialize"):
        try:
            await session.initialize()
        except RuntimeError as error:
            # The SDK has no type of its own for this, and uses the one for mistakes of its caller too.
            if not str(error).startswith("Unsupported protocol version"):
                raise
            raise MCPError(types.UNSUPPORTED_PROTOCOL_VERSION, "unsupported protocol version") from error


async def _discover(
    session: ClientSession, silence: float | None, ask: Ask, answer: Callable[[Exception], bool]
) -> dict[str, Any]:
    """Ask at our newest version, and once more at one of those that the server names if it does not know that.

    `silence` is after how many seconds no answer is one, if ever; who has answered once is not silent.
    """
    try:
        with ask("server/discover", answer):
            async with asyncio.timeout(silence):
                return await session.send_discover(LATEST_MODERN_VERSION)
    except MCPError as error:
        named = _versions_named(error)
        mutual = [known for known in MODERN_PROTOCOL_VERSIONS if known in named]
        if not mutual:
            raise
    with ask("server/discover", answer):
        return await session.send_discover(mutual[-1])


def _adopt(session: ClientSession, raw: dict[str, Any], era: Era) -> bool:
    """Install what the server says of itself; False if that names no modern version, so that it is an older one."""
    try:
        result = types.DiscoverResult.model_validate(raw)
    except ValidationError:
        if era == "modern":
            raise
        return False
    if era == "auto" and not any(known in result.supported_versions for known in MODERN_PROTOCOL_VERSIONS):
        return False
    session.adopt(result)
    return True


def _tells_era(error: Exception, /, *, era: Era, pipe: bool) -> bool:
    """Return whether a failure of `server/discover` only tells what was asked: that the server is an older one."""
    if era != "auto":
        return False
    return pipe if isinstance(error, TimeoutError) else isinstance(error, MCPError) and _means_older(error)


def _versions_named(error: MCPError) -> list[str]:
    if error.code != types.UNSUPPORTED_PROTOCOL_VERSION:
        return []
    data = original_data(error.error.data)
    try:
        return list(types.UnsupportedProtocolVersionErrorData.model_validate(data).supported)
    except ValidationError:
        return []


# What a server of the handshake era may answer to a request that it does not know: gateways and SDKs use all of these.
_REFUSALS: Final = frozenset({400, 404, 405, 406, 409, 410, 415, 422, 501})


def _means_older(error: MCPError) -> bool:
    """Return whether an answer to `server/discover` is a sign of an older server rather than of a fault."""
    facts = facts_of(error)
    if facts is not None:
        return facts.kind in ("status", "session_lost") and facts.status in _REFUSALS
    # -32000 is the SDK's word for a connection that ended, -32001 for its own clock.
    return error.code not in (types.CONNECTION_CLOSED, types.REQUEST_TIMEOUT)
