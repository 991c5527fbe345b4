"""An environment for each peer, made once, beside the repository."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from .peers import HERE, Peer

__all__ = ["Missing", "cache", "measured_on", "python_of"]

PATIENCE: Final = 900.0
"""Seconds that an installation may take."""


class Missing(Exception):  # noqa: N818 - a finding that is listed
    """A peer cannot be installed; the message says why."""


def cache() -> Path:
    """Return the directory of environments and measured pieces."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "recloser-scoreboard"


def measured_on() -> dict[str, Any]:
    """Return when and on what a document was measured."""
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
        },
    }


def python_of(peer: Peer) -> str:
    """Return the interpreter of a peer's environment, which is made if it is not there.

    Raises:
        Missing: it cannot be made.
    """
    if peer.requirements is None:
        return sys.executable
    wanted = HERE / "requirements" / f"{peer.requirements}.txt"
    mark = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:10]
    place = cache() / "environments" / f"{peer.requirements}-{mark}"
    python, failed = place / "bin" / "python", place.with_suffix(".failed")
    if (place / "complete").exists():
        return str(python)
    if failed.exists():
        raise Missing(f"{failed.read_text(encoding='utf-8')} (remove {failed.name} to try again)")
    print(f"installing {wanted.name} into {place}", file=sys.stderr)
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    try:
        _run([sys.executable, "-m", "venv", str(place)])
        _run([*pip, "-r", str(wanted)])
    except Missing as error:
        failed.write_text(str(error), encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        raise
    (place / "complete").touch()
    return str(python)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise Missing(f"not installed within {PATIENCE:.0f} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise Missing(lines[-1][:200] if lines else f"exit code {done.returncode}")
