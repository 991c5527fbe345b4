"""What a caller hands in, checked before anything is sent: a mistake here must not reach a server or end a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from recloser.call import Call, mapping_of
from recloser.checks import flag
from recloser.errors import error_for

__all__ = ["check", "checked_name", "checked_timeout", "wire_meta", "wire_params"]


def checked_name(name: str, what: str = "a tool's name") -> str:
    """Return a name as it is.

    Raises:
        TypeError: it is no string.
    """
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a string, got {name!r}")
    return name


def checked_timeout(timeout: float | None) -> float | None:
    """Return a caller's timeout in seconds.

    Raises:
        TypeError: it is no number.
        ValueError: it is not more than zero, or beyond any float.
    """
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a number of seconds, got {timeout!r}")
    try:
        seconds = float(timeout)
    except OverflowError as error:
        # Not shown: Python refuses to write down very large numbers.
        raise ValueError("timeout must be a number of seconds, got a whole number beyond any float") from error
    if not seconds > 0:
        raise ValueError(f"timeout must be more than 0 seconds, got {timeout!r}")
    return timeout


def check(call: Call[Any]) -> None:
    """Check what a caller says of a call.

    Raises:
        TypeError: something has the wrong type.
        ValueError: its timeout is out of its range.
    """
    checked_name(call.key, "a call's name")
    if not isinstance(call.params, Mapping):
        raise TypeError(f"params must be a mapping, got {type(call.params).__name__}")
    mapping_of(call.params.get("arguments"))
    if call.timeout is not None:
        checked_timeout(call.timeout)
    if call.idempotent is not None:
        flag("idempotent", call.idempotent)
    if call.caller is not None:
        checked_name(call.caller, "caller")
    if call.meta is not None:
        mapping_of(call.meta, "meta")
    if call.progress is not None and not callable(call.progress):
        raise TypeError(f"progress must be a function that is awaited with each report, got {call.progress!r}")
    if call.server is not None:
        checked_name(call.server, "server_name")
    if call.session is not None:
        checked_name(call.session, "session")


def wire_params(params: Mapping[str, Any], *, server: str, what: str, limit: int) -> dict[str, Any]:
    """Return a request's parameters as the JSON values that will be sent.

    Raises:
        CriticalError: they are no JSON, or larger than `limit` bytes.
    """
    return _wire(params, server=server, what=f"the arguments of {what!r}", limit=limit)


def wire_meta(meta: Mapping[str, Any], *, server: str, what: str, limit: int) -> dict[str, Any]:
    """Return a caller's `_meta` as the JSON values that will be sent.

    Raises:
        CriticalError: it is no JSON object, or larger than `limit` bytes.
    """
    return _wire(meta, server=server, what=f"`meta` for {what!r}", limit=limit)


def _wire(given: Mapping[str, Any], *, server: str, what: str, limit: int) -> dict[str, Any]:
    try:
        encoded = to_json(given)
        values: dict[str, Any] = from_json(encoded, allow_inf_nan=False)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise error_for(
            "invalid_request",
            f"{what} for server {server!r} cannot be sent as JSON; send strings, finite numbers, booleans, null, lists "
            "and objects only",
            server=server,
        ) from error
    if len(encoded) > limit:
        raise error_for(
            "invalid_request",
            f"{what} for server {server!r} takes {len(encoded)} bytes, more than the {limit} that limits.arguments "
            "allows; send less, or raise it",
            server=server,
        )
    return values
