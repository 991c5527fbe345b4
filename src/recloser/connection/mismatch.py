"""A call that is refused because its tool's schema has changed: the tools are listed again, and it is sent once more.

In the modern era arguments of a tool are mirrored into HTTP headers, as the tool's schema asks. A server must refuse
what does not match before it runs the tool; but a tool that speaks to a server of its own may say the same of that one.
So the refusal alone is no proof: it is one if the schema, listed again, asks for other headers than were sent.
"""

from __future__ import annotations

from typing import Any

from mcp import MCPError
from mcp.client import ClientSession
from mcp.shared.inbound import MCP_PARAM_HEADER_PREFIX, mcp_param_headers, x_mcp_header_map
from mcp_types import HEADER_MISMATCH
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from recloser.call import Call
from recloser.connection.fresh import FreshLists
from recloser.facts import facts_of

__all__ = ["listed_anew"]


async def listed_anew(error: MCPError, session: ClientSession, call: Call[Any], lists: FreshLists, before: int) -> bool:
    """Return whether a refusal of a call is proved to be about its headers, so that it is to be sent once more.

    What it takes to prove it is to list the tools again, unless that was done since `lists.now` was `before`.

    Raises:
        MCPError: they could not be listed; whether the call has run is not known.
    """
    modern = session.protocol_version in MODERN_PROTOCOL_VERSIONS
    if error.code != HEADER_MISMATCH or call.method != "tools/call" or not modern:
        return False
    facts = facts_of(error)
    if facts is None or facts.status != 400:
        # Not over our HTTP, or not as the protocol has a server refuse it; later calls may need the new lists.
        lists.changed()
        return False
    sent = {name: text for name, text in call.trail.headers.items() if name.startswith(MCP_PARAM_HEADER_PREFIX)}
    begun, call.trail.begun = call.trail.begun, True
    await lists.fetch(session, unless_after=before)
    schema = lists.inputs.get(call.name)
    if schema is None or mcp_param_headers(x_mcp_header_map(schema), call.params.get("arguments") or {}) == sent:
        return False
    call.trail.begun = begun
    return True
