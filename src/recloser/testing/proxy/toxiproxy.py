"""A real toxiproxy as the proxy's engine: one process a proxy, told what to do over its HTTP API.

It is a program of its own: virtual time does not reach it.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from contextlib import suppress
from typing import Any, Final

from recloser.testing.proxy.kinds import KINDS
from recloser.testing.proxy.proxy import SERVER, Toxic

__all__ = ["ToxiproxyEngine"]

_NAME: Final = "proxy"
_API_HOST: Final = "127.0.0.1"

START: Final = 10.0
"""Seconds that the program has to serve its API; it takes some milliseconds."""

END: Final = 2.0
"""Seconds that it has to end by itself."""

_STEP: Final = 0.02


class ToxiproxyEngine:
    """Runs one `toxiproxy-server` with one proxy in it."""

    def __init__(self, host: str, port: int, upstream: tuple[str, int], *, seed: int | None) -> None:
        self._listen = _joined(host, port)
        self._upstream = _joined(*upstream)
        self._seed = seed
        self._api = 0
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> int:
        """Start the program and open the port; return its number.

        Raises:
            RuntimeError: the program is not on the PATH, does not start, or cannot have the port.
        """
        program = shutil.which(SERVER)
        if program is None:
            raise RuntimeError(f"{SERVER} is not on the PATH; install it, or use engine='asyncio'")
        self._api = _free_port()
        seed = () if self._seed is None else ("-seed", str(self._seed))
        self._process = await asyncio.create_subprocess_exec(
            program,
            *("-host", _API_HOST, "-port", str(self._api), *seed),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await self._served(self._process)
            made = await self._ask(
                "POST", "/proxies", {"name": _NAME, "listen": self._listen, "upstream": self._upstream, "enabled": True}
            )
        except BaseException:
            await self.stop()
            raise
        self._listen = made["listen"]
        return int(self._listen.rpartition(":")[2])

    async def _served(self, process: asyncio.subprocess.Process) -> None:
        """Wait until the API answers."""
        with suppress(TimeoutError):
            async with asyncio.timeout(START):
                while process.returncode is None:
                    with suppress(OSError, EOFError):
                        await self._ask("GET", "/version")
                        return
                    await asyncio.sleep(_STEP)
        raise RuntimeError(f"{SERVER} does not serve its API (exit code {process.returncode})")

    async def stop(self) -> None:
        """End the program, and with it all connections."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(END):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def switch(self, *, enabled: bool) -> None:
        """Open the port, or close it and all connections."""
        await self._ask("POST", f"/proxies/{_NAME}", {"enabled": enabled})

    async def add(self, toxic: Toxic) -> None:
        """Let a toxic strike."""
        facts = {"name": toxic.name, "type": toxic.kind, "stream": toxic.stream}
        await self._ask("POST", f"/proxies/{_NAME}/toxics", {**facts, **_numbers(toxic)})

    async def update(self, toxic: Toxic) -> None:
        """Let a toxic strike with its new numbers."""
        await self._ask("POST", f"/proxies/{_NAME}/toxics/{toxic.name}", _numbers(toxic))

    async def remove(self, toxic: Toxic) -> None:
        """End a toxic."""
        await self._ask("DELETE", f"/proxies/{_NAME}/toxics/{toxic.name}")

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send one request to the API and return its answer.

        Raises:
            RuntimeError: it was refused.
            OSError: nobody listens.
        """
        data = b"" if body is None else json.dumps(body).encode()
        reader, writer = await asyncio.open_connection(_API_HOST, self._api)
        try:
            # The oldest HTTP, so that the answer is neither chunked nor followed by another one.
            head = f"{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
            writer.write(head.encode() + data)
            answer = await reader.read()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        top, _, content = answer.partition(b"\r\n\r\n")
        if not top:
            raise EOFError("no answer")
        status = int(top.split(b" ", 2)[1])
        if status >= 400:
            raise RuntimeError(f"{SERVER} answered {status}: {content.decode(errors='replace').strip()}")
        return json.loads(content) if content.strip() else None


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _free_port() -> int:
    with socket.create_server((_API_HOST, 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _numbers(toxic: Toxic) -> dict[str, Any]:
    """Return toxicity and attributes in toxiproxy's units, all of them whole numbers."""
    known = KINDS[toxic.kind].attributes
    # What is not nothing must not become nothing by rounding: it would mean something else.
    values = {
        name: max(1, round(value * known[name].scale)) if value > 0 else 0 for name, value in toxic.attributes.items()
    }
    if toxic.kind == "slicer":
        # It draws a random number below twice the variation, and ends in a panic if that is nought.
        values["size_variation"] = max(1, values["size_variation"])
        values["average_size"] = max(2, values["average_size"])
    return {"toxicity": toxic.toxicity, "attributes": values}
