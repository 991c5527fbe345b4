"""A bearer token on every HTTP request, read from a file: writing another one into it signs everybody out."""

from __future__ import annotations

import secrets
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class SignIn:
    """An ASGI application that answers 401 to whoever does not bring the token that stands in a file now."""

    def __init__(self, app: ASGIApp, token_file: Path) -> None:
        self._app = app
        self._token_file = token_file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or self._knows(Headers(scope=scope).get("authorization", "")):
            await self._app(scope, receive, send)
            return
        refusal = JSONResponse(
            {"error": "invalid_token", "error_description": "the token is missing or no longer valid"},
            status_code=401,
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )
        await refusal(scope, receive, send)

    def _knows(self, header: str) -> bool:
        token = self._token_file.read_text(encoding="utf-8").strip()
        return secrets.compare_digest(header.encode(), f"Bearer {token}".encode())
