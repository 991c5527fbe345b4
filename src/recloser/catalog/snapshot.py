"""A snapshot of all listings on disk, so that a server that is down at start has known tools.

The file holds what servers list, and for each its name and a fingerprint of how it is reached; no address, no header,
no environment. Losing it loses nothing: whatever is wrong with it, it is passed over with a line in the log. Both
functions block; a router calls them in a thread.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import mcp_types as types
from pydantic import ValidationError

from recloser.catalog.listing import Listing
from recloser.options import Server

__all__ = ["fingerprint", "load", "save"]

SCHEMA: Final = "recloser.catalog/1"
MOST_BYTES: Final = 64 * 1024 * 1024
"""A larger file is passed over."""

M = TypeVar("M", types.Tool, types.Resource, types.ResourceTemplate, types.Prompt)

_log = logging.getLogger("recloser")


def fingerprint(server: Server) -> str | None:
    """Return what tells one way to reach a server from another; None for an object of this process, which has none."""
    command = server.command or getattr(server.target, "command", None)
    if server.url is not None:
        url = urlsplit(server.url)
        # Without user info, query and fragment: they may be secret, and change when a secret is renewed.
        reached = [server.kind, url.scheme, url.netloc.rpartition("@")[2], url.path]
    elif command is not None:
        args: Iterable[object] = server.args or getattr(server.target, "args", ())
        reached = ["stdio", str(command), *map(str, args)]
    else:
        return None
    return hashlib.sha256(json.dumps(reached).encode()).hexdigest()[:16]


def save(path: Path, listings: Iterable[tuple[Server, Listing]]) -> bool:
    """Write the listings of all servers that have a fingerprint, readable by this user alone; return whether it worked.

    The file is replaced as a whole or not at all; behind a symbolic link it is the file that the link leads to.
    """
    known = ((server, fingerprint(server), listing) for server, listing in listings)
    content = {
        "schema": SCHEMA,
        "servers": {
            server.name: {"fingerprint": print_, **_dump(listing)} for server, print_, listing in known if print_
        },
    }
    scratch: str | None = None
    try:
        path = path.resolve()
        # mkstemp makes the file with mode 0600, whatever the umask.
        descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).replace(path)
    except OSError as error:
        _log.warning("cannot write the snapshot of the catalog: %s", _why(error))
        if scratch is not None:
            Path(scratch).unlink(missing_ok=True)
        return False
    return True


def load(path: Path, servers: Iterable[Server]) -> dict[str, Listing]:
    """Read back what the given servers listed in an earlier run; none of it where the file is missing or unusable."""
    try:
        raw = _read(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        _log.warning("the snapshot of the catalog is passed over: %s", _why(error))
        return {}
    found: dict[str, Listing] = {}
    for server in servers:
        stored = raw.get(server.name)
        if not isinstance(stored, Mapping) or stored.get("fingerprint") != (fingerprint(server) or ""):
            continue
        try:
            found[server.name] = _listing(stored)
        except (ValidationError, TypeError) as error:
            _log.warning("server %s: its part of the snapshot is passed over: %s", server.name, type(error).__name__)
    return found


def _dump(listing: Listing) -> dict[str, Any]:
    lists = {
        name: [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in getattr(listing, name)]
        for name in ("tools", "resources", "templates", "prompts")
    }
    return {"instructions": listing.instructions, **lists}


def _listing(stored: Mapping[str, Any]) -> Listing:
    instructions = stored.get("instructions")
    return Listing(
        tools=_each(types.Tool, stored.get("tools")),
        resources=_each(types.Resource, stored.get("resources")),
        templates=_each(types.ResourceTemplate, stored.get("templates")),
        prompts=_each(types.Prompt, stored.get("prompts")),
        instructions=instructions if isinstance(instructions, str) else None,
    )


def _each(model: type[M], stored: Any) -> tuple[M, ...]:
    return tuple(model.model_validate(each) for each in stored or ())


def _at_once(name: str, flags: int) -> int:
    """Open a file without waiting for anybody who would write into it, were it a pipe."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _read(path: Path) -> Mapping[str, Any]:
    """Return the stored servers.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a snapshot of this version, too large, or another user's.
    """
    with open(path, "rb", opener=_at_once) as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise ValueError("it is no regular file")
        who = getattr(os, "geteuid", None)
        # Descriptions of tools reach a model: those that another user wrote are not taken for a server's.
        if who is not None and facts.st_uid != who():
            raise ValueError("it belongs to another user")
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES} bytes")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    if not isinstance(content, Mapping) or content.get("schema") != SCHEMA:
        raise ValueError(f"it is not of the form {SCHEMA}")
    servers = content.get("servers")
    if not isinstance(servers, Mapping):
        raise ValueError("it names no servers")  # noqa: TRY004 - bad content of a file, not a wrong type in a program
    return servers


def _why(error: Exception) -> str:
    # An OSError's own text holds the path, which is nobody's business beyond this machine.
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
