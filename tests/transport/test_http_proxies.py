"""Proxies that the environment names: what is wrong with them is told as such, and their addresses to nobody."""

from __future__ import annotations

import asyncio
import json
import traceback

import pytest
from http_kit import transport

from recloser import Router, RouterError, Server
from support.http_faults import Exchange, FaultServer

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def failure(url: str) -> RouterError:
    async with Router(Server("s", url, allow_plaintext=True)) as router:
        with pytest.raises(RouterError) as caught:
            await router.ready("s")
        return caught.value


@pytest.mark.parametrize("path", ["mcp", "sse"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://u:sekret@127.0.0.1:1"),
        ("HTTPS_PROXY", "foo://u:sekret@127.0.0.1:1"),
        ("HTTP_PROXY", "http://u:sekret@[::1"),
    ],
    ids=["needs a package", "unknown kind", "no url"],
)
def test_a_proxy_that_cannot_be_used_is_told_as_such(
    path: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    async def main() -> None:
        async with FaultServer(sse=path == "sse") as server:
            error = await failure(server.url)
            payload = error.payload
            assert (payload.code, payload.delivered, payload.next_action) == ("cannot_start", "no", "ask_operator")
            assert "HTTP_PROXY" in payload.message
            assert "sekret" not in json.dumps(payload.to_dict()) + "".join(traceback.format_exception(error))
            assert not server.seen

    asyncio.run(main())


def test_what_else_is_wrong_with_a_client_is_not_taken_for_its_proxies() -> None:
    async def main() -> None:
        with pytest.raises(UnicodeEncodeError):
            await transport("http://127.0.0.1:1/mcp", headers={"x": "\u4f1a"}).__aenter__()

    asyncio.run(main())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_login_makes_a_server_unreachable(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.reply(407, proxy_authenticate="Basic")

    async def main() -> None:
        address = f"{scheme}://server.invalid:443/mcp"
        verbs = {"http": "POST", "https": "CONNECT"}
        async with FaultServer(on={verbs[scheme]: refuse}) as proxy:
            monkeypatch.setenv("ALL_PROXY", f"http://u:sekret@127.0.0.1:{proxy.port}")
            payload = (await failure(address)).payload
            assert (payload.code, payload.delivered) == ("unreachable", "no")
            assert proxy.seen[0].verb == verbs[scheme]

    asyncio.run(main())
