"""Lists in the form that the session's protocol version asks for, of servers that do not quite keep to it.

The SDK takes a page of a list as a whole, or refuses it as a whole: one odd entry would take away all others of its
server. What an entry can do without is mended or taken out here; an entry that cannot be used is left out, and told of.
So it is with hints about how long a result may be kept, and by whom: one that cannot be read is none.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Final, Literal, NamedTuple

from mcp_types.methods import MONOLITH_RESULTS, SERVER_RESULTS
from pydantic import Field, TypeAdapter, ValidationError

__all__ = ["sound"]

_log = logging.getLogger("recloser")


class _List(NamedTuple):
    """Where the entries of a list are, and what of an entry is not taken out, whatever it is."""

    key: str
    needed: frozenset[str]


_LISTS: Final[Mapping[str, _List]] = {
    "tools/list": _List("tools", frozenset({"name", "inputSchema"})),
    "resources/list": _List("resources", frozenset({"name", "uri"})),
    "resources/templates/list": _List("resourceTemplates", frozenset({"name", "uriTemplate"})),
    # Without its arguments, a prompt could be asked for, but nobody would know with what.
    "prompts/list": _List("prompts", frozenset({"name", "arguments"})),
}
_CACHED: Final = frozenset({*_LISTS, "resources/read"})
"""What is answered with hints."""
_HINTS: Final[Mapping[str, tuple[TypeAdapter[Any], int | str]]] = {
    "ttlMs": (TypeAdapter(Annotated[int, Field(ge=0)]), 0),
    "cacheScope": (TypeAdapter(Literal["public", "private"]), "private"),
}
"""Each hint with its form, and what says nothing: the protocol demands that there be something."""
_TOLD: Final = 3
"""Entries that a warning tells of one by one."""
_NAME: Final = 64
"""Characters of an entry's name that are told."""


class _Wrong:
    """What is wrong with one entry; written by `add` only."""

    def __init__(self) -> None:
        self.members: set[str] = set()
        """Those of its members that are not as they must be; none where it is no object at all."""
        self.why = ""
        """The first thing that is wrong: where in the entry, and what should be there. No word of the server's."""

    def add(self, where: Sequence[int | str], what: str) -> None:
        """Note one thing that is wrong."""
        # Members of members are the protocol's words too; what is below, a server may call as it likes.
        place = ".".join(str(part) for part in where[:2])
        self.why = self.why or (f"{place}: {what}" if place else what)
        self.members.update(str(part) for part in where[:1])


def sound(server: str, method: str, version: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Return a page of a list as the SDK takes it at this protocol version, without the entries that it never would.

    An answer that is no page at all is returned as it is, but for its hints.
    """
    if method in _CACHED and (odd := _odd_hints(answer)):
        told = ", ".join(odd)
        _log.info("server %s: hints that do not keep to the protocol count as none: %s of %s", server, told, method)
        answer = {**answer, **odd}
    listed = _LISTS.get(method)
    if listed is not None and answer.get(listed.key, ()) is None:
        return {**answer, listed.key: []}  # some languages write an empty list so
    if listed is None or not isinstance(answer.get(listed.key), list):
        return answer
    wrong = _wrong(method, version, answer)
    if not wrong:
        return answer
    entries = answer[listed.key]
    mended = {number: _mended(listed, entries[number], what.members) for number, what in wrong.items()}
    # Those alone are looked at again: two looks are enough, however odd a list is.
    again = _wrong(method, version, {**answer, listed.key: list(mended.values())})
    out = {number: again[at] for at, number in enumerate(mended) if at in again}
    if out:
        told = _told(listed.key, entries, out)
        _log.warning("server %s: entries that do not keep to the protocol are left out: %s", server, told)
    if rest := {number: what for number, what in wrong.items() if number not in out}:
        told = _told(listed.key, entries, rest)
        _log.info("server %s: entries that do not keep to the protocol are mended: %s", server, told)
    return {**answer, listed.key: [mended.get(n, entry) for n, entry in enumerate(entries) if n not in out]}


def _odd_hints(answer: Mapping[str, Any]) -> dict[str, int | str]:
    """Return what to put in the place of hints that cannot be read."""
    odd = {}
    for name, (form, nothing) in _HINTS.items():
        try:
            form.validate_python(answer.get(name, nothing))
        except ValidationError:
            odd[name] = nothing
    return odd


@cache
def _forms(method: str, version: str) -> tuple[TypeAdapter[Any], ...]:
    """Return what the SDK holds a page against: the version's own form, and that of what it makes of every version."""
    forms: tuple[Any, Any] = SERVER_RESULTS[method, version], MONOLITH_RESULTS[method]
    return tuple(TypeAdapter(form) for form in forms)


def _wrong(method: str, version: str, page: dict[str, Any]) -> dict[int, _Wrong]:
    """Return what is wrong with entries, by their number; what is wrong with the page itself is not looked for."""
    found: dict[int, _Wrong] = {}
    for form in _forms(method, version):
        try:
            form.validate_python(page, by_name=False)
        except ValidationError as error:
            for each in error.errors(include_url=False, include_context=False, include_input=False):
                key, *where = each["loc"]
                if key == _LISTS[method].key and where and isinstance(where[0], int):
                    found.setdefault(where[0], _Wrong()).add(where[1:], each["msg"])
    return dict(sorted(found.items()))


def _mended(listed: _List, entry: Any, wrong: Container[str]) -> Any:
    """Return an entry without what it can do without, and with what takes arguments in the form of a schema.

    It says less than before, never more: a hint that cannot be read is none.
    """
    if not isinstance(entry, dict):
        return entry
    mended = {name: value for name, value in entry.items() if name not in wrong or _needed(listed, name, value)}
    if "inputSchema" in wrong and "inputSchema" in listed.needed:
        mended["inputSchema"] = _of_arguments(entry.get("inputSchema"))
    return mended


def _needed(listed: _List, name: str, value: Any) -> bool:
    # Some languages write an object without members as a list, and the other way round.
    return name in listed.needed and value not in ([], {})


def _of_arguments(schema: Any) -> Any:
    """Return an input schema as one of an object, which arguments always are, unless it says that they are not."""
    if schema is None or schema == []:
        return {"type": "object"}
    if not isinstance(schema, dict):
        return schema
    mended = dict(schema)
    kind = schema.get("type")
    if not kind or (isinstance(kind, list) and "object" in kind) or str(kind).lower() == "object":
        mended["type"] = "object"
    for name, form in (("properties", dict), ("required", list), ("$schema", str)):
        if not isinstance(schema.get(name), form):
            mended.pop(name, None)
    if "properties" in mended:
        # What is not said in a known way says nothing: such a parameter takes anything.
        given = mended["properties"].items()
        mended["properties"] = {name: each if isinstance(each, dict | bool) else {} for name, each in given}
    if "required" in mended:
        mended["required"] = [name for name in mended["required"] if isinstance(name, str)]
    return mended


def _told(key: str, entries: Sequence[Any], wrong: Mapping[int, _Wrong]) -> str:
    """Return where entries are, what they are called and what is wrong, as text that is safe to show."""
    told = []
    for number in list(wrong)[:_TOLD]:
        entry = entries[number]
        name = entry.get("name") if isinstance(entry, dict) else None
        called = f" {name[:_NAME]!a}" if isinstance(name, str) else ""
        told.append(f"{key}[{number}]{called} ({wrong[number].why})")
    more = f" and {len(wrong) - _TOLD} more" if len(wrong) > _TOLD else ""
    return ", ".join(told) + more
