"""What the tests of the command line share: configurations of real servers, and the command as it is installed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

RECLOSER: Final = str(Path(sys.executable).with_name("recloser"))


def server(name: str, *options: str) -> dict[str, Any]:
    """One of the demo servers over stdio, as a configuration writes it."""
    return {"command": sys.executable, "args": ["-P", "-m", f"recloser.demo.servers.{name}_server", *options]}


MISSING: Final = {"command": "/nowhere/no-such-server"}
CRASHING: Final = {
    "command": sys.executable,
    "args": ["-c", "import sys; print('the database is locked', file=sys.stderr); sys.exit(3)"],
}


def write(directory: Path, servers: Mapping[str, Any], /, **ours: Any) -> str:
    """Write a configuration that a host has already, with what is ours beside it; return its path."""
    path = directory / "mcp.json"
    path.write_text(json.dumps({"mcpServers": dict(servers), "recloser": ours}), encoding="utf-8")
    return str(path)


def recloser(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    return subprocess.run(
        [RECLOSER, *words], cwd=cwd, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
    )


def on_a_terminal(*words: str, cwd: Path | None = None) -> tuple[int, str]:
    """Run the installed command on a terminal of its own; return its exit code and all that was seen there."""
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [RECLOSER, *words], cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux says so when the last one who wrote has left
            break
        if not chunk:
            break
        seen += chunk
    os.close(ours)
    return process.wait(60), seen.decode()


def left_behind(directory: Path) -> list[str]:
    """The command lines of all processes that run in a directory: what was started there inherits it."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if (process / "cwd").resolve() == directory.resolve():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended meanwhile, or is not ours
            continue
    return found


@asynccontextmanager
async def listening(name: str, *options: str) -> AsyncIterator[str]:
    """A demo server over HTTP; yields its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        f"recloser.demo.servers.{name}_server",
        "--transport",
        "http",
        "--until-stdin-closes",
        *options,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.close()
        await process.wait()
