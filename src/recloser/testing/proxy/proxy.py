"""The proxy's public face: one port in front of one server, and the toxics between them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from recloser.options import is_loopback
from recloser.testing.proxy.kinds import Kind, Stream, check_share, check_stream, checked

__all__ = ["SERVER", "Engine", "FaultProxy", "Toxic"]

SERVER: Final = "toxiproxy-server"
"""The program of the real one."""

EngineName = Literal["asyncio", "toxiproxy", "auto"]


class Engine(Protocol):
    """What moves the bytes: our own, or a real toxiproxy."""

    async def start(self) -> int:
        """Open the port and return its number."""
        ...

    async def stop(self) -> None:
        """Close the port and all connections, and leave nothing behind."""
        ...

    async def switch(self, *, enabled: bool) -> None:
        """Open the port, or close it and all connections."""
        ...

    async def add(self, toxic: Toxic) -> None:
        """Let a toxic strike, connections that are open too."""
        ...

    async def update(self, toxic: Toxic) -> None:
        """Let a toxic strike with its new numbers."""
        ...

    async def remove(self, toxic: Toxic) -> None:
        """End a toxic."""
        ...


class Toxic:
    """One fault of a proxy, that can be changed and removed while connections are open.

    Written by its own methods and by its proxy.
    """

    def __init__(
        self,
        proxy: FaultProxy,
        *,
        name: str,
        kind: Kind,
        stream: Stream,
        toxicity: float,
        attributes: Mapping[str, float],
    ) -> None:
        self._proxy = proxy
        self.name = name
        self.kind: Kind = kind
        self.stream: Stream = stream
        self.toxicity = toxicity
        """Share of the connections that it strikes, 0 to 1."""
        self.attributes = attributes
        """Its numbers, by toxiproxy's names; durations in seconds."""
        self.struck = 0
        """How many connections it has struck; a real toxiproxy tells nobody, so that it stays 0."""

    def __repr__(self) -> str:
        numbers = "".join(f" {name}={value:g}" for name, value in self.attributes.items())
        return f"<Toxic {self.name!r} {self.kind} {self.stream} toxicity={self.toxicity:g}{numbers}>"

    async def update(self, *, toxicity: float | None = None, **attributes: float) -> None:
        """Change some of its numbers; the others stay.

        Raises:
            ValueError: an attribute is unknown or out of its range, or the toxic was removed.
            TypeError: a value is no number.
        """
        self._proxy.require(self)
        fresh = checked(self.kind, attributes, base=self.attributes)
        if toxicity is not None:
            check_share(toxicity)
            self.toxicity = float(toxicity)
        self.attributes = fresh
        await self._proxy.engine.update(self)

    async def remove(self) -> None:
        """End it; without effect when it has ended. What it held back goes on; a `timeout` closes its connections."""
        await self._proxy.remove(self)


