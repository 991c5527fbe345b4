"""What of the things that a server is given (headers, variables, a URL) is secret; and all that one router hides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from recloser.redact.names import is_secret_name
from recloser.redact.redactor import Redactor

__all__ = ["Hidden", "secret_forms", "secrets_of_named", "secrets_of_url"]

EARLIER: Final = 128
"""Secrets that are hidden still though they are out of use: an old process may tell them while its calls end."""
_SCHEME: Final = re.compile(r"(?:basic|bearer|token|apikey)\s+(?=\S)", re.IGNORECASE)
_TOKEN: Final = 16
"""Letters from which on the user name of a URL may be a token, also where a password follows it."""


def secret_forms(value: str) -> Iterator[str]:
    """Yield a secret as it may be told: as it is, and what follows `Bearer` and its like in it."""
    value = str(value).strip()
    for text in (value, _SCHEME.sub("", value, count=1)):
        if text:
            yield text


def secrets_of_named(values: Mapping[str, str]) -> Iterator[str]:
    """Yield the secrets among headers or variables: what goes by the name of one."""
    for name, value in values.items():
        if is_secret_name(name):
            yield from secret_forms(value)


def secrets_of_url(url: str) -> Iterator[str]:
    """Yield the secrets in a URL: its password, a token for a user, and parameters that go by the name of one."""
    try:
        parts = urlsplit(url)
        texts = [value for name, value in parse_qsl(parts.query) if is_secret_name(name)]
        texts.append(parts.password or "")
        # A token may stand for the user. A name that people know, such as `postgres`, is no secret: to hide it by
        # value would hide the server that is named so.
        if len(parts.username or "") >= _TOKEN or parts.password is None:
            texts.append(parts.username or "")
    except ValueError:
        return  # No URL; who checks it will say so.
    for text in texts:
        if text:
            yield from secret_forms(text)
            yield from secret_forms(unquote(text))


class Hidden:
    """The secrets of one router, whatever its servers come to. Written by `use`.

    Args:
        given: what was given as a secret by itself; it stays one.
    """

    def __init__(self, given: Iterable[str]) -> None:
        self._given = tuple(given)
        self._used: dict[str, None] = {}
        self._earlier: dict[str, None] = {}
        self.redactor = Redactor(self._given)
        """What redacts them; another one after each change."""

    def use(self, secrets: Iterable[str]) -> None:
        """Hide these from now on, and of those that are in use no more the latest."""
        used = dict.fromkeys(secrets)
        if used.keys() == self._used.keys():
            return
        for gone in (*self._earlier, *self._used):
            self._earlier.pop(gone, None)
            if gone not in used:
                self._earlier[gone] = None
        for oldest in tuple(self._earlier)[:-EARLIER]:
            del self._earlier[oldest]
        self._used = used
        self.redactor = Redactor((*self._given, *used, *self._earlier))
