"""Where output goes: data to stdout, everything else to stderr, and nothing breaks when a reader has left."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from recloser.config import ConfigurationError


def data(text: str) -> None:
    """Write a command's answer to stdout; a reader that has left early is nobody's failure."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would fail again when the interpreter flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def as_json(value: Any) -> str:
    """Return a value as JSON that a person can read, too."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def document(value: Any) -> None:
    """Write one JSON document to stdout."""
    data(as_json(value))


def picture(renderable: RenderableType) -> None:
    """Write something of rich's to stdout, with colours on a terminal only."""
    console = Console(file=sys.stdout)
    with console.capture() as captured:
        console.print(renderable)
    data(captured.get().rstrip("\n"))


def on_terminal() -> bool:
    """Return whether a person watches stdout."""
    return sys.stdout.isatty()


def note(text: str, style: str = "") -> None:
    """Write a remark to stderr, in a colour on a terminal only; `text` may hold anything, it is not markup."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(Text(text, style=style))


def warn(text: str) -> None:
    """Write a warning to stderr."""
    note(f"Warning: {text}", "yellow")


def complain(text: str) -> None:
    """Write to stderr why the command failed."""
    note(f"Error: {text}", "red")


def refuse(error: ConfigurationError) -> None:
    """Write to stderr all that is wrong with a configuration."""
    for mistake in error.mistakes:
        complain(str(mistake))