class FaultProxy:
    """A TCP proxy on a loopback port that makes the way to one server bad.

        async with FaultProxy("127.0.0.1", 8000) as proxy:
            router = Router(Server("search", f"http://{proxy.address}/mcp"))
            slow = await proxy.add("latency", latency=0.5, jitter=0.1)
            await proxy.down()

    The words are toxiproxy's. Its own engine runs in the test's event loop, on virtual time too, and passes on half-
    closed connections; a real `toxiproxy-server` is used where it is asked for.

    Raises:
        ValueError: the host is not of this machine, or a port or the engine are no such thing.
    """

    def __init__(
        self,
        upstream_host: str,
        upstream_port: int,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        engine: EngineName = "asyncio",
        seed: int | None = None,
    ) -> None:
        """Prepare a proxy.

        Args:
            upstream_host: The server's host.
            upstream_port: The server's port.
            host: Where to listen; loopback only.
            port: The port to listen on; 0 means any free one, which stays the same from then on.
            engine: `asyncio`, our own; `toxiproxy`, the program; `auto`, the program where it is on the PATH.
            seed: What random numbers begin with; None: any.
        """
        if engine not in ("asyncio", "toxiproxy", "auto"):
            raise ValueError(f"engine must be asyncio, toxiproxy or auto, got {engine!r}")
        if not is_loopback(f"tcp://[{host}]" if ":" in host else f"tcp://{host}"):
            raise ValueError(f"a fault proxy listens on this machine alone, not on {host!r}")
        self.upstream = (upstream_host, upstream_port)
        self.host = host
        self.port = port
        self.enabled = True
        """Whether the port is open."""
        self.kind: Literal["asyncio", "toxiproxy"] = (
            engine if engine != "auto" else "toxiproxy" if shutil.which(SERVER) else "asyncio"
        )
        """What moves the bytes."""
        self._seed = seed
        self._engine: Engine | None = None
        self._toxics: dict[str, Toxic] = {}

    @property
    def engine(self) -> Engine:
        """What moves the bytes; exists once the proxy was started."""
        if self._engine is None:
            raise RuntimeError("the proxy has not been started: use `async with` or `start()`")
        return self._engine

    @property
    def address(self) -> str:
        """Host and port, as they stand in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def toxics(self) -> tuple[Toxic, ...]:
        """All toxics, in the order in which they strike."""
        return tuple(self._toxics.values())

    async def __aenter__(self) -> Self:
        """Start the proxy."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the proxy."""
        await self.stop()

    async def start(self) -> None:
        """Open the port; without effect while the proxy runs.

        Raises:
            OSError: the port is taken.
            RuntimeError: a real toxiproxy was asked for, and is not there or does not start.
        """
        if self._engine is not None:
            return
        engine = self._made()
        self.port = await engine.start()
        self._engine = engine
        self.enabled = True

    def _made(self) -> Engine:
        if self.kind == "toxiproxy":
            from recloser.testing.proxy.toxiproxy import ToxiproxyEngine

            return ToxiproxyEngine(self.host, self.port, self.upstream, seed=self._seed)
        from recloser.testing.proxy.local import LocalEngine

        return LocalEngine(self.host, self.port, self.upstream, seed=self._seed)

    async def stop(self) -> None:
        """Close the port and all connections and forget all toxics; without effect when the proxy does not run."""
        engine, self._engine = self._engine, None
        self._toxics = {}
        if engine is not None:
            await engine.stop()

    async def add(
        self,
        kind: Kind,
        *,
        stream: Stream = "downstream",
        toxicity: float = 1.0,
        name: str | None = None,
        **attributes: float,
    ) -> Toxic:
        """Add a toxic behind those that are there, and return it; connections that are open are struck too.

        Args:
            kind: What it does; see `recloser.testing.proxy.KINDS`.
            stream: Which way it strikes: `upstream` to the server, `downstream` from it.
            toxicity: Share of the connections that it strikes, 0 to 1.
            name: How it is called; None: by its kind and stream.
            **attributes: Its numbers by toxiproxy's names; durations in seconds.

        Raises:
            ValueError: something is unknown or out of its range, or there is a toxic of that name.
            TypeError: a value is no number.
        """
        engine = self.engine
        check_stream(stream)
        check_share(toxicity)
        name = f"{kind}_{stream}" if name is None else name
        if name in self._toxics:
            raise ValueError(f"there is a toxic {name!r} already; give this one a name of its own")
        numbers = checked(kind, attributes)
        toxic = Toxic(self, name=name, kind=kind, stream=stream, toxicity=float(toxicity), attributes=numbers)
        await engine.add(toxic)
        self._toxics[name] = toxic
        return toxic

    def require(self, toxic: Toxic) -> None:
        """Make sure that a toxic is one of this proxy's.

        Raises:
            ValueError: it is not.
        """
        if self._toxics.get(toxic.name) is not toxic:
            raise ValueError(f"toxic {toxic.name!r} was removed")

    async def remove(self, toxic: Toxic) -> None:
        """End a toxic; without effect when it has ended."""
        if self._toxics.get(toxic.name) is toxic:
            del self._toxics[toxic.name]
            await self.engine.remove(toxic)

    async def reset(self) -> None:
        """Remove all toxics and open the port."""
        for toxic in self.toxics:
            await self.remove(toxic)
        await self.up()

    async def down(self) -> None:
        """Close the port and all connections, as if the server were gone; without effect when it is down."""
        if self.enabled:
            self.enabled = False
            await self.engine.switch(enabled=False)

    async def up(self) -> None:
        """Open the port again, the same one; without effect while it is open.

        Raises:
            OSError: somebody else has taken the port.
        """
        if not self.enabled:
            await self.engine.switch(enabled=True)
            self.enabled = True
