"""What a server wrote, in a form that can be read: half characters are put right, all else is refused before the SDK.

Some tools cut a text in the middle of a character beyond U+FFFF. JSON can say what is left as an escape, UTF-8 cannot:
as over stdio, a `?` takes its place. What cannot be read at all, the SDK would quote in the log.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from typing import Any, Final

from mcp_types import JSONRPCMessage, jsonrpc_message_adapter
from pydantic_core import from_json

__all__ = ["plain", "readable"]

# A pair and any other escape, an escaped backslash among them, go by; group 1 is a half.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def readable(body: bytes) -> tuple[bytes, JSONRPCMessage | dict[str, Any]] | None:
    """Return the bytes of a JSON-RPC message as the SDK can read them, and what they say; None if they are none.

    A usual answer is returned as it was parsed, which costs a fraction of what the SDK's own reading does.
    """
    try:
        return body, _read(body)
    except ValueError:
        mended = _ESCAPE.sub(_whole, body.removeprefix(BOM_UTF8))  # which some runtimes write
    if mended == body:
        return None
    try:
        return mended, _read(mended)
    except ValueError:
        return None


def _read(body: bytes) -> JSONRPCMessage | dict[str, Any]:
    message: Any = from_json(body)
    if (
        isinstance(message, dict)
        and message.keys() == {"jsonrpc", "id", "result"}
        and message["jsonrpc"] == "2.0"
        and type(message["id"]) in (int, str)
        and isinstance(message["result"], dict)
    ):
        return message
    return jsonrpc_message_adapter.validate_json(body, by_name=False)


def _whole(escape: re.Match[bytes]) -> bytes:
    return escape[0] if escape[1] is None else b"?"


def plain(value: Any) -> Any:
    """Return a JSON value without halves of characters; itself if there are none."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            if not each.isascii() and _is_cut(each):
                return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
        elif isinstance(each, dict):
            waiting += each
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return value


def _is_cut(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
