"""What spans say of calls and servers, in the words of the conventions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from recloser.call import Call
from recloser.options import Server
from recloser.redact import Redactor

__all__ = ["CALLS", "OTHER", "SCOPE", "Targets", "error_type", "reached", "target_attributes"]

SCOPE: Final = "recloser"
"""The instrumentation scope of all our spans and metrics."""

OTHER: Final = "_OTHER"
"""Stands for a name that is in no server's list: such names come from callers, without end."""

LONGEST: Final = 128
"""Characters of a name, as the specification of MCP bounds them; a longer one is `_OTHER`."""

REMEMBERED: Final = 4096
"""Titles and attributes that are kept: making them, with the redacted name, costs more than a span."""

CALLS: Final[Mapping[str, str]] = {
    "tools/call": "execute_tool",
    "prompts/get": "get_prompt",
    "resources/read": "read_resource",
    "completion/complete": "complete",
}
"""What a logical call of each method is called."""

_TARGETS: Final[Mapping[str, str]] = {"tools/call": "gen_ai.tool.name", "prompts/get": "gen_ai.prompt.name"}
"""Where a method's target stands; a resource's URI stands nowhere, since it may hold anything."""


def target_attributes(server: Server) -> dict[str, str | int]:
    """Return where a server is, in the attributes of the conventions: transport, address, port."""
    if server.kind == "stdio":
        return {"network.transport": "pipe"}
    if server.url is None:
        return {}
    parts = urlsplit(server.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found: dict[str, str | int] = {"network.transport": "tcp", "network.protocol.name": "http", "server.port": port}
    return found | ({"server.address": parts.hostname} if parts.hostname else {})


class Targets:
    """Says what calls are about: the title of a span, and the attributes that are the same each time.

    Names come from servers, so they are redacted. Written by its own methods.
    """

    def __init__(self, redactor: Callable[[], Redactor]) -> None:
        self._redactor = redactor
        self._by: Redactor | None = None
        self._known: dict[tuple[Any, ...], tuple[Any, str, dict[str, Any]]] = {}

    def of_call(self, call: Call[Any], server: str | None) -> tuple[str, dict[str, Any]]:
        """Return the title of a call's span, and its attributes to add to; `server` is None where none is asked."""
        key = call.method, call.name if call.known else None, server
        known = self._kept().get(key)
        if known is None:
            known = self._known[key] = (None, self._title(CALLS[call.method], call), self._about(call, server))
        return known[1], known[2].copy()

    def of_attempt(
        self, call: Call[Any], server: Server, endpoint: str, version: str | None
    ) -> tuple[str, dict[str, Any]]:
        """Return the same of an attempt."""
        key = call.method, call.name if call.known else None, endpoint, version
        known = self._kept().get(key)
        # A reload may bring another server under the same name.
        if known is None or known[0] is not server:
            about = self._about(call, server.name) | reached(server, version) | {"recloser.endpoint.name": endpoint}
            known = self._known[key] = (server, self._title(call.method, call), about)
        return known[1], known[2].copy()

    def of_listed(self, what: str, call: Call[Any]) -> tuple[str, dict[str, Any]]:
        """Return the title of a span and its target, of a call whose name was listed only while it ran."""
        return self._title(what, call), {_TARGETS[call.method]: self._name(call)}

    def _kept(self) -> dict[tuple[Any, ...], tuple[Any, str, dict[str, Any]]]:
        if (redactor := self._redactor()) is not self._by or len(self._known) >= REMEMBERED:
            self._by = redactor  # a reload has brought new secrets
            self._known.clear()
        return self._known

    def _name(self, call: Call[Any]) -> str:
        """Return a call's target as it may be shown: its own name where that is in a server's list."""
        if not call.known or len(call.name) > LONGEST:
            return OTHER
        return self._redactor().text(call.name)

    def _title(self, what: str, call: Call[Any]) -> str:
        return f"{what} {self._name(call)}" if call.method in _TARGETS else what

    def _about(self, call: Call[Any], server: str | None) -> dict[str, Any]:
        told: dict[str, Any] = {"mcp.method.name": call.method, "recloser.server.name": server or OTHER}
        key = _TARGETS.get(call.method)
        if key is not None:
            told[key] = self._name(call)
        if call.method == "tools/call":
            told["gen_ai.operation.name"] = "execute_tool"
            told["gen_ai.tool.type"] = "extension"
        return told


def reached(server: Server, version: str | None) -> dict[str, Any]:
    """Return how a server is reached, and in which version of the protocol."""
    attributes: dict[str, Any] = {"recloser.server.name": server.name, **target_attributes(server)}
    if version is not None:
        attributes["mcp.protocol.version"] = version
    return attributes


def error_type(code: str | None, jsonrpc_code: int | None, *, is_error: bool) -> str | None:
    """Return what the conventions for MCP call a failure: `tool_error`, the JSON-RPC code, else our code."""
    if code is None:
        return "tool_error" if is_error else None
    if code == "cancelled":
        return None  # a caller's own will is no error
    return code if jsonrpc_code is None else str(jsonrpc_code)
