"""What HTTP said about one failed request, and how that travels past the SDK, which keeps none of it.

The HTTP client answers a failed request with a JSON-RPC error of its own making; these facts ride in that error's
`data`, sealed, so that no server can write them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, TypeAlias, get_args
from uuid import uuid4

__all__ = [
    "FAULT_CODE",
    "SPEAK_FOR_THEMSELVES",
    "HttpFacts",
    "Kind",
    "facts_of",
    "original_data",
    "seconds_asked",
    "type_name",
]

FAULT_CODE: Final = -32099
"""The JSON-RPC code of an error that only our side knows of; a server's own error keeps its code."""

SPEAK_FOR_THEMSELVES: Final = frozenset({401, 403, 407, 408, 425, 429, 502, 503, 504})
"""Statuses that say more than any JSON-RPC code in their body."""

Kind: TypeAlias = Literal[
    "transport",  # the exchange broke: refused, reset, timed out, name not found, …; `exception` says which
    "auth_flow",  # credentials could not be had: the authorization server said no, or the flow itself failed
    "auth_unreachable",  # credentials could not be had for the moment: authorization server down, 5xx or 429
    "status",  # an HTTP status of 400 or more
    "session_lost",  # the server does not know our session any more
    "accepted",  # 202 to a request: no answer will follow
    "redirect",  # a redirect that leaves the server's origin, changes the method or has no target
    "content_type",  # neither JSON nor an event stream
    "malformed",  # not JSON, or no JSON-RPC response
    "wrong_id",  # a response to another request
    "too_large",  # more bytes than allowed
    "proxy",  # a proxy that the environment names, and that no client can be made with
]

# Without this a server could claim that a request was never sent, or a router behind another one could pass the facts
# of its own upstream off as those of the connection between the two.
_SEAL: Final = uuid4().hex
_KEY: Final = "recloser"
_SECONDS: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_LONGEST: Final = 1e10
"""Seconds that a `Retry-After` may ask for; more (three centuries) is taken for this."""
# A second header is joined to the first by a comma. That of a date follows the name of a day, which ends in a small
# letter; a date ends with its zone or its year.
_BETWEEN: Final = re.compile(r"(?<![a-z]),")
_MOST: Final = 8
"""Commas at which it is cut: a header that consists of them shall hold up nobody."""


@dataclass(frozen=True, kw_only=True)
class HttpFacts:
    """One failed HTTP request, without a word of its text.

    Raises:
        ValueError: the kind is unknown, a status has no number, or `retry_after` is negative.
    """

    kind: Kind
    sent: bool
    """Whether the server may have acted on the request; False is a proof that it has not."""
    status: int | None = None
    """The HTTP status; for `auth_flow` and `auth_unreachable` the last one of the authorization server."""
    retry_after: float | None = None
    """Seconds that the answer asked us to wait."""
    www_authenticate: bool = False
    """Whether the answer said how to log in."""
    auth_error: str | None = None
    """The `error` parameter of that, such as `insufficient_scope`."""
    exception: str | None = None
    """The type of the exception underneath, such as `httpx2.ConnectError`."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"unknown kind {self.kind!r}; known: {', '.join(get_args(Kind))}")
        if self.kind == "status" and self.status is None:
            raise ValueError("facts about a status need one")
        if self.retry_after is not None and self.retry_after < 0:
            raise ValueError(f"retry_after must not be negative, got {self.retry_after!r}")

    def to_data(self, original: Any = None) -> dict[str, Any]:
        """Return the facts as the `data` of a JSON-RPC error, next to the data that the server itself sent."""
        data: dict[str, Any] = {_KEY: {**asdict(self), "seal": _SEAL}}
        if original is not None:
            data["data"] = original
        return data


def facts_of(error: object) -> HttpFacts | None:
    """Return the facts that ride in an `MCPError` or in its `data`; None if our HTTP client did not write them."""
    data = getattr(getattr(error, "error", None), "data", error)
    if not isinstance(data, Mapping):
        return None
    packed = data.get(_KEY)
    if not isinstance(packed, Mapping) or packed.get("seal") != _SEAL:
        return None
    return HttpFacts(**{name: packed[name] for name in HttpFacts.__dataclass_fields__})


def original_data(data: Any) -> Any:
    """Return the `data` of a JSON-RPC error as the server sent it."""
    return data.get("data") if facts_of(data) is not None else data


def seconds_asked(headers: Mapping[str, str], *, wall: Callable[[], float] | None = None) -> float | None:
    """Return the seconds that a response's `Retry-After` asks for; None where it is missing, past or unreadable.

    Where there is more than one, the longest counts. A date is read against the response's own `Date`, which knows the
    same clock; `wall`, in seconds since 1970, is asked only where that is missing too.
    """
    now = _moment(headers.get("date", ""))
    if now is None and wall is not None:
        now = wall()
    waits = [_wait(asked.strip(), now) for asked in _BETWEEN.split(headers.get("retry-after", ""), _MOST)]
    return max((min(wait, _LONGEST) for wait in waits if wait is not None), default=None)


def _wait(asked: str, now: float | None) -> float | None:
    if _SECONDS.fullmatch(asked):
        return float(asked)
    until = _moment(asked)
    return None if until is None or now is None or until < now else until - now


def _moment(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        # The oldest of HTTP's three forms of a date names no zone. All are in GMT.
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):  # what email.utils lets through of a server's nonsense
        return None


def type_name(error: BaseException | type[BaseException]) -> str:
    """Return an exception's type as people know it: `httpx2.ConnectError`, `TimeoutError`."""
    kind = error if isinstance(error, type) else type(error)
    package = kind.__module__.partition(".")[0]
    return kind.__qualname__ if package == "builtins" else f"{package}.{kind.__qualname__}"
