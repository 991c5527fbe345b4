"""The router before `@modelcontextprotocol/server-filesystem`: what it may touch, and what a crash of it touches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp.client import ClientRequestContext
from peers import NAME, Local, Peer, npm_server, text

from recloser import Breaker, Router, error_of

pytestmark = [pytest.mark.thorough, pytest.mark.npm, pytest.mark.processes]

Test = Callable[[Peer, Router], Awaitable[None]]


def run(folder: Path, test: Test, *, server: dict[str, Any] | None = None, **options: Any) -> None:
    peer = Local([*npm_server("@modelcontextprotocol/server-filesystem"), str(folder)], **(server or {}))

    async def main() -> None:
        async with peer, Router(peer.server, **options) as router:
            await router.ready(NAME)
            await test(peer, router)

    asyncio.run(main())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder by its real name, which the server compares with."""
    return tmp_path.resolve()


def test_it_writes_lists_and_reads_in_its_folder_alone(folder: Path) -> None:
    allowed = folder / "allowed"
    allowed.mkdir()
    (folder / "secret.txt").write_text("not for you")

    async def test(peer: Peer, router: Router) -> None:
        assert str(allowed) in text(await router.call_tool("third__list_allowed_directories"))
        path = str(allowed / "größe.txt")
        assert not (await router.call_tool("third__write_file", {"path": path, "content": "drei Meter"})).is_error
        assert (allowed / "größe.txt").read_text(encoding="utf-8") == "drei Meter"
        assert "[FILE] größe.txt" in text(await router.call_tool("third__list_directory", {"path": str(allowed)}))
        read = await router.call_tool("third__read_text_file", {"path": path})
        assert (text(read), read.structured_content) == ("drei Meter", {"content": "drei Meter"})

        refused = await router.call_tool("third__read_text_file", {"path": str(folder / "secret.txt")})
        assert refused.is_error
        assert error_of(refused) is None
        assert "Access denied" in text(refused)

    run(allowed, test)


def test_the_roots_that_the_host_tells_take_the_place_of_its_folder(folder: Path) -> None:
    configured, told = folder / "configured", folder / "told"
    configured.mkdir()
    told.mkdir()

    async def roots(context: ClientRequestContext) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[types.Root(uri=told.as_uri())])

    async def test(peer: Peer, router: Router) -> None:
        # It asks for the roots once it has been told that the client is ready, beside whatever else it does.
        while str(told) not in text(await router.call_tool("third__list_allowed_directories")):
            pass
        assert not (await router.call_tool("third__write_file", {"path": str(told / "a"), "content": "x"})).is_error
        refused = await router.call_tool("third__write_file", {"path": str(configured / "a"), "content": "x"})
        assert "Access denied" in text(refused)

    run(configured, test, roots=roots)
    assert [path.name for path in folder.rglob("a")] == ["a"]


def test_its_own_hints_decide_what_is_repeated_once_it_is_trusted(folder: Path) -> None:
    (folder / "a.txt").write_text("still here")

    async def test(peer: Peer, router: Router) -> None:
        for _ in range(2):
            await peer.kill(router)
            result = await router.call_tool("third__read_text_file", {"path": str(folder / "a.txt")})
            assert text(result) == "still here"

    run(folder, test, server={"trusted": True})


def test_many_calls_at_once_keep_apart_and_a_crash_among_them_loses_none_for_good(folder: Path) -> None:
    names = [f"{number}.txt" for number in range(40)]

    async def test(peer: Peer, router: Router) -> None:
        async def write_and_read(name: str) -> None:
            path = str(folder / name)
            written = await router.call_tool(
                "third__write_file", {"path": path, "content": name * 1000}, idempotent=True, timeout=60
            )
            assert not written.is_error, text(written)
            read = await router.call_tool("third__read_text_file", {"path": path}, idempotent=True, timeout=60)
            assert text(read) == name * 1000

        async def crash() -> None:
            while not (folder / names[5]).exists():
                await asyncio.sleep(0)
            await peer.kill(router)

        await asyncio.gather(crash(), *map(write_and_read, names))
        assert router.health()[NAME].endpoints[0].generation == 2

    # One crash fails all that is in flight at once, and so opens a circuit; how that closes again is tested elsewhere.
    run(folder, test, server={"breaker": Breaker(enabled=False)})
