"""Notes that are kept in memory: tools, a resource template and a prompt."""

from __future__ import annotations

from typing import Annotated, Final

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from recloser.demo.servers.serving import main


class Note(BaseModel):
    """One note."""

    id: int
    title: str
    text: str


class Notes(BaseModel):
    """What `list_notes` answers."""

    notes: list[Note]


READ_ONLY: Final = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
ADDS: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)

server = MCPServer("Notes Server", instructions="The user's own notes.", log_level="WARNING")

# Changed by add_note alone; it goes with the process.
_notes: Final = [
    Note(id=1, title="Meetings today", text="10:00 design sync; 13:30 interview; 16:00 release review"),
    Note(id=2, title="To do", text="Answer John about the deployment"),
]


def _find(note: int) -> Note | None:
    return next((known for known in _notes if known.id == note), None)


@server.tool(title="List notes", annotations=READ_ONLY)
async def list_notes() -> Notes:
    """Return all notes, oldest first."""
    return Notes(notes=list(_notes))


@server.tool(title="Read a note", annotations=READ_ONLY)
async def read_note(note: Annotated[int, Field(ge=1, description="The note's id")]) -> Note:
    """Return one note."""
    if (found := _find(note)) is None:
        raise ToolError(f"There is no note {note}. list_notes tells which there are.")
    return found


@server.tool(title="Add a note", annotations=ADDS)
async def add_note(
    title: Annotated[str, Field(min_length=1, max_length=200)], text: Annotated[str, Field(max_length=10_000)]
) -> Note:
    """Add a note; doing it twice makes two."""
    note = Note(id=_notes[-1].id + 1, title=title, text=text)
    _notes.append(note)
    return note


@server.resource("note://{note}", title="A note", mime_type="text/plain")
async def note_text(note: int) -> str:
    """Return one note as text."""
    if (found := _find(note)) is None:
        raise ResourceNotFoundError(f"There is no note {note}.")
    return f"{found.title}\n\n{found.text}"


@server.prompt(title="Daily briefing")
async def daily_briefing(city: str = "Berlin") -> str:
    """Ask for the morning briefing: the day's meetings, the weather and the team's news."""
    return (
        f"Give me my daily briefing: what my notes say about today, the weather in {city}, and what is new in the "
        "team's documents. If something cannot be fetched, say so in one sentence and go on with the rest."
    )


if __name__ == "__main__":
    main(server)
