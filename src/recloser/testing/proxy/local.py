"""The proxy's own engine: it moves the bytes in the event loop of the test."""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import socket
import struct
from contextlib import suppress
from typing import Final

from recloser.testing.proxy.kinds import Stream
from recloser.testing.proxy.lane import PIECE, Lane
from recloser.testing.proxy.proxy import Toxic

__all__ = ["LocalEngine"]

_NO_LINGER: Final = struct.pack("ii", 1, 0)
"""The socket option that makes closing a reset."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link:
    """One connection through the proxy: two sockets, and a lane each way.

    Written by its own task; `finish` may be called by anybody on the loop.
    """

    def __init__(self, numbers: random.Random) -> None:
        self.lanes: dict[Stream, Lane] = {}
        self._numbers = numbers
        self._writers: list[asyncio.StreamWriter] = []
        self._over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def open(self, client: Streams, server: Streams) -> None:
        """Put a lane each way between two connected sockets."""
        self._writers = [client[1], server[1]]
        self.lanes = {
            "upstream": Lane(client[0], server[1], self.finish, self._numbers),
            "downstream": Lane(server[0], client[1], self.finish, self._numbers),
        }

    def finish(self, *, reset: bool = False) -> None:
        """End the connection: what was written still goes out, unless it is a reset."""
        if not self._over.done():
            self._over.set_result(reset)

    async def run(self) -> None:
        """Move data until both directions have ended, or somebody ends the connection."""
        try:
            self._close(reset=await self._moved())
            # What the receivers have not yet taken is still theirs.
            for writer in self._writers:
                with suppress(OSError):
                    await writer.wait_closed()
        finally:
            for writer in self._writers:
                writer.transport.abort()

    async def _moved(self) -> bool:
        """Return when the connection is over; true where that is a reset."""
        create = asyncio.get_running_loop().create_task
        lanes = self.lanes.values()
        tasks = [create(work) for lane in lanes for work in (lane.read(), lane.write())]
        for task in tasks:
            task.add_done_callback(self._broken)
        everything = asyncio.gather(*tasks, return_exceptions=True)
        everything.add_done_callback(lambda _: self.finish())
        try:
            return await self._over
        finally:
            for lane in lanes:
                lane.stop()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _broken(self, task: asyncio.Task[None]) -> None:
        # One side's reset is the other's: the proxy adds nothing of its own.
        if not task.cancelled() and task.exception() is not None:
            self.finish(reset=True)

    def _close(self, *, reset: bool) -> None:
        for writer in self._writers:
            if reset:
                with suppress(OSError):  # the side that was reset by its peer has no socket any more
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                writer.transport.abort()
            else:
                writer.close()


class LocalEngine:
    """Moves the bytes of one proxy; all its state is changed on the loop alone."""

    def __init__(self, host: str, port: int, upstream: tuple[str, int], *, seed: int | None) -> None:
        self._host = host
        self._port = port
        self._upstream = upstream
        self._numbers = random.Random(  # noqa: S311 - faults must be repeatable, not unguessable
            secrets.randbits(32) if seed is None else seed
        )
        self._serial = itertools.count(1)
        self._toxics: dict[Toxic, int] = {}
        self._listener: socket.socket | None = None
        self._links: dict[Link, asyncio.Task[None]] = {}

    async def start(self) -> int:
        """Open the port and return its number."""
        await self.switch(enabled=True)
        return self._port

    async def stop(self) -> None:
        """Close the port and all connections."""
        await self.switch(enabled=False)

    async def switch(self, *, enabled: bool) -> None:
        """Open the port, or close it and all connections."""
        loop = asyncio.get_running_loop()
        if enabled:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            listener = socket.create_server((self._host, self._port), family=family, backlog=1024)
            listener.setblocking(False)
            self._port = listener.getsockname()[1]
            self._listener = listener
            loop.add_reader(listener.fileno(), self._accept, listener)
            return
        if self._listener is not None:
            loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
        tasks = list(self._links.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # The transports close their sockets in the loop's next turn.
        await asyncio.sleep(0)

    def _accept(self, listener: socket.socket) -> None:
        # Not by asyncio's own server: closed while a client comes, it leaves that client's socket open.
        try:
            client, _ = listener.accept()
        except OSError:
            return  # the client has gone again
        client.setblocking(False)
        link = Link(self._numbers)
        task = asyncio.get_running_loop().create_task(self._serve(link, client), name="fault proxy connection")
        self._links[link] = task
        task.add_done_callback(lambda _: self._links.pop(link))

    async def _serve(self, link: Link, sock: socket.socket) -> None:
        client = await asyncio.open_connection(sock=sock, limit=PIECE)
        try:
            server = await asyncio.open_connection(*self._upstream, limit=PIECE)
        except OSError:
            client[1].close()
            return
        except asyncio.CancelledError:
            client[1].transport.abort()
            raise
        link.open(client, server)
        for toxic, serial in self._toxics.items():
            link.lanes[toxic.stream].add(toxic, serial)
        await link.run()

    # --- toxics

    async def add(self, toxic: Toxic) -> None:
        """Let a toxic strike, connections that are open too."""
        serial = self._toxics[toxic] = next(self._serial)
        for lane in self._lanes(toxic):
            lane.add(toxic, serial)

    async def update(self, toxic: Toxic) -> None:
        """Let a toxic strike with its new numbers."""
        for lane in self._lanes(toxic):
            lane.update(toxic)

    async def remove(self, toxic: Toxic) -> None:
        """End a toxic."""
        del self._toxics[toxic]
        for lane in self._lanes(toxic):
            lane.remove(toxic)

    def _lanes(self, toxic: Toxic) -> list[Lane]:
        return [link.lanes[toxic.stream] for link in self._links if link.lanes]
