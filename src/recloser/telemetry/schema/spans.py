"""Every span of recloser: its name, its kind, what it stands in, and its attributes.

What is recorded is decided in `recloser.spans`; this table tells it to people and programs, and tests compare both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

__all__ = ["SPANS", "SpanFacts"]

Kind = Literal["CLIENT", "INTERNAL"]
Group = Literal["fan-outs", "calls", "attempts", "background", "own requests"]


@dataclass(frozen=True, kw_only=True)
class SpanFacts:
    """One kind of span."""

    name: str
    """`{tool}` and `{prompt}` stand for a name of a server's list, or `_OTHER`."""
    group: Group
    meaning: str
    parents: tuple[str, ...]
    """Names of spans, `attempts` for any of those, `caller` for what is current where a call is made, or `none`."""
    kinds: tuple[Kind, ...] = ("INTERNAL",)
    links: str | None = None
    """What it is linked to, if anything."""
    status: str
    """When it is ERROR; its description is the value of `error.type`. Otherwise it is UNSET."""
    always: tuple[str, ...]
    sometimes: Mapping[str, str] = field(default_factory=dict)
    """Attributes, and when they are there."""


_METHOD: Final = ("mcp.method.name", "recloser.server.name")
_TOOL: Final = ("gen_ai.operation.name", "gen_ai.tool.name", "gen_ai.tool.type")
_TARGET: Final = {
    "network.transport": "the server is another process",
    "network.protocol.name": "the server is reached over HTTP",
    "server.address": "the server is reached over HTTP",
    "server.port": "the server is reached over HTTP",
}
_FAILED: Final = "it failed"

_ENDED: Final = ("recloser.call.id", "recloser.outcome", "recloser.attempt.count", "recloser.retry.count")
_CALL: Final = {
    "recloser.circuit_breaker.state": "the call had a server",
    "recloser.timeout": "the call had a server",
    "recloser.retry.delay": "it waited before a retry",
    "error.type": _FAILED,
    "recloser.error.class": _FAILED,
    "recloser.delivered": _FAILED,
}
_CALL_FAILS: Final = (
    "the caller got an error; not where a retry helped, the tool itself answered with an error, or the caller went away"
)

_TRY: Final = (
    "recloser.endpoint.name",
    "recloser.attempt.number",
    "recloser.attempt.kind",
    "recloser.circuit_breaker.state",
)
_TRIED: Final = {
    "mcp.protocol.version": "the server was connected when it began",
    **_TARGET,
    "error.type": _FAILED,
    "rpc.response.status_code": "the server answered with a JSON-RPC error",
    "recloser.retry.delay": "it is a retry",
    "recloser.retry.decision": "it failed, and whether to try again was decided",
}
_TRY_FAILS: Final = "it failed, or the tool answered with an error; not where the caller went away"
_REQUEST: Final[tuple[Kind, ...]] = ("CLIENT", "INTERNAL")


def _call(
    name: str, meaning: str, target: tuple[str, ...], parents: tuple[str, ...] = ("caller",), **more: str
) -> SpanFacts:
    return SpanFacts(
        name=name,
        group="calls",
        meaning=meaning,
        parents=parents,
        status=_CALL_FAILS,
        always=(*_METHOD, *target, *_ENDED),
        sometimes={**_CALL, **{name.replace("__", "."): when for name, when in more.items()}},
    )


def _attempt(name: str, within: str, target: tuple[str, ...] = ()) -> SpanFacts:
    return SpanFacts(
        name=name,
        group="attempts",
        meaning="One attempt of the call; INTERNAL where the SDK records a CLIENT span of its own within it.",
        parents=(within,),
        kinds=_REQUEST,
        status=_TRY_FAILS,
        always=(*_METHOD, *target, *_TRY),
        sometimes=_TRIED,
    )


def _request(name: str, meaning: str, *parents: str) -> SpanFacts:
    return SpanFacts(
        name=name,
        group="own requests",
        meaning=meaning,
        parents=parents,
        kinds=_REQUEST,
        status=_FAILED,
        always=_METHOD,
        sometimes={"mcp.protocol.version": "it has been agreed on", **_TARGET, "error.type": _FAILED},
    )


_CONNECT: Final = "recloser.connect"
_SIGN_OF_LIFE: Final = ("recloser.probe",)
_LISTED: Final = (_CONNECT, "none")

SPANS: Final = (
    SpanFacts(
        name="recloser.fan_out",
        group="fan-outs",
        meaning="Many calls made at once.",
        parents=("caller",),
        status="fewer calls were answered than had to be",
        always=("recloser.fan_out.size",),
        sometimes={
            "recloser.fan_out.answered": "there is a verdict",
            "recloser.fan_out.quorum": "there is a verdict",
            "recloser.fan_out.result": "there is a verdict",
            "recloser.degraded": "there is a verdict",
            "error.type": _FAILED,
        },
    ),
    _call(
        "execute_tool {tool}",
        "One call of a tool, with all its attempts; without any where it was rejected.",
        _TOOL,
        ("caller", "recloser.fan_out"),
        recloser__result__is_error="a result came back",
        gen_ai__tool__call__arguments="content is captured and there are any",
        gen_ai__tool__call__result="content is captured and there is one",
    ),
    _call(
        "get_prompt {prompt}",
        "One prompt that was asked for.",
        ("gen_ai.prompt.name",),
    ),
    _call(
        "read_resource",
        "One resource that was asked for.",
        (),
        mcp__resource__uri="content is captured and the server lists it",
    ),
    _call("complete", "One argument of a prompt or of a resource template that was to be completed.", ()),
    _attempt("tools/call {tool}", "execute_tool {tool}", _TOOL),
    _attempt("prompts/get {prompt}", "get_prompt {prompt}", ("gen_ai.prompt.name",)),
    _attempt("resources/read", "read_resource"),
    _attempt("completion/complete", "complete"),
    SpanFacts(
        name="recloser.connect",
        group="background",
        meaning="One try to connect to a server, to its lists being there.",
        parents=("none",),
        links="the attempt that wanted it, where one did",
        status=_FAILED,
        always=("recloser.server.name", "recloser.generation"),
        sometimes={**_TARGET, "error.type": _FAILED},
    ),
    SpanFacts(
        name="recloser.probe",
        group="background",
        meaning="A sign of life is asked for: after failures, or before an open circuit lets a call through again.",
        parents=("none",),
        links="the call that failed, or the attempt that is the first to be let through again",
        status="there was none",
        always=("recloser.server.name",),
        sometimes={**_TARGET, "error.type": _FAILED},
    ),
    _request(
        "server/discover",
        "What a server of the stateless era is; no error where it says to be an older one. Also a sign of life.",
        _CONNECT,
        *_SIGN_OF_LIFE,
    ),
    _request("initialize", "The handshake with a server of the other era.", _CONNECT),
    _request("ping", "A sign of life of a server of that era.", *_SIGN_OF_LIFE),
    _request("tools/list", "A page of the server's tools.", *_LISTED),
    _request("resources/list", "A page of its resources.", *_LISTED),
    _request("resources/templates/list", "A page of its resource templates.", *_LISTED),
    _request("prompts/list", "A page of its prompts.", *_LISTED),
)
"""All of them, in the order of the documentation."""
