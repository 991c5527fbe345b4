"""Servers that cannot be reached over HTTP, or fail while the era is negotiated: told at once, and as unsent."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
from http_kit import ERAS, facts, refused, reset, status, transport
from mcp import MCPError
from mcp.client import ClientSession
from mcp_types.version import LATEST_MODERN_VERSION

from recloser.facts import FAULT_CODE, HttpFacts
from recloser.testing.clock import run_virtual
from support.http_faults import FaultServer, open_session


@pytest.mark.parametrize("era", ERAS)
def test_a_server_that_is_gone_fails_each_call_at_once_and_unsent(era: str) -> None:
    async def main() -> None:
        async with FaultServer() as server, open_session(transport(server.url), era) as session:
            await server.stop()
            for error in await asyncio.gather(*(refused(session) for _ in range(3))):
                found = facts(error)
                assert (found.kind, found.sent, found.exception) == ("transport", False, "httpx2.ConnectError")

    asyncio.run(main())


def test_a_name_that_does_not_exist_is_told_as_unsent() -> None:
    async def main() -> None:
        async with transport("http://mcp.invalid/mcp") as (read, write), ClientSession(read, write) as session:
            with pytest.raises(MCPError) as caught:
                await session.send_discover(LATEST_MODERN_VERSION)
            assert facts(caught.value) == HttpFacts(kind="transport", sent=False, exception="httpx2.ConnectError")

    asyncio.run(main())


@pytest.mark.parametrize("verify", [True, False])
def test_tls_to_a_plain_port_is_told_as_unsent(verify: bool) -> None:
    async def main() -> None:
        def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
            async with transport(url, verify=verify) as (read, write), ClientSession(read, write) as session:
                with pytest.raises(MCPError) as caught:
                    await session.initialize()
                assert facts(caught.value) == HttpFacts(kind="transport", sent=False, exception="httpx2.ConnectError")

    asyncio.run(main())


def test_a_handshake_that_hangs_ends_with_the_connect_timeout() -> None:
    async def main() -> None:
        async with FaultServer() as server:  # which waits for the end of an HTTP head
            url = server.url.replace("http:", "https:")
            async with transport(url, connect_timeout=2.0) as (read, write), ClientSession(read, write) as session:
                with pytest.raises(MCPError) as caught:
                    await session.initialize()
                assert facts(caught.value) == HttpFacts(kind="transport", sent=False, exception="httpx2.ConnectTimeout")

    run_virtual(main, grace=0.5)


def test_an_address_that_is_none_is_told_as_unsent() -> None:
    async def main() -> None:
        async with transport("gopher://127.0.0.1/mcp") as (read, write), ClientSession(read, write) as session:
            with pytest.raises(MCPError) as caught:
                await session.initialize()
            found = facts(caught.value)
            assert (found.kind, found.sent, found.exception) == ("transport", False, "httpx2.UnsupportedProtocol")

    asyncio.run(main())


@pytest.mark.parametrize("method", ["server/discover", "initialize"])
@pytest.mark.parametrize(
    ("fault", "kind", "code"), [(status(503), "status", 503), (status(404), "status", 404), (reset, "transport", None)]
)
def test_a_fault_while_negotiating_is_told_and_leaves_the_transport_usable(
    method: str, fault: Any, kind: str, code: int | None
) -> None:
    async def main() -> None:
        async with (
            FaultServer(on={method: fault}) as server,
            transport(server.url) as (read, write),
            ClientSession(read, write) as session,
        ):
            with pytest.raises(MCPError) as caught:
                if method == "initialize":
                    await session.initialize()
                else:
                    await session.send_discover(LATEST_MODERN_VERSION)
            assert (caught.value.code, facts(caught.value).kind, facts(caught.value).status) == (
                FAULT_CODE,
                kind,
                code,
            )
            server.on.clear()
            await session.initialize()

    asyncio.run(main())


def test_an_untrusted_certificate_is_told_as_unsent() -> None:
    # A context without a certificate fails every handshake, which is all that is needed here.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    async def main() -> None:
        async with (
            FaultServer(tls=context) as server,
            transport(server.url) as (read, write),
            ClientSession(read, write) as session,
        ):
            with pytest.raises(MCPError) as caught:
                await session.initialize()
            assert facts(caught.value) == HttpFacts(kind="transport", sent=False, exception="httpx2.ConnectError")

    asyncio.run(main())
