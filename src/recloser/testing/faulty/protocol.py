"""What a server answers when nothing is wrong: both eras of the protocol, on any transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeGuard

from recloser.testing.faulty.work import INVALID_PARAMS, Json, Peer, RpcError, Work

__all__ = ["Core", "Era", "Offers", "failure", "is_message", "is_modern", "stamped", "success"]

Era = Literal["legacy", "modern", "dual"]

HANDSHAKE_VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN_VERSION: Final = "2026-07-28"

_PREFIX: Final = "io.modelcontextprotocol/"
VERSION_KEY: Final = _PREFIX + "protocolVersion"
CAPABILITIES_KEY: Final = _PREFIX + "clientCapabilities"
LEVEL_KEY: Final = _PREFIX + "logLevel"
_SUBSCRIPTION_KEY: Final = _PREFIX + "subscriptionId"

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
RESOURCE_NOT_FOUND: Final = -32002
HEADER_MISMATCH: Final = -32020
UNSUPPORTED_VERSION: Final = -32022

_INFO: Final = {"name": "faulty", "version": "1"}
_FEATURES: Final[Json] = {
    "tools": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "prompts": {"listChanged": True},
    "logging": {},
    "completions": {},
}
_RESOURCES: Final[list[Json]] = [
    {"uri": f"test://{name}", "name": name, "mimeType": "text/plain"} for name in ("alpha", "beta", "gamma")
]
_TEMPLATES: Final[list[Json]] = [{"uriTemplate": "test://items/{id}", "name": "item", "mimeType": "text/plain"}]
_PROMPTS: Final[list[Json]] = [
    {"name": "review", "description": "Asks for a review.", "arguments": [{"name": "text", "required": True}]},
    {"name": "greet", "description": "Greets."},
]
_CACHEABLE: Final = frozenset(
    {
        "server/discover",
        "tools/list",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "prompts/list",
    }
)
_NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_KIND_OF_CHANGE: Final = {
    "notifications/tools/list_changed": "toolsListChanged",
    "notifications/prompts/list_changed": "promptsListChanged",
    "notifications/resources/list_changed": "resourcesListChanged",
}


# What reading parameters of any other shape than a tool's ends in: whoever sends them, the server outlives it.
_MISSHAPEN: Final = (AttributeError, LookupError, TypeError, ValueError)


def success(request_id: object, result: Json) -> Json:
    """Return the answer to a request."""
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def failure(request_id: object, error: RpcError) -> Json:
    """Return the answer to a request that ended in an error."""
    body: Json = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return {"jsonrpc": "2.0", "id": request_id, "error": body}


def is_message(message: object) -> TypeGuard[Json]:
    """Return whether something that came has the shape of a JSON-RPC message, so that it can be served or refused."""
    if not isinstance(message, dict) or not isinstance(message.get("params") or {}, dict):
        return False
    meta = (message.get("params") or {}).get("_meta", {})
    named = isinstance(message.get("method", ""), str) and isinstance(message.get("id"), str | int | float | None)
    return named and isinstance(meta, dict)


def is_modern(params: Json) -> bool:
    """Return whether a request carries the envelope of the stateless era."""
    meta = params.get("_meta")
    return isinstance(meta, dict) and VERSION_KEY in meta


class Offers(NamedTuple):
    """What a server lists beside its tools."""

    resources: list[Json] = _RESOURCES
    templates: list[Json] = _TEMPLATES
    prompts: list[Json] = _PROMPTS


class Core:
    """The server behind the transports; what it offers and `page` may be changed at any time."""

    def __init__(self, work: Work, *, era: Era = "dual", page: int = 5, offers: Offers | None = None) -> None:
        self.work = work
        self.offers = Offers() if offers is None else offers
        self.era = era
        self.page = page
        """How many tools, resources or prompts one page of a listing holds."""
        self.audience: set[Callable[[Json], None]] = set()
        """Connections of the handshake era that hear what `announce` says; kept by the transports."""
        self._listeners: dict[int, tuple[Peer, Json]] = {}
        shared: dict[str, Callable[[Json, Peer], Json | Coroutine[Any, Any, Json]]] = {
            "tools/list": lambda params, _: self._listed("tools", self.work.tools(), params),
            "tools/call": self.work.run,
            "resources/list": lambda params, _: self._listed("resources", self.offers.resources, params),
            "resources/templates/list": lambda params, _: self._listed(
                "resourceTemplates", self.offers.templates, params
            ),
            "resources/read": _read,
            "prompts/list": lambda params, _: self._listed("prompts", self.offers.prompts, params),
            "prompts/get": _prompt,
            "completion/complete": lambda *_: {"completion": {"values": ["alpha", "beta"], "hasMore": False}},
        }
        nothing: Callable[[Json, Peer], Json] = lambda *_: {}  # noqa: E731 - one empty result for four methods
        self._legacy = {
            **shared,
            "initialize": _initialized,
            **dict.fromkeys(("ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"), nothing),
        }
        self._modern = {**shared, "server/discover": self._discovered, "subscriptions/listen": self._listened}

    def serves(self, *, modern: bool) -> bool:
        """Return whether it speaks that era."""
        return self.era == "dual" or (self.era == "modern") is modern

    def answer(self, message: Json, peer: Peer) -> Json | Coroutine[Any, Any, Json]:
        """Answer a request: at once, or, where it takes time, by what will return the answer."""
        method, request_id = message["method"], message["id"]
        params = message.get("params") or {}
        try:
            handler = (self._modern if peer.modern else self._legacy).get(method)
            if handler is None:
                raise RpcError(METHOD_NOT_FOUND, f"Method not found: {method}")
            result = handler(params, peer)
        except RpcError as error:
            return failure(request_id, error)
        except _MISSHAPEN as error:
            return failure(request_id, _misshapen(error))
        if isinstance(result, dict):
            return success(request_id, stamped(method, result) if peer.modern else result)
        return self._later(method, request_id, result, peer)

    @staticmethod
    async def _later(method: str, request_id: object, result: Coroutine[Any, Any, Json], peer: Peer) -> Json:
        try:
            done = await result
        except _MISSHAPEN as error:
            return failure(request_id, _misshapen(error))
        return success(request_id, stamped(method, done) if peer.modern else done)

    def refuse(self, message: Json, headers: Mapping[str, str] | None) -> RpcError | None:
        """Return what is wrong with a modern request's envelope and, over HTTP, with its headers."""
        params = message.get("params") or {}
        meta = params.get("_meta")
        if not isinstance(meta, dict) or VERSION_KEY not in meta or CAPABILITIES_KEY not in meta:
            return RpcError(INVALID_PARAMS, f"params._meta must hold {VERSION_KEY} and {CAPABILITIES_KEY}")
        if headers is not None:
            name = _NAMED.get(message["method"])
            expected = {"mcp-protocol-version": meta[VERSION_KEY], "mcp-method": message["method"]}
            if name is not None and name in params:
                expected["mcp-name"] = params[name]
            for header, value in expected.items():
                found = headers.get(header)
                # A value that is no plain ASCII comes encoded; its encoding is not checked here.
                if found != value and not (found or "").startswith("=?base64?"):
                    return RpcError(HEADER_MISMATCH, f"{header} does not match the body")
        if meta[VERSION_KEY] != MODERN_VERSION:
            return self.unsupported(meta[VERSION_KEY])
        return None

    @staticmethod
    def unsupported(requested: object) -> RpcError:
        """Return the error for a version that is not spoken."""
        data = {"supported": [MODERN_VERSION], "requested": requested}
        return RpcError(UNSUPPORTED_VERSION, "Unsupported protocol version", data)

    def announce(self, method: str, params: Json | None = None) -> None:
        """Send a notification to everybody who listens."""
        params = params or {}
        for hear in tuple(self.audience):
            hear({"jsonrpc": "2.0", "method": method, "params": params})
        for peer, wanted in tuple(self._listeners.values()):
            uri = params.get("uri")
            if wanted.get(_KIND_OF_CHANGE.get(method, "")) or uri in wanted.get("resourceSubscriptions", ()):
                peer.notify(method, {**params, "_meta": {_SUBSCRIPTION_KEY: peer.request_id}})

    def _listed(self, key: str, items: list[Json], params: Json) -> Json:
        cursor = params.get("cursor", "0")
        if not str(cursor).isdecimal():
            raise RpcError(INVALID_PARAMS, "Invalid cursor")
        start = int(cursor)
        end = start + self.page
        return {key: items[start:end], **({"nextCursor": str(end)} if end < len(items) else {})}

    def _discovered(self, _params: Json, _peer: Peer) -> Json:
        versions = [MODERN_VERSION, *(HANDSHAKE_VERSIONS if self.era == "dual" else ())]
        return {"supportedVersions": versions, "capabilities": _FEATURES}

    def subscribe(self, params: Json, peer: Peer) -> Callable[[], None]:
        """Tell the sender of a `subscriptions/listen` what it hears of, until what is returned is called."""
        meta = {_SUBSCRIPTION_KEY: peer.request_id}
        wanted = {key: value for key, value in params.get("notifications", {}).items() if value}
        peer.notify("notifications/subscriptions/acknowledged", {"notifications": wanted, "_meta": meta})
        self._listeners[id(peer)] = (peer, wanted)

        def leave() -> None:
            self._listeners.pop(id(peer), None)

        return leave

    async def _listened(self, params: Json, peer: Peer) -> Json:
        leave = self.subscribe(params, peer)
        try:
            await asyncio.Event().wait()
        finally:
            leave()
        raise AssertionError("unreachable: a subscription ends by cancellation")


