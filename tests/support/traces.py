"""Spans that were recorded, as trees to look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler


@dataclass
class Node:
    """One span and what was done within it, in order of beginning."""

    span: ReadableSpan
    children: list[Node] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def kind(self) -> str:
        return self.span.kind.name

    @property
    def status(self) -> str:
        return self.span.status.status_code.name

    @property
    def attributes(self) -> dict[str, Any]:
        return dict(self.span.attributes or {})

    def __getitem__(self, key: str) -> Any:
        return self.attributes.get(key)

    @property
    def shape(self) -> Any:
        """Names and statuses, nested."""
        return [f"{self.name} {self.status}", *(child.shape for child in self.children)]

    @property
    def ids(self) -> tuple[int, int]:
        context = self.span.get_span_context()
        assert context is not None
        return context.trace_id, context.span_id


class Traces:
    """A provider of an application, and what came of it."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler) if sampler else TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("application")

    def trees(self) -> list[Node]:
        """All finished spans, by their roots."""
        nodes = {span.context.span_id: Node(span) for span in self.exporter.get_finished_spans()}
        roots = []
        for node in sorted(nodes.values(), key=lambda node: node.span.start_time or 0):
            parent = node.span.parent
            (nodes[parent.span_id].children if parent and parent.span_id in nodes else roots).append(node)
        return roots

    def named(self, name: str) -> list[Node]:
        """The spans of one name, with what is below them."""
        found: list[Node] = []

        def look(nodes: list[Node]) -> None:
            for node in nodes:
                if node.name == name:
                    found.append(node)
                look(node.children)

        look(self.trees())
        return found

    def one(self, name: str) -> Node:
        found = self.named(name)
        assert len(found) == 1, [node.shape for node in self.trees()]
        return found[0]

    def roots(self, keep: Callable[[Node], bool] = lambda _: True) -> list[Node]:
        return [node for node in self.trees() if keep(node)]
