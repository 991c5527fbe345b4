"""Whether a tool's result is what its output schema promises."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
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
        self._compiled: dict[str, Validator] = {}
        self._allowance = _Allowance()

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
        self._allowance.left = STEPS
        try:
            fits = (self._compiled.get(name) or self._compile(name)).is_valid(result.structured_content)
        except Exception as error:  # noqa: BLE001 - a schema is foreign code: broken, without an end, or referring to nothing
            del self._schemas[name]
            why = type(error).__name__
            _log.warning("server %s: the output schema of %.64a is none, and not checked (%s)", self._server, name, why)
            return
        if not fits:
            raise RuntimeError(f"Invalid structured content returned by tool {name}")

    def _compile(self, name: str) -> Validator:
        # Loaded with the first result that has a schema, as the SDK does: it takes a while.
        from jsonschema.validators import extend, validator_for
        from referencing import Registry

        schema = self._schemas[name]
        kind = validator_for(schema)
        kind.check_schema(schema)
        bounded = self._allowance.bounded(kind.VALIDATORS, frozenset(_patterns(schema)))
        kind = extend(kind, bounded)  # type: ignore[no-untyped-call]  # jsonschema leaves it untyped
        # An empty registry, as in the SDK: a schema does not make us fetch anything.
        validator: Validator = kind(schema, registry=Registry())
        self._compiled[name] = validator
        return validator


_Keyword = Callable[[Any, Any, Any, Any], Iterable[Any] | None]
_OF_NAMES: Final = ("patternProperties", "additionalProperties", "unevaluatedProperties")
"""Keywords that try the names of an object's members on every pattern."""


class _Allowance:
    """What a check may still cost. Written by `check`, which sets it, and by the keywords, which spend it."""

    def __init__(self) -> None:
        self.left: float = 0

    def bounded(self, keywords: Mapping[str, _Keyword], names: frozenset[str]) -> dict[str, _Keyword]:
        """Return those keywords whose cost a server could drive up, each without effect once it costs too much."""
        costs: dict[str, Callable[[Any, Any], float]] = {
            "pattern": _of_text,
            "uniqueItems": _of_items,
            **dict.fromkeys(_OF_NAMES, lambda _, value: _of_names(names, value)),
        }
        return {name: self._bounded(keywords[name], cost) for name, cost in costs.items() if name in keywords}

    def _bounded(self, keyword: _Keyword, cost: Callable[[Any, Any], float]) -> _Keyword:
        def check(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
            # One that is too dear is passed over, and keeps no other from being looked at.
            if (costs := cost(wanted, value)) <= self.left:
                self.left -= costs
                yield from keyword(validator, wanted, value, schema) or ()

        return check


def _of_text(pattern: Any, value: Any) -> float:
    return steps(pattern, len(value)) if isinstance(value, str) else 0


def _of_items(_: Any, value: Any) -> float:
    # In the worst case each is compared with each.
    return len(value) ** 2 if isinstance(value, list) else 0


def _of_names(patterns: frozenset[str], value: Any) -> float:
    if not isinstance(value, dict) or not patterns:
        return 0
    return sum(steps(pattern, len(name)) for name in value for pattern in patterns)


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
