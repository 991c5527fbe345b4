"""`python -m recloser.telemetry.schema write|check`, from the top directory of a checkout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from recloser.telemetry.schema import FILE, schema, text
from recloser.telemetry.schema.page import PAGE, filled


def documents(top: Path) -> dict[Path, str]:
    """Return what the files say when they are true."""
    return {FILE: text(), PAGE: filled((top / PAGE).read_text(encoding="utf-8"), schema())}


def main(words: Sequence[str], top: Path) -> int:
    """Write the documents or compare them; return the exit status."""
    if words not in (["write"], ["check"]):
        sys.stderr.write("say `write` or `check`\n")
        return 64
    wrong = {path: said for path, said in documents(top).items() if _said(top / path) != said}
    if words == ["write"]:
        for path, said in wrong.items():
            (top / path).write_text(said, encoding="utf-8")
        return 0
    for path in wrong:
        sys.stderr.write(f"{path} is not what the code says; run `python -m recloser.telemetry.schema write`\n")
    return 1 if wrong else 0


def _said(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.is_file() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path.cwd()))
