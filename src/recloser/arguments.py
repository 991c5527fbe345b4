"""What a caller hands in, checked before anything is sent: a mistake here must not reach a server or end a session."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from recloser.errors import error_for

__all__ = ["checked_name", "checked_timeout", "mapping_of", "wire_meta", "wire_params"]


def checked_name(name: str, what: str = "a tool's name") -> str:
    """Return a name as it is.

    Raises:
        TypeError: it is no string.
    """
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a string, got {name!r}")
    return name


def mapping_of(arguments: Mapping[str, Any] | None, what: str = "arguments") -> Mapping[str, Any]:
    """Return the arguments, or an empty mapping for None.

    Raises:
        TypeError: they are no mapping of names: a programming mistake, which is never turned into a result.
    """
    if arguments is None:
        return {}
    if not isinstance(arguments, Mapping):
        raise TypeError(f"{what} must be a mapping of names to JSON values, got {type(arguments).__name__}")
    return arguments


def checked_timeout(timeout: float | None) -> float | None:
    """Return a caller's timeout in seconds.

    Raises:
        TypeError: it is no number.
        ValueError: it is not more than zero.
    """
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a number of seconds, got {timeout!r}")
    if not timeout > 0 or math.isnan(timeout):
        raise ValueError(f"timeout must be more than 0 seconds, got {timeout!r}")
    return timeout


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
