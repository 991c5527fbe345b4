"""Secrets that are planted where secrets are, and looked for where none may be."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from recloser.options import Server

__all__ = ["Planted"]


class Planted(logging.Handler):
    """One run's secrets, and a log handler that looks for them: `with Planted(rng) as planted`.

    What recloser itself logs is looked at to the last detail, what others log from warnings on.
    """

    def __init__(self, numbers: random.Random) -> None:
        super().__init__(logging.DEBUG)
        self.token = f"tk{numbers.getrandbits(96):024x}"
        """Stands in headers and in the environment, as a credential."""
        self.content = f"ct{numbers.getrandbits(64):016x}"
        """Stands in arguments and results."""
        self._found: dict[str, None] = {}
        self._level = logging.NOTSET

    def __enter__(self) -> Self:
        logger = logging.getLogger("recloser")
        self._level = logger.level
        logger.setLevel(logging.DEBUG)
        logging.getLogger().addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger().removeHandler(self)
        logging.getLogger("recloser").setLevel(self._level)

    def plant(self, servers: Iterable[Server]) -> list[Server]:
        """Return the servers with the credential in their headers or environment."""
        return [
            replace(server, headers={**server.headers, "Authorization": f"Bearer {self.token}"})
            if server.url is not None
            else replace(server, env={**(server.env or {}), "API_TOKEN": self.token})
            for server in servers
        ]

    def fill_in(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return a fault's arguments with `{token}` and `{content}` replaced: what a careless server says."""
        return {
            key: value.replace("{token}", self.token).replace("{content}", self.content)
            if isinstance(value, str)
            else value
            for key, value in arguments.items()
        }

    def emit(self, record: logging.LogRecord) -> None:
        """Look into one log record."""
        ours = record.name == "recloser" or record.name.startswith("recloser.")
        if ours or record.levelno >= logging.WARNING:
            self.look(f"the log of {record.name}", self.format(record))

    def look(self, place: str, text: str) -> None:
        """Look for the secrets in a text."""
        for what, secret in (("the credential", self.token), ("what a call carried", self.content)):
            if secret in text:
                self._found[f"{what} in {place}"] = None

    @property
    def found(self) -> tuple[str, ...]:
        """Where they were seen."""
        return tuple(self._found)
