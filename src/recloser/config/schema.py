"""Which fields of our records a file may set, and how its plain values become them.

The records say everything themselves, names, types and defaults; a pydantic model is derived from each, which refuses
unknown keys and reports every wrong type. Their own checks, which compare several values, run when they are made.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, Union, get_args, get_origin, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SecretStr,
    Strict,
    ValidationError,
    WithJsonSchema,
    create_model,
)
from pydantic_core import ErrorDetails

from recloser.config.mistakes import Place, Report, nearest
from recloser.config.settings import Gateway, Names, Telemetry
from recloser.config.values import Broken, Referenced
from recloser.options import Server
from recloser.redact import is_secret_name

__all__ = [
    "CHAOS",
    "DEFAULTS",
    "ONLY_IN_CODE",
    "ONLY_ONE_SERVER",
    "OURS",
    "SERVER",
    "STRICT",
    "Flag",
    "check",
    "file_fields",
    "file_hints",
    "model_of",
    "plain",
]

ONLY_IN_CODE: Final = frozenset({"name", "target", "auth", "classify", "chaos"})
"""Fields of `Server` that no file can set: the name is the key, and the others are objects of the program."""
ONLY_ONE_SERVER: Final = frozenset({"url", "command", "args", "cwd", "transport"})
"""Fields of `Server` that cannot be the same for all servers, so that `defaults` does not take them."""
CHAOS: Final = "Whether `recloser chaos` may disturb this server on purpose; no other server is ever touched."
"""What `chaos` means in a file, where it is a yes or no for each server."""
STRICT: Final = ConfigDict(extra="forbid", strict=True)
Elsewhere: TypeAlias = Callable[[tuple[int | str, ...]], str | None]


def plain(value: object) -> object:
    """Return a number or a yes or no for a text that came from a reference and is one; everything else as it is."""
    if isinstance(value, Referenced):
        try:
            found = json.loads(value)
        except ValueError:
            return value
        return found if isinstance(found, bool | int | float) else value
    return value


def _or_reference(kind: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": kind}, {"type": "string", "pattern": r"\$\{"}]})


_Number: TypeAlias = Annotated[float, Strict(), BeforeValidator(plain), _or_reference("number")]
_Whole: TypeAlias = Annotated[int, Strict(), BeforeValidator(plain), _or_reference("integer")]
Flag: TypeAlias = Annotated[bool, Strict(), BeforeValidator(plain), _or_reference("boolean")]
_IN_FILES: Final[Mapping[Any, Any]] = {
    float: _Number,
    int: _Whole,
    bool: Flag,
    Path: str,
    SecretStr: str,
    frozenset[str]: Sequence[str],
}


def _in_files(hint: Any) -> Any:
    """Return the type that stands in a file for a record's type."""
    if isinstance(hint, type) and is_dataclass(hint):
        return model_of(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return Union[tuple(map(_in_files, get_args(hint)))]  # noqa: UP007 - `|` takes no tuple
    return _IN_FILES.get(hint, hint)


def file_fields(record: Any, without: frozenset[str] = frozenset()) -> tuple[Field[Any], ...]:
    """Return the fields of a record that a file may set."""
    return tuple(field for field in fields(record) if field.name not in ONLY_IN_CODE | without)


def file_hints(record: Any) -> dict[str, Any]:
    """Return the types of the fields of a record that a file may set."""
    # Server names types that exist for a type checker only; they belong to fields that no file sets.
    names = {field.name: record.__annotations__[field.name] for field in file_fields(record)}
    return get_type_hints(type("Fields", (), {"__annotations__": names, "__module__": record.__module__}))


@cache
def model_of(record: type[Any], name: str = "", without: frozenset[str] = frozenset()) -> type[BaseModel]:
    """Return the model of what a file may say about a record."""
    hints = file_hints(record)
    entries: dict[str, Any] = {}
    for field in file_fields(record, without):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        entries[field.name] = (_in_files(hints[field.name]), default)
    made: type[BaseModel] = create_model(name or record.__name__, __config__=STRICT, **entries)
    return made


SERVER: Final[type[BaseModel]] = create_model("Server", __base__=model_of(Server), chaos=(Flag, False))
"""What `recloser.servers.<name>` takes: in a file, `chaos` says whether the server may be disturbed on purpose."""
DEFAULTS: Final = model_of(Server, "Defaults", ONLY_ONE_SERVER)
"""What `recloser.defaults` takes."""
_BY_NAME: Any = types.GenericAlias(Mapping, (str, SERVER))
OURS: Final[type[BaseModel]] = create_model(
    "Recloser",
    __config__=STRICT,
    defaults=(DEFAULTS, {}),
    servers=(_BY_NAME, {}),
    gateway=(model_of(Gateway), {}),
    telemetry=(model_of(Telemetry), {}),
    names=(Names, "qualified"),
    cache=(str | None, None),
)
"""What stands under `recloser`."""


def check(
    model: type[BaseModel], raw: Any, place: Place, report: Report, elsewhere: Elsewhere = lambda _: None
) -> dict[str, Any]:
    """Return what is right of a table: only the keys that it has, with values of the right type; note all mistakes.

    `elsewhere` tells for a key that is unknown, by its place in the table, where it belongs.
    """
    for _ in range(2):
        try:
            return model.model_validate(raw).model_dump(exclude_unset=True)
        except ValidationError as error:
            problems = error.errors(include_url=False)
        for problem in problems:
            _tell(model, problem, place, report, elsewhere)
            raw = _without(raw, problem["loc"])
    raise AssertionError("unreachable: what is wrong was taken out")


def _without(raw: Any, loc: tuple[int | str, ...]) -> Any:
    """Return a copy of a table without the entry at `loc`; of a list, nothing is left."""
    key, rest = loc[:1], loc[1:]
    if not isinstance(raw, Mapping) or not key:
        return {}
    # Keys that are no strings are mistakes all of them, and are told in other words.
    copy = {each: value for each, value in raw.items() if isinstance(each, str)}
    if key[0] in copy:  # or an earlier mistake has taken it out
        inner = copy.pop(key[0])
        if rest and isinstance(inner, Mapping):
            copy[key[0]] = _without(inner, rest)
    return copy


_EXPECTED: Final[Mapping[str, str]] = {
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "a string",
    "sequence_str": "a list of strings",
    "is_instance_of": "a list of strings",
    "model_type": "a table",
    "dict_type": "a table",
    "mapping_type": "a table",
    "finite_number": "a finite number",
}


def _tell(model: type[BaseModel], problem: ErrorDetails, place: Place, report: Report, elsewhere: Elsewhere) -> None:
    loc = tuple(part for part in problem["loc"] if part != "[key]")
    at, value = (*place, *loc), problem["input"]
    if isinstance(value, Broken):
        return
    if problem["type"] == "extra_forbidden":
        known = _known(model, loc[:-1])
        close = nearest(str(loc[-1]), known)
        hint = f"did you mean {close!r}?" if close else f"known: {', '.join(sorted(known))}"
        belongs = elsewhere(loc)
        report.mistake(at, "unknown key", belongs or hint, meant="" if belongs else close)
    elif problem["type"] == "literal_error":
        expected = str(problem.get("ctx", {}).get("expected"))
        close = nearest(str(value), re.findall(r"'(\w+)'", expected))
        report.mistake(
            at, f"expected {expected}, found {_show(value, at)}", f"did you mean {close!r}?" if close else None
        )
    else:
        expected = _EXPECTED.get(problem["type"], problem["msg"])
        report.mistake(at, f"expected {expected}, found {_show(value, at)}")


def _known(model: Any, loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the model takes at a place."""
    for part in loc:
        model = get_args(model)[1] if get_origin(model) is not None else model.model_fields[str(part)].annotation
    return list(model.model_fields)


def _show(value: object, at: Place) -> str:
    """Return what stands in the file, in its own words; a text that may be secret is not shown."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        keys = [part for part in at if isinstance(part, str)]
        hidden = (
            isinstance(value, Referenced) or {"env", "headers", "args"} & set(keys) or any(map(is_secret_name, keys))
        )
        return "a string" if hidden or len(value) > 40 else f"the string {json.dumps(value, ensure_ascii=False)}"
    if isinstance(value, Mapping):
        return "a table"
    return "a list" if isinstance(value, Sequence) else f"an object of type {type(value).__name__}"
