"""Each value that is wrong by itself is told at its own place, and what does not fit together is told beside it."""

# ruff: noqa: E501 - the messages are quoted as they are, one a line

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_cases import entry, mistakes, only, write

from recloser.config import load


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("timeouts", {"total": -1, "start": -1, "connect": 0, "attempt": -3, "ceiling": 0}),
        ("retry", {"attempts": 0, "backoff": -1, "budget": -2}),
        ("breaker", {"rate": 2, "window": 0, "probes": 0}),
        ("limits", {"message": 1, "stderr_tail": -1}),
    ],
)
@pytest.mark.parametrize("where", [("defaults",), ("servers", "search")])
def test_every_value_out_of_its_range_is_told_at_its_own_place(table: str, said: Any, where: tuple[str, ...]) -> None:
    ours: dict[str, Any] = {table: said}
    for key in reversed(where):
        ours = {key: ours}
    place = ".".join(("recloser", *where, table))
    found = mistakes({**entry(command="a"), "recloser": ours})
    assert [each.partition(": ")[0] for each in sorted(found)] == sorted(f"{place}.{key}" for key in said)
    assert all(f": {table}." in each for each in found)


def test_every_value_of_the_gateway_and_of_telemetry_out_of_its_range_is_told_at_its_own_place() -> None:
    source = {
        "recloser": {
            "gateway": {"port": 99999, "path": "mcp", "host": ""},
            "telemetry": {"prometheus_port": -1, "otlp_endpoint": "foo", "audit_key": "short"},
        }
    }
    assert mistakes(source) == [
        "recloser.gateway.host: gateway.host must not be empty",
        "recloser.gateway.port: gateway.port must be from 0 to 65535, got 99999",
        "recloser.gateway.path: gateway.path must begin with '/', got 'mcp'",
        "recloser.telemetry.otlp_endpoint: telemetry.otlp_endpoint must be a URL like http://127.0.0.1:4318, got 'foo'",
        "recloser.telemetry.prometheus_port: telemetry.prometheus_port must be from 0 to 65535, got -1",
        "recloser.telemetry.audit_key: telemetry.audit_key must have at least 16 bytes",
    ]


def test_the_defaults_are_checked_also_where_there_is_no_server() -> None:
    assert mistakes({"recloser": {"defaults": {"retry": {"attempts": 0}, "headers": {"X": "a\nb"}}}}) == [
        "recloser.defaults.retry.attempts: retry.attempts must be at least 1, got 0",
        "recloser.defaults.headers.X: the header 'X' holds a line end",
    ]


def test_a_value_that_fits_what_is_said_beside_it_is_not_blamed_for_a_default_or_for_another_mistake() -> None:
    timeouts = {"total": 200, "attempt": 100, "connect": 0}
    defaults: dict[str, Any] = {"timeouts": timeouts, "breaker": {"window": 200}}
    assert mistakes({**entry(command="a"), "recloser": {"defaults": defaults}}) == [
        "recloser.defaults.timeouts.connect: timeouts.connect must be more than 0, got 0.0"
    ]
    for wrong in ({"total": -1}, {"total": "x"}, {"totl": 200}):
        (found,) = mistakes(
            {
                **entry(command="a"),
                "recloser": {"defaults": {"timeouts": {**wrong, "attempt": 100}, "breaker": {"window": 200}}},
            }
        )
        assert found.startswith(f"recloser.defaults.timeouts.{next(iter(wrong))}: ")


def test_values_that_do_not_fit_each_other_are_told_beside_those_that_are_wrong_alone() -> None:
    defaults = {
        "timeouts": {"total": 10, "attempt": 20, "connect": 0},
        "breaker": {"open_for": 9, "open_cap": 8, "rate": 2},
    }
    assert mistakes({**entry(command="a"), "recloser": {"defaults": defaults}}) == [
        "recloser.defaults.timeouts.connect: timeouts.connect must be more than 0, got 0.0",
        "recloser.defaults.breaker.rate: breaker.rate must be at most 1, got 2.0",
        "recloser.defaults.timeouts: timeouts.attempt must not exceed timeouts.total, got 20.0 and 10.0",
        "recloser.defaults.breaker: breaker.open_for must not exceed breaker.open_cap, got 9.0 and 8.0",
    ]  # fmt: skip
    defaults = {"timeouts": {"attempt": 50, "connect": 0}, "breaker": {"rate": 2}}
    found = mistakes({**entry(command="a"), "recloser": {"defaults": defaults}})
    assert [each.partition(": ")[0] for each in found] == [
        "recloser.defaults.timeouts.connect",
        "recloser.defaults.breaker.rate",
        "recloser.defaults.breaker",
    ]


