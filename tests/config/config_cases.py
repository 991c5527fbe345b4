"""What the tests of the configuration share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recloser.config import ConfigurationError, Settings, load
from recloser.options import Server

ENVIRON = {"TOKEN": "token-123456", "N": "7", "EMPTY": "", "YES": "true", "WORD": "bare", "SHORT": "abc"}


def write(directory: Path, name: str, content: Any) -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
    return path


def only(settings: Settings) -> Server:
    (server,) = settings.servers
    return server


def entry(**said: Any) -> dict[str, Any]:
    return {"mcpServers": {"search": said}}


def mistakes(source: Any, **environ: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(source, environ=environ)
    return [str(each).removeprefix("configuration: ") for each in caught.value.mistakes]
