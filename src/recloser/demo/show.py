"""How the demo tells what happens: colours and panels on a terminal, plain lines anywhere else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from recloser.errors import ErrorPayload
from recloser.events import CircuitChanged, ConnectionChanged, Event, RetryScheduled


class Show:
    """Prints, and keeps what was expected and did not happen.

    `missed` is written by `expect` alone.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._acts = 0
        self.missed: list[str] = []
        self.live = False
        """Whether events are shown as they come: not while servers start and end."""

    def act(self, heading: str) -> None:
        """Begin a new part."""
        self._acts += 1
        self._line("")
        self._line(f"{self._acts}. {heading}", "bold cyan")

    def say(self, text: str) -> None:
        """Tell something in a sentence."""
        self._line(f"   {text}")

    def answer(self, asked: str, answer: str, seconds: float) -> None:
        """Tell what was called and what came back."""
        line = Text(f"   {asked}", style="bold")
        line.append(f" -> {answer}", style="not bold green").append(f"  ({in_time(seconds)})", style="not bold dim")
        self._print(line)

    def quote(self, text: str) -> None:
        """Show what an agent would say to its user."""
        if self._console.is_terminal:
            self._print(Padding(Panel(Text(text), border_style="green", title="agent"), (0, 0, 0, 3)))
        else:
            self._line(f"   Agent: {text}")

    def payload(self, payload: ErrorPayload | None) -> None:
        """Show what a host is given for a failure."""
        if payload is None:
            self.say("There was no failure.")
            return
        text = json.dumps(payload.to_dict(), indent=2)
        if self._console.is_terminal:
            body = Syntax(text, "json", background_color="default", word_wrap=True)
            self._print(Padding(Panel(body, border_style="red", title=payload.code), (0, 0, 0, 3)))
        else:
            for line in text.splitlines():
                self._line(f"   {line}")

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table."""
        if self._console.is_terminal:
            table = Table(*headings, box=None, padding=(0, 2))
            for row in rows:
                table.add_row(*map(Text, row))
            self._print(Padding(table, (0, 0, 0, 1)))
            return
        widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
        for row in (headings, *rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self._line(f"   {'  '.join(cells).rstrip()}")

    def expect(self, what: str, *, holds: bool) -> None:
        """State what should have happened, and remember if it did not."""
        if not holds:
            self.missed.append(what)
        self._line(f"   {'[ok]' if holds else '[NOT]'} {what}", "green" if holds else "bold red")

    def event(self, event: Event) -> None:
        """Show what recloser does on its own; a listener of the router."""
        if self.live and (text := in_words(event)):
            self._line(f"   . {text}", "dim")

    def _line(self, text: str, style: str = "") -> None:
        self._print(Text(text, style=style))

    def _print(self, renderable: Any) -> None:
        self._console.print(renderable, soft_wrap=not self._console.is_terminal)


def in_time(seconds: float) -> str:
    """Return a duration as a person reads it."""
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds:.2f} s"


def in_words(event: Event) -> str | None:
    """Return an event as a sentence, or None if it says nothing to a watcher."""
    match event:
        case RetryScheduled():
            return f"{event.name}: attempt {event.attempt} failed ({event.code}), the next in {in_time(event.delay)}"
        case CircuitChanged():
            again = "" if event.retry_after is None else f"; worth trying again in {in_time(event.retry_after)}"
            return f"{event.server}: circuit {event.previous} -> {event.state} ({event.reason}){again}"
        case ConnectionChanged(state="connecting", code=str(code)):
            return f"{event.server}: connection lost ({code}), connecting again"
        case ConnectionChanged(state="ready"):
            return f"{event.server}: connected, generation {event.generation}"
        case ConnectionChanged(state="failed"):
            return f"{event.server}: could not connect ({event.code})"
        case _:
            return None


def in_brief(value: Mapping[str, Any]) -> str:
    """Return a tool's arguments as they would be written in code."""
    return ", ".join(f"{key}={item!r}" for key, item in value.items())
