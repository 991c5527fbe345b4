"""Whether a tool's result is what its output schema promises."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import mcp_types as types

from recloser.connection.patterns import steps

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

__all__ = ["OutputSchemas"]

_log = logging.getLogger("recloser")

STEPS: Final = 2_000_000
"""What one result's schema may cost: steps of its regular expressions and comparisons of its items, some 20 ms.

A schema is written by the server, and the loop waits for it: what would cost more is left unchecked."""


class OutputSchemas:
    """The output schemas of one session's tools, each compiled when its first result comes.

    Written by `take`, with every listing, and by `check`, which keeps what it has compiled and drops what is no schema.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._schemas: dict[str, dict[str, Any]] = {}
        self._compiled: dict[str, tuple[Validator, frozenset[str]]] = {}

    def take(self, tools: Iterable[types.Tool]) -> None:
        """Know these tools' schemas, and no others."""
        self._schemas = {tool.name: tool.output_schema for tool in tools if tool.output_schema is not None}
        self._compiled = {}

    def check(self, name: str, result: types.CallToolResult) -> None:
        """Hold a result against its tool's schema; one that tells an error, or of a tool without a schema, passes.

        So does one whose schema is none: what makes no sense forbids nothing, and the tool has run.

        Raises:
            RuntimeError: it does not fit; in the SDK's words.
        """
        if name not in self._schemas or result.is_error:
            return
        if result.structured_content is None and "structured_content" not in result.model_fields_set:
            raise RuntimeError(f"Tool {name} has an output schema but did not return structured content")
        try:
            validator, patterns = self._compiled.get(name) or self._compile(name)
            _spending.set(_Allowance(patterns))
            fits = validator.is_valid(result.structured_content)
        except Exception as error:  # noqa: BLE001 - a schema is foreign code: broken, without an end, or referring to nothing
            del self._schemas[name]
            why = type(error).__name__
            _log.warning("server %s: the output schema of %.64a is none, and not checked (%s)", self._server, name, why)
            return
        if not fits:
            raise RuntimeError(f"Invalid structured content returned by tool {name}")

    def _compile(self, name: str) -> tuple[Validator, frozenset[str]]:
        # Loaded with the first result that has a schema, as the SDK does: it takes a while.
        from jsonschema.validators import validator_for
        from referencing import Registry

        schema = self._schemas[name]
        kind = validator_for(schema)
        kind.check_schema(schema)
        # An empty registry, as in the SDK: a schema does not make us fetch anything.
        validator: Validator = _bounded(kind)(schema, registry=Registry())
        self._compiled[name] = validator, frozenset(_patterns(schema))
        return self._compiled[name]


class _Allowance:
    """What a check may still cost, spent by the keywords; and the patterns for names that its schema holds."""

    __slots__ = ("left", "patterns")

    def __init__(self, patterns: frozenset[str]) -> None:
        self.left: float = STEPS
        self.patterns = patterns


_spending: Final[ContextVar[_Allowance]] = ContextVar("recloser_allowance")
"""What the check that is under way may cost. Written by `OutputSchemas.check`."""

_Keyword = Callable[[Any, Any, Any, Any], Iterable[Any] | None]
_Cost = Callable[[Any, Any, _Allowance], float]


@cache
def _bounded(kind: type[Validator]) -> type[Validator]:
    """Return a dialect whose dear keywords are without effect once they cost too much.

    Once for each dialect and not for each tool: a class takes a millisecond to make, and 20 KiB to keep.
    """
    from jsonschema.validators import extend

    known: Mapping[str, _Keyword] = kind.VALIDATORS
    dear = {name: _limited(known[name], cost) for name, cost in _COSTS.items() if name in known}
    dialect: type[Validator] = extend(kind, dear)  # type: ignore[no-untyped-call]  # jsonschema leaves it untyped
    return dialect


def _limited(keyword: _Keyword, cost: _Cost) -> _Keyword:
    def check(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
        # One that is too dear is passed over, and keeps no other from being looked at.
        allowance = _spending.get()
        if (costs := cost(wanted, value, allowance)) <= allowance.left:
            allowance.left -= costs
            yield from keyword(validator, wanted, value, schema) or ()

    return check


def _of_text(pattern: Any, value: Any, _: _Allowance) -> float:
    return steps(pattern, len(value)) if isinstance(value, str) else 0


def _of_items(_: Any, value: Any, __: _Allowance) -> float:
    # In the worst case each is compared with each.
    return len(value) ** 2 if isinstance(value, list) else 0


def _of_names(_: Any, value: Any, allowance: _Allowance) -> float:
    if not isinstance(value, dict):
        return 0
    return sum(steps(pattern, len(name)) for name in value for pattern in allowance.patterns)


_COSTS: Final[Mapping[str, _Cost]] = {
    "pattern": _of_text,
    "uniqueItems": _of_items,
    **dict.fromkeys(("patternProperties", "additionalProperties", "unevaluatedProperties"), _of_names),
}
"""Keywords whose cost a server could drive up; the last three try the names of an object's members on every pattern."""


def _patterns(schema: Any) -> Iterator[str]:
    """Yield every pattern for names that a schema holds, wherever it is."""
    waiting = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            found = each.get("patternProperties")
            yield from found if isinstance(found, dict) else ()
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
