"""What of the things a server is given (headers, variables, arguments, a URL) is secret; and all one router hides."""

from __future__ import annotations

import json
import re
import shlex
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from recloser.redact.names import is_secret_name, is_secret_setting
from recloser.redact.redactor import Redactor

__all__ = ["Hidden", "secret_forms", "secrets_of_arguments", "secrets_of_named", "secrets_of_url"]

EARLIER: Final = 128
"""Secrets that are hidden still though they are out of use: an old process may tell them while its calls end."""
_SCHEME: Final = re.compile(r"(?:basic|bearer|token|apikey)\s+(?=\S)", re.IGNORECASE)
_BASIC: Final = re.compile(r"basic\s+(?P<encoded>[A-Za-z0-9+/]+=*)", re.IGNORECASE)
_TOKEN: Final = 16
"""Letters from which on the user name of a URL, or any cookie, may be a token."""
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://(?=(?P<rest>[^\s\"<>]+))")
_COOKIE: Final = re.compile(r"(?P<name>[^=;\s]+)\s*=\s*(?P<value>[^;]+)")
_SESSION: Final = re.compile(r"sess|sid$", re.IGNORECASE)
# `--token=X`, `API_KEY=X` behind docker's `-e`, `Authorization: Bearer X` behind `--header`.
_NAMED: Final = re.compile(r"(?P<name>[A-Za-z0-9_.\-]+)\s*(?:=|:(?!//))\s*(?P<value>.+)", re.DOTALL)
# `--no-auth` and `--password-stdin` take no value; what follows them is something else.
_SWITCH: Final = re.compile(r"-+(?:allow|disable|enable|no|require|skip|use|without)[-_].*|.*[-_]stdin")
_READ: Final = 16_384
"""Characters of a text that may be a command line: to read its words takes a microsecond for each."""
_ITEMS: Final = re.compile(r"[,;\s]+")
# A document of JSON, or an option whose value is one: `{"a": …`, `--config=[{…`.
_DOCUMENT: Final = re.compile(r"[^\s{\[]*\s*[{\[]\s*[\"{\[\]}]")
# What stands in the place of a secret often; to hide such a word wherever it stands would mangle every text.
_ORDINARY: Final = frozenset({"apikey", "bearer", "digest", "oauth2", "disabled", "enabled", "required", "undefined"})


def secret_forms(value: str) -> Iterator[str]:
    """Yield a secret as it may be told: as it is, what follows `Bearer` and its like, and the password in `Basic`."""
    value = str(value).strip()
    for text in (value, _SCHEME.sub("", value, count=1), _password(value)):
        if text and text.lower() not in _ORDINARY:
            yield text


def _password(value: str) -> str:
    found = _BASIC.fullmatch(value)
    if found is None:
        return ""
    with suppress(ValueError):
        user, _, password = b64decode(f"{found['encoded']}==").decode().partition(":")
        return password or user
    return ""


def secrets_of_named(values: Mapping[str, str]) -> Iterator[str]:
    """Yield the secrets among headers or variables: what goes by the name of one, and those in URLs and in JSON."""
    for name, value in values.items():
        if is_secret_setting(name):
            yield from secret_forms(value)
            if "cookie" in name.lower():
                yield from _secrets_of_cookies(str(value))
            elif name[-1:] in ("s", "S"):
                yield from _secrets_of_list(str(value))
        yield from _secrets_within(str(value))
        # `Server=h;Password=X`, `host=h password=X`: how databases are told where and who.
        for word in _words_of_shell(str(value)):
            if (found := _NAMED.fullmatch(word)) and is_secret_name(found["name"]):
                yield from secret_forms(found["value"])


def secrets_of_arguments(arguments: Iterable[str]) -> Iterator[str]:
    """Yield the secrets in a command line: by their names (`--token X`, `--token=X`), and those in URLs and in JSON."""
    words = [str(argument) for argument in arguments]
    yield from _secrets_of_words(words)
    for word in words:
        yield from _secrets_of_words(_words_of_shell(word))


def _secrets_of_words(words: Iterable[str]) -> Iterator[str]:
    option = ""
    for word in words:
        if is_secret_name(option) and not _SWITCH.fullmatch(option) and not word.startswith("--"):
            yield from secret_forms(word)
        if found := _NAMED.fullmatch(word):
            yield from _secrets_of_option(found["name"], found["value"])
        yield from _secrets_within(word)
        option = word if word.startswith("-") and "=" not in word else ""


def _secrets_of_option(name: str, value: str) -> Iterator[str]:
    # `--sort-key=name` and `--key=server.pem` are options, `STRIPE_KEY=X` is a variable.
    if is_secret_name(name) or not name.startswith("-"):
        yield from secrets_of_named({name: value})
        return
    yield from _secrets_within(value)
    if inner := _NAMED.fullmatch(value):  # `--header=X-Api-Key: X`
        yield from secrets_of_named({inner["name"]: inner["value"]})


def _words_of_shell(text: str) -> list[str]:
    """Return the words of a command line within a text, as `sh -c` takes it; none where it is none, or one word."""
    if _DOCUMENT.match(text) or len(text) > _READ:
        return []
    reader = shlex.shlex(text, posix=True, punctuation_chars=";&|")
    reader.whitespace_split = True
    reader.commenters = ""
    with suppress(ValueError):
        words = list(reader)
        return words if len(words) > 1 else []
    return []


def _secrets_of_list(value: str) -> Iterator[str]:
    for item in _ITEMS.split(value):
        yield from secret_forms(item)


def _secrets_of_cookies(value: str) -> Iterator[str]:
    # A short one, such as `theme=dark`, is a secret by its name alone.
    for found in _COOKIE.finditer(value):
        text = found["value"].strip().strip('"')
        if len(text) >= _TOKEN or is_secret_name(found["name"]) or _SESSION.search(found["name"]):
            yield from secret_forms(text)
            yield from secret_forms(unquote(text))


def _secrets_within(text: str) -> Iterator[str]:
    yield from _secrets_of_urls(text)
    if _DOCUMENT.match(text):
        yield from _secrets_of_json(text)


def _secrets_of_json(text: str) -> Iterator[str]:
    """Yield the secrets in a document, such as a server takes for its whole configuration or for headers."""
    waiting: list[tuple[str, Any]] = []
    with suppress(ValueError, RecursionError):  # No JSON, or none that a server could read.
        waiting.append(("", json.loads(text)))
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            # In documents, `{"key": …, "value": …}` is mostly any pair.
            waiting += [("" if key.lower() == "key" else key, item) for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [(name, item) for item in value]
        elif isinstance(value, str):
            yield from secrets_of_named({name: value})


def _secrets_of_urls(text: str) -> Iterator[str]:
    """Yield the secrets of the URLs that stand in a text, such as the address of a database."""
    for found in _URL.finditer(text):
        yield from secrets_of_url(found.group() + found["rest"])


def secrets_of_url(url: str) -> Iterator[str]:
    """Yield the secrets in a URL: its password, a token for a user, and parameters that go by the name of one."""
    try:
        parts = urlsplit(url)
        said = parse_qsl(parts.query) + parse_qsl(parts.fragment)
        texts = [value for name, value in said if is_secret_setting(name)]
        texts.append(parts.password or "")
        # A token may stand for the user. A name that people know, such as `postgres`, is no secret: to hide it by
        # value would hide the server that is named so.
        alone = parts.password is None and parts.scheme in ("http", "https")
        if len(parts.username or "") >= _TOKEN or alone:
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
