"""The reference page and the JSON schema of the configuration, made from the code.

`python -m recloser.config.reference` prints the page, `… schema` the schema; `… write` writes both to their places in a
checkout, from its top directory. A test compares them.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, is_dataclass
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import SecretStr

from recloser.config.host_files import IGNORED, NOT_DONE, TABLES, HostEntry
from recloser.config.reference_text import EXAMPLES, INTRODUCTION, MISTAKES, NAMES, OURS_INTRODUCTION, REFERENCES
from recloser.config.schema import CHAOS, ONLY_ONE_SERVER, OURS, file_fields, file_hints
from recloser.config.settings import Gateway, Settings, Telemetry
from recloser.options import Breaker, Bulkhead, Limits, Retry, Server, Timeouts

__all__ = ["page", "schema"]

PAGE: Final = Path("docs/configuration.md")
SCHEMA: Final = Path("src/recloser/config/recloser.schema.json")

_RECORDS: Final[tuple[tuple[str, type[Any]], ...]] = (
    ("timeouts", Timeouts),
    ("retry", Retry),
    ("breaker", Breaker),
    ("bulkhead", Bulkhead),
    ("limits", Limits),
)
_SECTIONS: Final = {
    "defaults": "What all servers have in common. Takes the keys of `recloser.servers.<name>` except "
    + ", ".join(f"`{key}`" for key in sorted(ONLY_ONE_SERVER))
    + ".",
    "servers": "By name: what is said about one server, of a host's table or of its own.",
    "gateway": "How `recloser serve` offers all servers as one.",
    "telemetry": "What is told about calls, and where it goes.",
}


def meanings(record: type[Any]) -> dict[str, str]:
    """Return what each field of a record or model means: the text that stands under it in its source."""
    module = inspect.getmodule(record)
    assert module is not None
    tree = ast.parse(inspect.getsource(module))
    body = next(each.body for each in tree.body if isinstance(each, ast.ClassDef) and each.name == record.__name__)
    found: dict[str, str] = {}
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            said = ast.literal_eval(text.value)
            found[field.target.id] = " ".join(said.split())
    return found


# --- the schema


def schema() -> dict[str, Any]:
    """Return the JSON schema of a whole file."""
    ours = OURS.model_json_schema()
    entry = HostEntry.model_json_schema()
    definitions: dict[str, Any] = ours.pop("$defs")
    definitions |= {"HostEntry": entry, "Recloser": ours}
    _describe(entry, meanings(HostEntry))
    entry["properties"] |= {key: {"description": f"Has no meaning here ({host})."} for key, host in IGNORED.items()}
    entry["properties"] |= {key: {"description": f"Is not done here ({host})."} for key, host in NOT_DONE.items()}
    _describe(ours, {**meanings(Settings), **_SECTIONS})
    for record in (Server, Gateway, Telemetry, *(record for _, record in _RECORDS)):
        _describe(definitions[record.__name__], meanings(record))
    definitions["Server"]["properties"]["chaos"]["description"] = CHAOS
    _describe(definitions["Defaults"], meanings(Server))
    table = {"type": "object", "additionalProperties": {"$ref": "#/$defs/HostEntry"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "recloser",
        "description": "A host's file of MCP servers, with what recloser adds to it.",
        "type": "object",
        "properties": {
            **dict.fromkeys(TABLES, table),
            "inputs": {"type": "array", "description": "VS Code's questions; `${input:id}` is RECLOSER_INPUT_ID here."},
            "recloser": {"$ref": "#/$defs/Recloser"},
        },
        "anyOf": [{"required": [key]} for key in (*TABLES, "recloser")],
        "$defs": {name: _tidy(definitions[name]) for name in sorted(definitions)},
    }


def _describe(model: dict[str, Any], texts: Mapping[str, str]) -> None:
    for key, said in model["properties"].items():
        said["description"] = texts[key]


def _tidy(node: Any) -> Any:
    """Return a part of a schema without generated titles, and with references where a choice of words is asked for."""
    if isinstance(node, list):
        return [_tidy(each) for each in node]
    if not isinstance(node, dict):
        return node
    tidy = {key: _tidy(value) for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    if "enum" in tidy:
        words = {"enum": tidy.pop("enum"), "type": tidy.pop("type")}
        tidy["anyOf"] = [words, {"type": "string", "pattern": r"\$\{"}]
    return tidy


# --- the page


def page() -> str:
    """Return the reference page, in Markdown."""
    blocks = [INTRODUCTION, EXAMPLES, *_host_tables(), OURS_INTRODUCTION, *_our_tables(), REFERENCES, NAMES, MISTAKES]
    return "\n\n".join(block.strip() for block in blocks) + "\n"


def _host_tables() -> Iterator[str]:
    texts = meanings(HostEntry)
    yield "## Keys of a host's entry"
    yield _table(
        ("key", "type", "meaning"),
        [(f"`{name}`", _type(field.annotation), texts[name]) for name, field in HostEntry.model_fields.items()],
    )
    yield "These keys of hosts have no meaning here and are passed over:"
    yield _table(("key", "known to"), [(f"`{key}`", host) for key, host in sorted(IGNORED.items())])
    yield (
        "These ask for something that is not done here. The server is used without it, and `recloser check` says so:"
    )
    yield _table(("key", "known to"), [(f"`{key}`", host) for key, host in sorted(NOT_DONE.items())])
    yield "Any other key in an entry is refused: it is most likely a slip of the pen."


def _our_tables() -> Iterator[str]:
    said = meanings(Settings)
    rows = [
        *((f"`{key}`", "table", "", text) for key, text in _SECTIONS.items()),
        ("`names`", "`qualified` or `bare`", "`qualified`", said["names"]),
        ("`cache`", "string", "none", said["cache"]),
    ]
    yield _table(("key", "type", "default", "meaning"), rows)
    yield "### recloser.servers.&lt;name&gt; and recloser.defaults"
    yield _record(Server)
    yield "One more key is for `recloser.servers.<name>` alone:"
    yield _table(("key", "type", "default", "meaning"), [("`chaos`", _type(bool), "`false`", CHAOS)])
    for name, record in _RECORDS:
        yield f"### {name}"
        yield (inspect.getdoc(record) or "").partition("\n")[0]
        yield _record(record)
    for name, record in (("gateway", Gateway), ("telemetry", Telemetry)):
        yield f"### recloser.{name}"
        yield _record(record)


def _record(record: type[Any]) -> str:
    hints, texts = file_hints(record), meanings(record)
    rows = [
        (f"`{each.name}`", _type(hints[each.name]), _default(each), texts[each.name]) for each in file_fields(record)
    ]
    return _table(("key", "type", "default", "meaning"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


_TYPES: Final[Mapping[Any, str]] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "string",
    Path: "string",
    SecretStr: "string",
    Sequence: "list of strings",
    frozenset: "list of strings",
    Mapping: "table of strings",
}


def _type(hint: Any) -> str:
    """Return a type in the words of somebody who writes a file."""
    if isinstance(hint, type) and is_dataclass(hint):
        return "table"
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in args)
    if origin is Mapping and get_origin(args[1]) is Sequence:
        return "table of lists of strings"
    if NoneType in args:
        return _type(next(each for each in args if each is not NoneType))
    return _TYPES[origin or hint]


def _default(field: Field[Any]) -> str:
    value = field.default if field.default_factory is MISSING else field.default_factory()
    if value is None:
        return "none"
    if is_dataclass(value):
        return "see below"
    if isinstance(value, bool):
        return f"`{json.dumps(value)}`"
    if isinstance(value, int | float):
        return f"`{value:,}`".replace(",", "_") if value >= 10_000 else f"`{value:g}`"
    return f"`{value}`" if value else "empty"


def main(arguments: Sequence[str]) -> int:
    """Print the page or the schema, or write both; return the exit code."""
    made = {"page": page(), "schema": json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"}
    word = arguments[0] if arguments else "page"
    if word == "write":
        PAGE.write_text(made["page"], encoding="utf-8")
        SCHEMA.write_text(made["schema"], encoding="utf-8")
    elif word in made:
        sys.stdout.write(made[word])
    else:
        sys.stderr.write("usage: python -m recloser.config.reference [page | schema | write]\n")
        return 64
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
