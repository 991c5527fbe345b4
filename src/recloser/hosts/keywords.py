"""Schemas with only those keywords that are in a form that JSON Schema knows.

Both model APIs hold a tool's schema against draft 2020-12 and refuse the whole request where it does not fit, for every
tool in it; OpenAI's also wants to know the items of every array. What is taken out here makes a schema more permissive,
never less: the server checks the arguments anyway.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

__all__ = ["wellformed"]

_TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_PATTERN_MAX: Final = 2048
"""Characters of a pattern that is compiled, to see whether it can be: some milliseconds, while the loop waits."""
_ID: Final = re.compile(r"[^#]*#?")
_ANCHOR: Final = re.compile(r"[A-Za-z_][-A-Za-z0-9._]*")


def wellformed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema without what is no keyword's value, here and in all schemas below; what nobody knows stays.

    Raises:
        RecursionError: it is nested too deeply.
    """
    found: dict[str, Any] = {}
    for name, value in schema.items():
        kept = _KEYWORDS[name](value) if name in _KEYWORDS else value
        if kept is not None or name not in _KEYWORDS:
            found[name] = kept
    if "array" in found.get("type", ()) and not isinstance(found.get("items"), dict):
        found["items"] = {}
    return found


# Each takes what a server has given for a keyword, and returns what it may be, or None where the keyword has to go.


def _schema(value: Any) -> dict[str, Any] | bool | None:
    if isinstance(value, Mapping):
        return wellformed(value)
    return value if isinstance(value, bool) else None


def _any(value: Any) -> dict[str, Any] | bool:
    # In a list or under a name it has its place, so it becomes the schema that takes everything.
    schema = _schema(value)
    return {} if schema is None else schema


def _schemas(value: Any) -> list[Any] | None:
    return [_any(each) for each in value] if isinstance(value, list) and value else None


def _named(value: Any) -> dict[str, Any] | None:
    return {name: _any(each) for name, each in value.items()} if isinstance(value, Mapping) else None


def _names(value: Any) -> list[str] | None:
    return list(dict.fromkeys(each for each in value if isinstance(each, str))) if isinstance(value, list) else None


def _names_each(value: Any) -> dict[str, list[str]] | None:
    return {name: _names(each) or [] for name, each in value.items()} if isinstance(value, Mapping) else None


def _dependencies(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, Mapping):
        return None
    return {name: _names(each) if isinstance(each, list) else _any(each) for name, each in value.items()}


def _type(value: Any) -> str | list[str] | None:
    if isinstance(value, str):
        return value if value in _TYPES else None
    return [each for each in _names(value) or () if each in _TYPES] or None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _like(pattern: re.Pattern[str]) -> Callable[[Any], str | None]:
    return lambda value: value if isinstance(value, str) and pattern.fullmatch(value) else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _list(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) else None


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _count(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number >= 0 and number % 1 == 0 else None


def _pattern(value: Any) -> str | None:
    return value if isinstance(value, str) and _compiles(value) else None


def _patterns(value: Any) -> dict[str, Any] | None:
    schemas = _named(value)
    return None if schemas is None else {name: each for name, each in schemas.items() if _compiles(name)}


@lru_cache(maxsize=4096)
def _compiles(pattern: str) -> bool:
    if len(pattern) > _PATTERN_MAX:
        return False
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError, Warning):  # the last where the host makes errors of warnings
        return False
    return True


def _never(_: Any) -> None:
    return None


def _each(names: str, mend: Callable[[Any], Any]) -> dict[str, Callable[[Any], Any]]:
    return dict.fromkeys(names.split(), mend)


_KEYWORDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    **_each("additionalProperties contains contentSchema else if items not propertyNames then", _schema),
    **_each("unevaluatedItems unevaluatedProperties", _schema),
    **_each("allOf anyOf oneOf prefixItems", _schemas),
    **_each("$defs definitions dependentSchemas properties", _named),
    **_each("required", _names),
    **_each("dependentRequired", _names_each),
    **_each("dependencies", _dependencies),
    **_each("type", _type),
    **_each("$comment $dynamicRef $recursiveRef $ref $schema", _text),
    **_each("contentEncoding contentMediaType description format title", _text),
    **_each("pattern", _pattern),
    **_each("patternProperties", _patterns),
    **_each("$id", _like(_ID)),
    **_each("$anchor $dynamicAnchor $recursiveAnchor", _like(_ANCHOR)),
    **_each("$vocabulary", _never),
    **_each("deprecated readOnly uniqueItems writeOnly", _flag),
    **_each("enum examples", _list),
    **_each("exclusiveMaximum exclusiveMinimum maximum minimum", _number),
    **_each("multipleOf", _positive),
    **_each("maxContains maxItems maxLength maxProperties minContains minItems minLength minProperties", _count),
}
