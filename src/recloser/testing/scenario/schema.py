"""Which keys a scenario file takes, and of which types; what is `Any` here is looked at where it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from recloser.config.schema import STRICT

__all__ = ["CALL", "LIMITS", "LOAD", "SCENARIO", "SERVER", "STRIKE", "STRIKES"]


_FINITE: Final[ConfigDict] = {**STRICT, "allow_inf_nan": False}
"""TOML knows numbers that no moment and no rate can be."""


class _Scenario(BaseModel):
    model_config = _FINITE

    title: str = ""
    proves: str = ""
    duration: float = 8.0
    rules: Any = None
    fleet: Literal["built-in", "config"] = "built-in"
    servers: Any = None
    load: Any = None
    timeline: Any = None
    limits: Any = None
    callback: float | None = None
    secrets: bool = False
    telemetry: bool = False
    audit: bool = False
    raw: str = "red"


class _Server(BaseModel):
    model_config = _FINITE

    transport: Literal["http", "stdio"] = "http"
    era: Literal["legacy", "modern", "dual"] = "dual"
    namespace: bool = False
    trusted: bool = True
    idempotent: Sequence[str] = ()
    lazy: bool = False
    timeouts: Any = None
    retry: Any = None
    breaker: Any = None
    bulkhead: Any = None
    limits: Any = None


class _Load(BaseModel):
    model_config = _FINITE

    name: str = ""
    kind: Literal["open", "closed"] = "open"
    rate: float = 20.0
    callers: int = 2
    pause: float = 0.02
    tools: Any = None
    calls: Any = ()
    servers: Any = ()
    timeout: float = 1.0
    begin: float = 0.0
    end: float | None = None
    total: int | None = None
    cancel: float = 0.0
    cancel_after: float = 0.1
    seconds: float = 0.2
    bytes: int = 1000


class _Call(BaseModel):
    model_config = _FINITE

    server: str = ""
    tool: str = ""
    arguments: Mapping[str, Any] = {}
    safe: bool = False
    weight: float = 1.0


class _Strike(BaseModel):
    model_config = _FINITE

    fault: str | None = None
    action: str | None = None
    policy: str | None = None
    toxic: str | None = None
    server: Any = ()
    at: float = 0.0
    until: float | None = None
    tool: str | None = None
    on: str | None = None
    after: int = 0
    times: int | None = None
    arguments: Mapping[str, Any] = {}


class _Limits(BaseModel):
    model_config = _FINITE

    healthy_factor: float = 3.0
    healthy_slack: float = 0.1
    recover_within: float = 3.0
    answered: float = 1.0


SCENARIO: Final[type[BaseModel]] = _Scenario
"""The top of the file."""
SERVER: Final[type[BaseModel]] = _Server
"""One table of `servers`."""
LOAD: Final[type[BaseModel]] = _Load
"""One table of `load`."""
CALL: Final[type[BaseModel]] = _Call
"""One entry of a load's `calls`."""
STRIKE: Final[type[BaseModel]] = _Strike
"""One table of `timeline`."""
LIMITS: Final[type[BaseModel]] = _Limits
"""The table `limits`."""
STRIKES: Final = ("fault", "action", "policy", "toxic")
"""The keys of a strike of which it has exactly one."""
