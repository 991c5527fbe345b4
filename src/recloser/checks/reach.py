"""What a server can be reached by at all: URLs, headers and commands that could never be used are found beforehand.

No value is ever shown: it may be a secret, or have one in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

__all__ = ["bare", "flaws"]

Flaw: TypeAlias = tuple[tuple[str | int, ...], str]
"""Where something is wrong, as field and key or index in it, and one sentence."""

_LINE_END: Final = "ends with a line end, as what comes from a file or a variable often does; remove it"
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""RFC 9110, section 5.6.2."""
_NOT_IN_HEADERS: Final = re.compile(r"[^\t\x20-\x7e]")
"""Beyond the visible characters of ASCII no two sides agree what a byte means (RFC 9110, section 5.5)."""
_NOT_IN_URLS: Final = re.compile(r"[\s\x00-\x1f\x7f]")
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
_FOUR_NUMBERS: Final = re.compile(r"\d+\.\d+\.\d+\.\d+")


def flaws(said: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield what is wrong with a server's `url`, `headers`, `command`, `args`, `env` and `cwd`, each by itself."""
    if (url := said.get("url")) is not None and (flaw := _of_url(url)):
        yield ("url",), flaw
    for name, value in (said.get("headers") or {}).items():
        if flaw := _of_header(name, value):
            yield ("headers", name), flaw
    if (command := said.get("command")) is not None and (flaw := _of_text("command", command, empty=False)):
        yield ("command",), flaw
    for index, argument in enumerate(said.get("args") or ()):
        if flaw := _of_text(f"args[{index}]", argument):
            yield ("args", index), flaw
    for name, value in (said.get("env") or {}).items():
        if flaw := _of_variable(name, value):
            yield ("env", name), flaw
    if (cwd := said.get("cwd")) is not None and (flaw := _of_text("cwd", cwd)):
        yield ("cwd",), flaw


def bare(url: str) -> str:
    """Return a URL without what may be secret in it: user info and query."""
    scheme, sep, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{sep}{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def _of_url(url: str) -> str | None:
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in ("http", "https") or not rest:
        return f"url must begin with http:// or https://, got {bare(url)!r}"
    if url.endswith(("\n", "\r")):
        return f"url {_LINE_END}"
    if _NOT_IN_URLS.search(url):
        return "url holds a blank, a line end or a control character"
    return _of_text("url", url) or (None if _has_host(url) else "url must name a host, and a port only by its number")


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host.encode("idna")  # each part of a name has from 1 to 63 characters
        if _FOUR_NUMBERS.fullmatch(host):
            IPv4Address(host)
        return bool(host) and parts.port != 0
    except ValueError:
        return False  # Its text shows parts of the URL, which may hold a password.


def _of_header(name: str, value: str) -> str | None:
    if not name:
        return "a header must have a name"
    if not _TOKEN.fullmatch(name):
        return f"the header {name!r} cannot have this name: letters, digits and !#$%&'*+-.^_`|~ are allowed"
    if name.lower() in _FRAMING:
        return f"the header {name!r} is set for each request; leave it out"
    if value.endswith(("\n", "\r")):
        return f"the header {name!r} {_LINE_END}"
    if "\n" in value or "\r" in value:
        return f"the header {name!r} holds a line end"
    if _NOT_IN_HEADERS.search(value):
        return f"the header {name!r} holds a character that is no visible one of ASCII"
    if value != value.strip():
        return f"the header {name!r} begins or ends with a blank"
    return None


def _of_variable(name: str, value: str | os.PathLike[str]) -> str | None:
    if not name:
        return "an environment variable must have a name"
    if "=" in name:
        # What stands behind it is a value that has got into the name.
        return f"the environment variable {name.partition('=')[0]!r} has a '=' in its name"
    return _of_text("the name of an environment variable", name) or _of_text(
        f"the environment variable {name!r}", value
    )


def _of_text(what: str, value: str | os.PathLike[str], *, empty: bool = True) -> str | None:
    """Return why a text cannot be handed to a program or a server; None if it can."""
    text = os.fsdecode(value)
    if not empty and not text.strip():
        return f"{what} must not be empty"
    if "\0" in text:
        return f"{what} holds a NUL character"
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return f"{what} holds half of a character (a lone surrogate)"
    return None