def test_what_no_server_could_be_reached_by_is_told_at_its_own_place_and_not_shown(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "mcp.json",
        """{
  "mcpServers": {
    "web": {
      "url": "https://a.example/x y",
      "headers": {
        "Authorization": "Bearer ${BEARER}",
        "X-Key": "hidden-é",
        "A b": "hidden",
        "Z": 5,
        "N": "${NOWHERE}"
      }
    },
    "files": {
      "command": "",
      "args": ["a",
        "hidden\\u0000"],
      "env": {
        "A=B": "hidden",
        "C": "hidden\\u0000"
      }
    }
  },
  "recloser": {
    "servers": {
      "web": {"headers": {"": "hidden"}},
      "own": {"url": "https:///hidden"}
    }
  }
}
""",
    )
    found = mistakes(path, BEARER="hidden-token\n")
    assert [each.removeprefix(f"{path}:") for each in found] == [
        "4: mcpServers.web.url: url holds a blank, a line end or a control character",
        "6: mcpServers.web.headers.Authorization: the header 'Authorization' ends with a line end, as what comes from a file or a variable often does; remove it",
        "7: mcpServers.web.headers.X-Key: the header 'X-Key' holds a character that is no visible one of ASCII",
        '8: mcpServers.web.headers."A b": the header \'A b\' cannot have this name: letters, digits and !#$%&\'*+-.^_`|~ are allowed',
        "9: mcpServers.web.headers.Z: expected a string, found the number 5",
        "10: mcpServers.web.headers.N: expected the environment variable NOWHERE, which is not set; set it, or write ${NOWHERE:-…} to give a default",
        "14: mcpServers.files.command: command must not be empty",
        "16: mcpServers.files.args[1]: args[1] holds a NUL character",
        "18: mcpServers.files.env.\"A=B\": the environment variable 'A' has a '=' in its name",
        "19: mcpServers.files.env.C: the environment variable 'C' holds a NUL character",
        '25: recloser.servers.web.headers."": a header must have a name',
        "26: recloser.servers.own.url: url must name a host, and a port only by its number",
    ]  # fmt: skip
    assert "hidden" not in str(found)


def test_a_reference_that_leads_nowhere_is_not_blamed_for_what_stands_around_it() -> None:
    (found,) = mistakes(entry(url="https://a.example", headers={"X": "${NOWHERE}\n"}))
    assert "NOWHERE, which is not set" in found


def test_a_secret_in_a_file_may_end_with_a_line_end(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hidden\n", encoding="utf-8")
    path = write(tmp_path, "mcp.json", entry(url="https://a.example", headers={"X": "${file:secret}"}))
    assert only(load(path)).headers == {"X": "hidden"}


def test_several_mistakes_in_one_list_hide_no_other_mistake() -> None:
    source = entry(command="a", args=[1, 2], env={"": "x"})
    source["recloser"] = {"defaults": {"tags": [5, 6], "retry": {"attempts": 0}}}
    assert [each.partition(": ")[0] for each in mistakes(source)] == [
        "recloser.defaults.tags[0]",
        "recloser.defaults.tags[1]",
        "recloser.defaults.retry.attempts",
        "mcpServers.search.args[0]",
        "mcpServers.search.args[1]",
        'mcpServers.search.env.""',
    ]


@pytest.mark.parametrize("key", [5, 1.5, True, None, (1, 2), b"x"])
def test_a_key_that_is_no_string_is_a_mistake_that_hides_no_other(key: Any) -> None:
    found = mistakes({**entry(command=""), "recloser": {"defaults": {key: 1, "lazy": 5}, key: 1}})
    assert len(found) == 4
    assert sum("found" in each for each in found) == 3
