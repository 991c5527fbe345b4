"""The spans of recloser: their names, their attributes, and how they are nested.

    recloser.fan_out                    INTERNAL  many calls at once
    └─ execute_tool {tool}              INTERNAL  one logical call; also get_prompt {prompt}, read_resource, complete
       └─ tools/call {tool}             CLIENT    one attempt; also prompts/get {prompt}, resources/read, …

    recloser.connect, recloser.probe    INTERNAL  work behind the scenes: roots of their own, linked to what caused them
    └─ initialize, tools/list, …        CLIENT    one request of ours

The conventions for MCP and GenAI come first; what is ours stands under `recloser.`. No span holds an argument, a result
or a text of a server, unless content was switched on.
"""

from recloser.spans.around import Background, Spread, current, detached, names_current, trace_ids
from recloser.spans.attributes import OTHER, SCOPE, error_type, target_attributes
from recloser.spans.tracing import SpanKindChoice, Spans

__all__ = [
    "OTHER",
    "SCOPE",
    "Background",
    "SpanKindChoice",
    "Spans",
    "Spread",
    "current",
    "detached",
    "error_type",
    "names_current",
    "target_attributes",
    "trace_ids",
]
