"""A network of its own for one server, that can be cut without either side being told: Linux, as root."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from typing import Final, Self

__all__ = ["Network", "can_cut"]

_NUMBERS: Final = itertools.count(1)
_SUBNET: Final = "10.213"
"""Addresses of the pairs of interfaces: a /30 each, in a private range that is seldom used."""


class CannotCutError(RuntimeError):
    """Networks cannot be made here, or not by this user."""


def can_cut() -> bool:
    """Return whether it is worth trying: Linux's tools are there, and this is root."""
    return bool(shutil.which("ip") and shutil.which("tc")) and hasattr(os, "geteuid") and os.geteuid() == 0


class Network:
    """A network namespace, joined to ours by a pair of interfaces: `async with Network() as network`.

    What is sent while it is cut is dropped silently in both directions, as by a switch that has failed.

    Raises:
        CannotCutError: it could not be made; nothing is left of it.
    """

    def __init__(self) -> None:
        number = next(_NUMBERS)
        tag = f"{os.getpid() % 0xFFFF:x}{number:x}"
        self._name = f"recloser-{tag}"
        self._ours, self._theirs = f"rc{tag}a", f"rc{tag}b"
        low = os.getpid() * 4 % 252
        third = (os.getpid() // 64 + number) % 256
        self._gate, self.host = (f"{_SUBNET}.{third}.{low + last}" for last in (1, 2))

    async def __aenter__(self) -> Self:
        try:
            await _run("ip", "netns", "add", self._name)
            await _run("ip", "link", "add", self._ours, "type", "veth", "peer", "name", self._theirs)
            await _run("ip", "link", "set", self._theirs, "netns", self._name)
            await _run("ip", "addr", "add", f"{self._gate}/30", "dev", self._ours)
            await _run("ip", "link", "set", self._ours, "up")
            for words in (
                ("addr", "add", f"{self.host}/30", "dev", self._theirs),
                ("link", "set", self._theirs, "up"),
                ("link", "set", "lo", "up"),
            ):
                await _run("ip", "-n", self._name, *words)
        except BaseException:
            await self._remove()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._remove()

    def inside(self, *command: str) -> list[str]:
        """Return the command line that runs a command in this network."""
        return ["ip", "netns", "exec", self._name, *command]

    async def cut(self) -> None:
        """Lose everything that is sent from now on, in either direction."""
        # A queue that holds no packet: each is dropped without a word to whoever sent it.
        await _run("tc", "qdisc", "replace", "dev", self._ours, "root", "bfifo", "limit", "1")
        await _run("tc", "-n", self._name, "qdisc", "replace", "dev", self._theirs, "root", "bfifo", "limit", "1")

    async def mend(self) -> None:
        """Let everything pass again."""
        await _run("tc", "qdisc", "del", "dev", self._ours, "root")
        await _run("tc", "-n", self._name, "qdisc", "del", "dev", self._theirs, "root")

    async def _remove(self) -> None:
        for words in (("link", "del", self._ours), ("netns", "del", self._name)):
            try:
                await _run("ip", *words)
            except CannotCutError:
                continue


async def _run(*words: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise CannotCutError(f"{words[0]} cannot be run: {error.strerror}") from error
    _, said = await process.communicate()
    if process.returncode:
        raise CannotCutError(f"{' '.join(words)}: {said.decode(errors='replace').strip()}")
