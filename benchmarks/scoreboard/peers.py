"""Who is compared: one adapter each, in an environment with pinned versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

__all__ = ["OPEN", "PEERS", "Peer"]

HERE: Final = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One system."""

    name: str
    title: str
    requirements: str | None
    """The file in `requirements/`; None: this project's own environment."""
    module: str
    """The file in `adapters/`."""
    tuned: str | None
    """What is set beyond the defaults in its second run, in words; None: it has nothing to set."""

    starting: float = 0.0
    """Seconds that it may take to start beyond what a library may: a gateway is a program of its own."""
    transports: frozenset[str] = frozenset({"stdio", "http"})
    """What it can speak; scenarios over others are left out."""

    @property
    def adapter(self) -> Path:
        """The adapter's file."""
        return HERE / "adapters" / f"{self.module}.py"

    @property
    def lister(self) -> Peer | None:
        """Return this peer as one that counts all tools instead of calling one; None where it lists none."""
        other = replace(self, module=f"../listings/{self.module}")
        return other if "http" in self.transports and other.adapter.exists() else None

    @property
    def modes(self) -> tuple[bool, ...]:
        """Whether each of its runs is tuned."""
        return (False,) if self.tuned is None else (False, True)


def _all() -> tuple[Peer, ...]:
    return (
        Peer(
            name="recloser",
            title="recloser (library)",
            requirements=None,
            module="with_recloser",
            tuned="servers trusted; of the deadline: attempts a third, start a half, breaks a sixth",
        ),
        Peer(
            name="mcp",
            title="mcp: Client",
            requirements="mcp",
            module="mcp_client",
            tuned=None,
        ),
        Peer(
            name="mcp-group",
            title="mcp: ClientSessionGroup",
            requirements="mcp",
            module="mcp_group",
            tuned=None,
        ),
        Peer(
            name="fastmcp",
            title="FastMCP: Client of several servers",
            requirements="fastmcp",
            module="fastmcp_client",
            tuned="timeout, init_timeout",
        ),
        Peer(
            name="fastmcp-group",
            title="FastMCP: ClientGroup",
            requirements="fastmcp",
            module="fastmcp_group",
            tuned="timeout, init_timeout of each client",
        ),
        Peer(
            name="fastmcp-proxy",
            title="FastMCP: proxy",
            requirements="fastmcp",
            module="fastmcp_proxy",
            tuned="RetryMiddleware with 2 retries from 0.05 s for every exception",
        ),
        Peer(
            name="mcp-multi-server",
            title="mcp-multi-server",
            requirements="mcp-multi-server",
            module="multi_server",
            tuned=None,
            transports=frozenset({"stdio"}),
        ),
        Peer(
            name="langchain",
            title="langchain-mcp-adapters",
            requirements="langchain",
            module="langchain_adapters",
            tuned="read_timeout_seconds of sessions; the documented interceptor that retries, 3 attempts",
        ),
        Peer(
            name="mcp-use",
            title="mcp-use",
            requirements="mcp-use",
            module="mcp_use_client",
            tuned=None,
        ),
        Peer(
            name="mcp-agent",
            title="mcp-agent",
            requirements="mcp-agent",
            module="mcp_agent_aggregator",
            tuned="read_timeout_seconds of each server: 1 s, whole seconds only",
        ),
        Peer(
            name="openai-agents",
            title="openai-agents",
            requirements="openai-agents",
            module="openai_agents",
            tuned="sessions time out after a third of the deadline, 2 retries from 0.05 s, connects in parallel in 2 s",
        ),
        Peer(
            name="pydantic-ai",
            title="pydantic-ai",
            requirements="pydantic-ai",
            module="pydantic_ai_toolset",
            tuned="init_timeout 2 s, read_timeout of the deadline",
        ),
        Peer(
            name="google-adk",
            title="google-adk",
            requirements="google-adk",
            module="google_adk",
            tuned="timeout of each connection: the deadline",
        ),
        Peer(
            name="strands",
            title="strands-agents",
            requirements="strands",
            module="strands_agents",
            tuned="startup_timeout 2 s, continue_on_error",
        ),
        Peer(
            name="mcp-hangar",
            title="mcp-hangar",
            requirements="mcp-hangar",
            module="mcp_hangar_gateway",
            tuned="retry: 3 attempts from 0.05 s",
        ),
        Peer(
            name="litellm",
            title="LiteLLM: MCP gateway",
            requirements="litellm",
            module="litellm_gateway",
            tuned=None,
            starting=45.0,
        ),
        Peer(
            name="contextforge",
            title="ContextForge",
            requirements="contextforge",
            module="contextforge_gateway",
            tuned="plugin: 2 retries from 0.05 s; tool timeout 1 s, whole seconds only; registering in the background",
            starting=90.0,
        ),
    )


PEERS: Final[Mapping[str, Peer]] = MappingProxyType({peer.name: peer for peer in _all()})
"""Every peer by its name, in the order of the page."""

OPEN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "recloser (gateway)": "not built yet",
    }
)
"""Rows that are not measured yet, and why."""
