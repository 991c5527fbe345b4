"""The way of one call through the router: resolved, sent, and brought back with a payload that tells all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import mcp_types as types

from recloser.arguments import check, checked_name, wire_meta, wire_params
from recloser.call import TOOL_CALL, Call, Trail, new_call_id
from recloser.classify import classify
from recloser.errors import RouterError
from recloser.events import CircuitState
from recloser.fleet import Fleet
from recloser.observer import Observer, Watched, as_told

__all__ = ["make", "usual"]

R = TypeVar("R")


def usual(
    fleet: Fleet, name: str, arguments: Mapping[str, Any], session: str | None, caller: str | None
) -> Call[types.CallToolResult] | None:
    """Return a call ready to be made, in one step; None where the tool was not called before, or cannot be.

    What this saves is a good part of what the router adds to a call over HTTP.

    Raises:
        TypeError: something has the wrong type.
    """
    if session is not None:
        checked_name(session, "session")
    if caller is not None:
        checked_name(caller, "caller")
    tool = fleet.catalog.found(checked_name(name))
    if tool is None:
        return None
    limit = fleet.server(tool.server).limits.arguments
    params = {"name": tool.own, "arguments": arguments}
    try:
        params = wire_params(params, server=tool.server, what=tool.own, limit=limit)
    except RouterError:
        return None
    return TOOL_CALL.replace(
        key=tool.name,
        server=tool.server,
        name=tool.own,
        params=params,
        known=True,
        safe=tool.safe,
        session=session,
        caller=caller,
        call_id=new_call_id(),
        trail=Trail(),
    )


async def make(call: Call[R], fleet: Fleet, observer: Observer, *, ready: bool = False) -> R:
    """Make one call; one that is `ready` is sent as it is.

    Raises:
        RouterError: it failed; nothing else leaves but a caller's own cancellation.
        TypeError, ValueError: a programming mistake in the call itself.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    refused: Exception | None = None
    if not ready:
        check(call)
        try:
            # In two steps: a call whose arguments are refused is told of by the names of what it was for.
            call = _resolve(call, fleet)
            call = _sendable(call, fleet)
        except Exception as error:  # noqa: BLE001 - raised again below, where it is observed
            refused = error
    watched = _watch(call, fleet, observer) if observer.watching else None
    result: R | None = None
    failed: RouterError | None = None
    cancelled = False
    try:
        if refused is not None:
            raise refused
        result = cast("R", await fleet.upstream(call.server or "").send(call))
    except RouterError as error:
        failed = _complete(error, call, loop.time() - begun, watched, observer)
        raise
    except asyncio.CancelledError:
        cancelled = True
        raise
    except Exception as error:
        failed = _complete(classify(error, server=call.server or ""), call, loop.time() - begun, watched, observer)
        raise failed from error
    else:
        return result
    finally:
        if failed is not None:
            observer.hide(failed)
        if watched is not None:
            duration = loop.time() - begun
            watched.end(result, failed, cancelled=cancelled, duration=duration, circuit=_circuit(call, fleet))
        # An error holds this frame; a frame that held it too would keep the call's arguments until a collection.
        refused = failed = None


def _watch(call: Call[Any], fleet: Fleet, observer: Observer) -> Watched:
    upstream = fleet.upstreams.get(call.server or "")
    timeout = None if upstream is None else upstream.server.timeouts.budget(call.timeout)
    return Watched(call, observer, circuit=_circuit(call, fleet), timeout=timeout)


def _circuit(call: Call[Any], fleet: Fleet) -> CircuitState | None:
    upstream = fleet.upstreams.get(call.server or "")
    return None if upstream is None else upstream.circuit


def _resolve(call: Call[R], fleet: Fleet) -> Call[R]:
    """Return the call with its server, the server's own name for the thing, and parameters that are still unchecked.

    Raises:
        CriticalError: the name is not known.
    """
    catalog = fleet.catalog
    if call.method == "tools/call":
        tool = catalog.tool(call.key, call.server)
        return call.replace(
            key=tool.name,
            server=tool.server,
            name=tool.own,
            params={"name": tool.own, "arguments": call.params.get("arguments") or {}},
            known=not tool.provisional,
            safe=tool.safe if call.idempotent is None else call.idempotent,
            settle=_settling(call, fleet) if tool.provisional else None,
        )
    if call.method == "prompts/get":
        prompt = catalog.prompt(call.key, call.server)
        return call.replace(
            key=prompt.name,
            server=prompt.server,
            name=prompt.own,
            params={"name": prompt.own, "arguments": call.params.get("arguments") or {}},
            known=not prompt.provisional,
            safe=True,
            settle=_settling(call, fleet) if prompt.provisional else None,
        )
    if call.method == "resources/read":
        resource = catalog.resource(call.key, call.server)
        params = {"uri": resource.uri}
        return call.replace(server=resource.server, name=resource.uri, params=params, known=resource.listed, safe=True)
    server, reference = catalog.completion(call.params["ref"], call.server)
    own = reference.name if isinstance(reference, types.PromptReference) else reference.uri
    told = reference.model_dump(by_alias=True, mode="json", exclude_none=True)
    return call.replace(server=server, name=own, params={**call.params, "ref": told}, safe=True)


def _settling(asked: Call[R], fleet: Fleet) -> Callable[[Call[R]], Call[R]]:
    """Return what looks a name up again once its server has been listed; until then it is a guess."""

    def settle(call: Call[R]) -> Call[R]:
        known = _resolve(asked, fleet)
        # It stays with the server that it was sent to, and as cautious as it began.
        if known.server != call.server:
            return call
        if known.known:
            call.trail.listed = known.key, known.name
        if known.name == call.name:
            return call  # what was to be sent has been looked through already
        return call.replace(name=known.name, params=_sendable(known, fleet).params)

    return settle


def _sendable(call: Call[R], fleet: Fleet) -> Call[R]:
    """Return a resolved call with nothing in it but JSON: what cannot be written would end the session of all calls.

    Raises:
        CriticalError: its parameters or its `_meta` cannot be sent.
    """
    server = call.server or ""
    limit = fleet.server(server).limits.arguments
    params = wire_params(call.params, server=server, what=call.name, limit=limit)
    meta = wire_meta(call.meta, server=server, what=call.name, limit=limit) if call.meta else None
    return call.replace(params=params, meta=meta)


def _complete(
    error: RouterError, call: Call[Any], elapsed: float, watched: Watched | None, observer: Observer
) -> RouterError:
    """Fill what only the exit knows into an error's payload: which call it was, and what it took."""
    redactor = observer.redactor()
    told = as_told(call)
    server, tool, message = error.payload.server or call.server, told.name or told.key, error.payload.message
    shown = redactor.name(tool)
    if shown != tool or not call.known:
        # A name that looks like a secret, or a caller's text: who asks for what there is not may say anything.
        server, message = server and redactor.name(server), redactor.text(message)
    return error.annotate(
        server=server,
        tool=shown,
        message=message,
        attempts=call.trail.attempts,
        elapsed=round(max(0.0, elapsed), 6),
        retry_after=None if error.payload.retry_after is None else round(error.payload.retry_after, 3),
        trace_id=None if watched is None else watched.trace_id,
    )
