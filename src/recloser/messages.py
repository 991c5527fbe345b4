"""What people and models are told about each failure: one sentence that names the server and says what to do.

No text of a server or of an exception is ever part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["message_for"]

_MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "timeout": "server {server!r} did not answer in time; try again later",
        "connection_lost": "the connection to server {server!r} was lost before it had answered; try again later",
        "unreachable": "server {server!r} cannot be reached; try again later",
        "overloaded": "server {server!r} is overloaded; try again later",
        "server_error": "server {server!r} cannot answer for the moment; try again later",
        "unauthenticated": "server {server!r} does not accept the credentials; log in again",
        "forbidden": "server {server!r} does not allow this; ask its operator for access",
        "server_fault": "server {server!r} failed on this request; use another tool or tell its operator",
        "invalid_request": "server {server!r} refused the request as invalid; correct the arguments",
        "protocol_violation": "server {server!r} does not keep to the protocol; tell its operator",
        "invalid_result": "the tool of server {server!r} ran, but its result does not fit its schema; use another tool",
        "cannot_start": "server {server!r} cannot be started, its command is missing or forbidden; tell its operator",
        "internal": "the call to server {server!r} failed in an unforeseen way ({exception}); tell the operator",
        # Four cases of a code that need a word of their own.
        "capability": "server {server!r} needs something that this client does not offer; use another tool",
        "url": "server {server!r} needs somebody to log in or consent first; do that and call again",
        "too_large": "the answer of server {server!r} is larger than the configured limit; ask for less",
        "proxy": "server {server!r} cannot be reached: the environment names a proxy that cannot be used (HTTP_PROXY,"
        " HTTPS_PROXY or ALL_PROXY); correct that",
    }
)


def message_for(case: str, server: str, *, exception: str | None = None, retry_after: float | None = None) -> str:
    """Return the sentence for a code of `CODES`, or for a case of one.

    `exception` is the type's name; `retry_after` is in seconds.

    Raises:
        KeyError: there is no sentence for the case.
    """
    text = _MESSAGES[case].format(server=server, exception=exception)
    if retry_after is not None:
        text = text.replace("try again later", f"try again in {retry_after:g} s")
    return f"{text}."
