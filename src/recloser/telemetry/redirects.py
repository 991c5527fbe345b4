"""Sending to a collector that answers with a redirect: the exporter takes that for a success, and it is none."""

from __future__ import annotations

import os
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import requests

from recloser.redact import redact

__all__ = ["Redirected", "Session", "session"]

_OWN: Final = ("OTEL_PYTHON_EXPORTER_OTLP_HTTP_", "_CREDENTIAL_PROVIDER")
"""How the variables begin and end that name somebody's own session."""


class Redirected(requests.RequestException):
    """What was sent has not been taken."""


class Session(requests.Session):
    """A session whose request fails where its answer is a redirect, or what was sent was left behind at one."""

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request and return its answer.

        Raises:
            Redirected: it was redirected, and has not arrived at the end as it was sent.
        """
        answer = super().request(*args, **kwargs)
        if 300 <= answer.status_code < 400:
            raise Redirected(_told(answer))
        # Older versions of the exporter follow. At 307 and 308 the request stays as it is, else a GET is left of it.
        if answer.history and answer.request.method != answer.history[0].request.method:
            raise Redirected(_told(answer.history[0]))
        return answer


def session() -> Session | None:
    """Return a session for an exporter; None where a variable names one that has credentials of its own."""
    begin, end = _OWN
    return None if any(name.startswith(begin) and name.endswith(end) for name in os.environ) else Session()


def _told(answer: requests.Response) -> str:
    location = answer.headers.get("location")
    if not location:
        return f"the collector answered {answer.status_code} and has taken nothing"
    try:
        to = urlsplit(urljoin(answer.url, location))
        # Neither its user nor its query, which may be secret, nor a path, which may hold a token.
        where = redact(f"{to.scheme}://{to.hostname}" + (f":{to.port}" if to.port else ""))
    except ValueError:
        where = "what is no URL"
    return f"the collector redirects to {where}; name that endpoint"