def _misshapen(error: Exception) -> RpcError:
    return RpcError(INVALID_PARAMS, f"Invalid params: {type(error).__name__}")


def stamped(method: str, result: Json) -> Json:
    """Return a result with what every one of the stateless era carries."""
    hints = {"ttlMs": 0, "cacheScope": "private"} if method in _CACHEABLE else {}
    return {"resultType": "complete", **hints, "_meta": {_PREFIX + "serverInfo": _INFO}, **result}


def _initialized(params: Json, _peer: Peer) -> Json:
    asked = params.get("protocolVersion")
    version = asked if asked in HANDSHAKE_VERSIONS else HANDSHAKE_VERSIONS[-1]
    return {"protocolVersion": version, "capabilities": _FEATURES, "serverInfo": _INFO, "instructions": "Be careful."}


def _read(params: Json, peer: Peer) -> Json:
    uri = str(params.get("uri"))
    if all(resource["uri"] != uri for resource in _RESOURCES) and not uri.startswith("test://items/"):
        code = INVALID_PARAMS if peer.modern else RESOURCE_NOT_FOUND
        raise RpcError(code, "Resource not found", {"uri": uri})
    return {"contents": [{"uri": uri, "mimeType": "text/plain", "text": f"content of {uri}"}]}


def _prompt(params: Json, _peer: Peer) -> Json:
    name = params.get("name")
    if name not in ("review", "greet"):
        raise RpcError(INVALID_PARAMS, f"Unknown prompt: {name}")
    text = (params.get("arguments") or {}).get("text", "Hello.")
    return {"messages": [{"role": "user", "content": {"type": "text", "text": text}}]}
