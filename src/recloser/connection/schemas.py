"""Whether a tool's result is what its output schema promises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.client import ClientSession

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

__all__ = ["OutputSchemas"]


class OutputSchemas:
    """The output schemas of one session's tools, each compiled when its first result comes.

    Written by `take`, with every listing, and by `check`, which keeps what it has compiled.
    """

    def __init__(self) -> None:
        self._schemas: Mapping[str, dict[str, Any]] = {}
        self._compiled: dict[str, Validator] = {}

    def take(self, tools: Iterable[types.Tool]) -> None:
        """Know these tools' schemas, and no others."""
        self._schemas = {tool.name: tool.output_schema for tool in tools if tool.output_schema is not None}
        self._compiled = {}

    async def check(self, session: ClientSession, name: str, result: types.CallToolResult) -> None:
        """Hold a result against its tool's schema; one that tells an error, or of a tool without a schema, passes.

        Raises:
            RuntimeError: it does not fit, as the SDK says it.
        """
        if name in self._schemas and not result.is_error and not self._fits(name, result.structured_content):
            # What is wrong is for the SDK to say: it finds it out more slowly, and knows more cases.
            await session.validate_tool_result(name, result)

    def _fits(self, name: str, value: Any) -> bool:
        if value is None:
            return False
        try:
            validator = self._compiled.get(name) or self._compile(name)
            return bool(validator.is_valid(value))
        except Exception:  # noqa: BLE001 - a schema is foreign code: broken, or with references that lead nowhere
            return False

    def _compile(self, name: str) -> Validator:
        # Loaded with the first result that has a schema, as the SDK does: it takes a while.
        from jsonschema.validators import validator_for
        from referencing import Registry

        schema = self._schemas[name]
        kind = validator_for(schema)
        kind.check_schema(schema)
        # An empty registry, as in the SDK: a schema does not make us fetch anything.
        validator: Validator = kind(schema, registry=Registry())
        self._compiled[name] = validator
        return validator
