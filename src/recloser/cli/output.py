"""Where output goes: data to stdout, everything else to stderr."""

from __future__ import annotations

import codecs
import json
import re
import sys
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from recloser.config import ConfigurationError
from recloser.redact import CONTROL, printable


def data(text: str) -> None:
    """Write a command's answer to stdout; what cannot be written is a failure (see `streams` for who may leave)."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def as_json(value: Any, encoding: str | None = None) -> str:
    """Return a value as JSON that a person can read, too; `encoding` may lack characters, and None lacks none."""
    narrow = encoding is not None and not codecs.lookup(encoding).name.startswith("utf")
    # A terminal must not obey what a server has written, and a program must get it whole: both read an escape.
    return CONTROL.sub(_escaped, json.dumps(value, indent=2, ensure_ascii=narrow))


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def document(value: Any) -> None:
    """Write one JSON document to stdout."""
    data(as_json(value, sys.stdout.encoding))


def shown(said: str) -> str:
    """Return what a server has written as it goes to stdout: whole to a program, harmless to a terminal."""
    return printable(said) if on_terminal() else said


def line(said: str) -> str:
    """Return what a server has written as one cell of a table, on a terminal or between tabs."""
    return " ".join(printable(said).split())


def picture(renderable: RenderableType) -> None:
    """Write something of rich's to stdout, with colours on a terminal only."""
    console = Console(file=sys.stdout)
    with console.capture() as captured:
        console.print(renderable)
    data(captured.get().rstrip("\n"))


def width() -> int:
    """Return the columns of the terminal that stdout is."""
    return Console(file=sys.stdout).width


def on_terminal() -> bool:
    """Return whether a person watches stdout."""
    return sys.stdout.isatty()


def note(text: str, style: str = "") -> None:
    """Write a remark to stderr, in a colour on a terminal only; `text` may hold anything, it is not markup."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(Text(printable(text), style=style))


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
