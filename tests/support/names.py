"""A resolver for tests: some names hang until they are let, and the others are this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class Resolver:
    """Answers for names under `.test` with this machine; for `sick.test`, while it is, only when let, with nothing."""

    def __init__(self) -> None:
        self.sick = True
        self.let = threading.Event()
        self.asked: list[tuple[str, str]] = []
        self.real = socket.getaddrinfo

    def __call__(self, host: Any, port: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name.endswith(".test"):
            self.asked.append((name, threading.current_thread().name))
            if name == "sick.test" and self.sick:
                self.let.wait()
                raise socket.gaierror(-3, "Temporary failure in name resolution")
            name = "127.0.0.1"
        return self.real(name, port, *args, **options)


@contextmanager
def resolving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    """Answer for all names; in the end no look-up is left."""
    made = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    try:
        yield made
    finally:
        made.let.set()
        for thread in threading.enumerate():
            if thread.name == "recloser look-up":
                thread.join()
