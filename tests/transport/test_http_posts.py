from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.transport.client import HttpClient
from recloser.transport.posts import Posts

pytestmark = pytest.mark.thorough

NAMES = ["accept", "Accept", "content-type", "User-Agent", "mcp-session-id", "X-Key", "Authorization", "Host"]
HEADERS = st.dictionaries(
    st.sampled_from(NAMES), st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12), max_size=5
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aä\n\U0001f600"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)


def seen(request: httpx2.Request) -> tuple[Any, ...]:
    headers = sorted((name.lower(), value) for name, value in request.headers.raw)
    return request.method, str(request.url), headers, request.read()


@given(
    st.sampled_from(["http://127.0.0.1:8000/mcp", "https://user:pass@example.org/a?b=c", "http://[::1]:80/x"]),
    HEADERS,
    HEADERS.filter(lambda given: len({name.lower() for name in given}) == len(given)),
    st.dictionaries(st.text(), JSON, max_size=3),
)
def test_a_post_is_the_one_that_httpx_would_have_made(
    url: str, of_client: dict[str, str], own: dict[str, str], message: Any
) -> None:
    own.pop("Host", None)
    client = httpx2.AsyncClient(headers=of_client)
    posts = Posts(client)
    expected = seen(client.build_request("POST", url, json=message, headers=own))
    assert seen(posts.make(url, message, own)) == expected
    assert seen(posts.make(url, message, own)) == expected


def client() -> HttpClient:
    return HttpClient(headers={}, auth=None, verify=False, connect_timeout=1, max_message=1024)


def test_a_body_can_be_sent_again_after_a_redirect_or_by_an_auth_flow() -> None:
    async def main() -> None:
        request = client().build_request("POST", "http://127.0.0.1/mcp", json={"id": 1}, headers={})
        for _ in range(2):
            assert b"".join([part async for part in request.stream]) == b'{"id":1}'
        assert await request.aread() == b'{"id":1}'

    asyncio.run(main())


def test_cookies_that_a_server_has_set_are_sent_back() -> None:
    ours = client()
    ours.cookies.set("sticky", "node-7")
    request = ours.build_request("POST", "http://127.0.0.1/mcp", json={}, headers={})
    assert request.headers["cookie"] == "sticky=node-7"


def test_a_request_that_is_not_of_the_session_is_made_as_ever() -> None:
    assert client().build_request("POST", "http://127.0.0.1/token", data={"a": "b"}).read() == b"a=b"


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        client().build_request("POST", "http://127.0.0.1/mcp", json=float("nan"), headers={})
