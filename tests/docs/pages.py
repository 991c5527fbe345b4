"""What the tests of the documentation share: the pages, their fenced blocks, their tables and their links."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE: Final = re.compile(r"^ {0,3}(```+|~~~+)\s*([\w+-]*)")
_MARK: Final = re.compile(r"^\s*<!-- *(.*?) *-->\s*$")
_LINK: Final = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^()\s<>]+)>?\)")
_HEADING: Final = re.compile(r"^#{1,6} +(.*?) *#*$")


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block of a page."""

    page: Path
    language: str
    line: int
    """The number of its first line of text."""
    text: str
    mark: str = ""
    """The HTML comment on the line above it: `run`, `prints`, or anything else."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass
class _Parsed:
    blocks: list[Block] = field(default_factory=list)
    prose: list[str] = field(default_factory=list)


def _parse(page: Path) -> _Parsed:
    parsed = _Parsed()
    lines = page.read_text(encoding="utf-8").splitlines()
    at, mark = 0, ""
    while at < len(lines):
        opened = _FENCE.match(lines[at])
        if opened is None:
            found = _MARK.match(lines[at])
            mark = found[1] if found else mark if not lines[at].strip() else ""
            parsed.prose.append(lines[at])
            at += 1
            continue
        end = next(n for n in range(at + 1, len(lines)) if lines[n].strip() == opened[1])
        text = "\n".join(lines[at + 1 : end])
        parsed.blocks.append(Block(page=page, language=opened[2], line=at + 2, text=text, mark=mark))
        at, mark = end + 1, ""
    return parsed


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    return _parse(page).blocks


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return "\n".join(_parse(page).prose)


def links(page: Path) -> list[str]:
    """The targets of all links of a page, those in code left out."""
    return _LINK.findall(re.sub(r"`[^`]*`", "", prose(page)))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made where the page is shown."""
    found: set[str] = set()
    for line in prose(page).splitlines():
        if heading := _HEADING.match(line):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).replace("`", "")
            found.add(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-"))
    return found


def tables(page: Path) -> dict[tuple[str, ...], list[list[str]]]:
    """All tables of a page by their headings; those with the same headings are put together."""
    found: dict[tuple[str, ...], list[list[str]]] = {}
    headings: tuple[str, ...] | None = None
    for line in prose(page).splitlines():
        if not line.startswith("|"):
            headings = None
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if headings is None:
            headings = tuple(cells)
            found.setdefault(headings, [])
        elif not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            assert len(cells) == len(headings), f"{page.name}: {line}"
            found[headings].append(cells)
    return found


def codes(cell: str) -> list[str]:
    """All that stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)
