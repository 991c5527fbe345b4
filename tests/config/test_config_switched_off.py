"""A server that is switched off, wherever and however that is said, may lack what it would need."""

from __future__ import annotations

from typing import Any

import pytest
from config_cases import entry, mistakes, only

from recloser.config import load


@pytest.mark.parametrize(
    ("said", "ours", "on"),
    [
        ({"disabled": "${YES}"}, {}, False),
        ({"disabled": "${NO}"}, {}, True),
        ({"enabled": "${NO}"}, {}, False),
        ({}, {"servers": {"search": {"enabled": "${NO}"}}}, False),
        ({}, {"defaults": {"enabled": False}}, False),
        ({}, {"defaults": {"enabled": "${NO}"}}, False),
        ({}, {"defaults": {"enabled": False}, "servers": {"search": {"enabled": "${YES}"}}}, True),
        ({"disabled": True}, {"servers": {"search": {"enabled": True}}}, True),
    ],
)
def test_wherever_and_however_a_server_is_switched_off_it_needs_no_variable(said: Any, ours: Any, on: bool) -> None:
    environ = {"YES": "true", "NO": "false"}
    config = entry(command="x", **said) | {"recloser": ours}
    assert only(load(config, environ=environ)).enabled is on
    config["mcpServers"]["search"]["env"] = {"Q": "${UNSET}"}
    if on:
        (found,) = mistakes(config, **environ)
        assert found.startswith("mcpServers.search.env.Q: ")
    else:
        settings = load(config, environ=environ)
        assert settings.servers == ()
        assert "server 'search' is switched off and left out" in settings.notes


@pytest.mark.parametrize("own", [{}, {"enabled": "${NO}"}])
def test_a_server_of_ours_that_defaults_or_a_variable_switch_off_needs_no_variable(own: dict[str, str]) -> None:
    ours = {"defaults": {"enabled": bool(own)}, "servers": {"a": {"command": "x", "args": ["${UNSET}"], **own}}}
    settings = load({"recloser": ours}, environ={"NO": "false"})
    assert settings.servers == ()
    assert "server 'a' is switched off and left out" in settings.notes


def test_whether_a_server_is_off_must_be_known() -> None:
    (found,) = mistakes(entry(command="x", disabled="${UNSET}"))
    assert found.startswith("mcpServers.search.disabled: expected the environment variable UNSET, which is not set")
