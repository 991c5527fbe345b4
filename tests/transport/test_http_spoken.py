"""What httpx2 tells the log of requests: of ours where they lead to, of others what it always told."""

from __future__ import annotations

import asyncio
import logging

import httpx2
import pytest
from http_kit import ERAS, call, transport

from support.http_faults import FaultServer, open_session


@pytest.mark.parametrize("era", ERAS)
def test_the_log_has_neither_password_nor_query_nor_path_of_ours(era: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FaultServer() as server:
            url = server.url.replace("//", "//joe:hunter2pw@").replace("/mcp", "/pathsecret/mcp?api_key=querysecret")
            async with open_session(transport(url), era) as session:
                await call(session, "echo")
            assert {exchange.path for exchange in server.seen} == {"/pathsecret/mcp?api_key=querysecret"}
            assert {exchange.headers["authorization"] for exchange in server.seen} == {"Basic am9lOmh1bnRlcjJwdw=="}
            assert f"HTTP Request: POST http://127.0.0.1:{server.port}/… " in caplog.text

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    for secret in ("hunter2pw", "querysecret", "pathsecret"):
        assert secret not in caplog.text


def test_requests_of_others_are_told_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FaultServer() as server, open_session(transport(server.url), "modern") as session:
            await call(session, "echo")
            async with httpx2.AsyncClient() as own:
                await own.get(server.url + "?mine=1")

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    assert "/mcp?mine=1 " in caplog.text
