"""All mistakes at once, each with its place."""

# ruff: noqa: E501 - the messages are quoted as they are, one a line

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from config_cases import ENVIRON, entry, mistakes, only, write
from hypothesis import given
from hypothesis import strategies as st

from recloser.config import ConfigurationError, Settings, load
from recloser.config.mistakes import DEEPEST


def test_all_mistakes_are_told_at_once_with_file_line_and_place(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "mcp.json",
        """{
  "mcpServers": {
    "search": {
      "url": "http://search.example/mcp?key=zzz",
      "retry": {}
    },
    "files": {"type": "sdio", "comand": "f"}
  },
  "recloser": {
    "defaults": {"timeouts": {"attempt": 70}, "url": "x", "auth": 1},
    "gatway": {},
    "gateway": {"port": 70000, "path": 5},
    "names": 5,
    "servers": {
      "search": {
        "retry": {"atempts": 3, "attempts": 2.5},
        "requird": true,
        "era": "moderm",
        "tags": "a"
      },
      "serch": {},
      "own": {
        "url": "https://a.example/mcp",
        "lazy": true, "required": true,
        "classify": "m:f",
        "headers": {"x": 5}, "tool_tags": {"t": "u"}, "priority": null, "limits": [], "bulkhead": {"limit": 0}
      },
      "both": {"url": "https://a.example", "command": "x"},
      "no good": {"command": "x"},
      "number": 5
    }
  }
}
""",
    )
    assert [each.removeprefix(f"{path}:") for each in mistakes(path)] == [
        "4: mcpServers.search.url: http://search.example/mcp would send everything in plain text beyond this machine; use https, or set allow_plaintext = true",
        "5: mcpServers.search.retry: unknown key; it belongs to recloser.servers.<name>.retry",
        "7: mcpServers.files.comand: unknown key; did you mean 'command'?",
        "7: mcpServers.files.type: expected 'stdio', 'http', 'streamable-http' or 'sse', found another word; did you mean 'stdio'?",
        "10: recloser.defaults.url: unknown key; it belongs to one server: recloser.servers.<name>.url",
        "10: recloser.defaults.auth: unknown key; it can be given in code only",
        "10: recloser.defaults.timeouts: timeouts.attempt must not exceed timeouts.total, got 70.0 and 60.0",
        "11: recloser.gatway: unknown key; did you mean 'gateway'?",
        "12: recloser.gateway.path: expected a string, found the number 5",
        "12: recloser.gateway.port: gateway.port must be from 0 to 65535, got 70000",
        "13: recloser.names: expected 'qualified' or 'bare', found the number 5",
        "16: recloser.servers.search.retry.attempts: expected a whole number, found the number 2.5",
        "16: recloser.servers.search.retry.atempts: unknown key; did you mean 'attempts'?",
        "17: recloser.servers.search.requird: unknown key; did you mean 'required'?",
        "18: recloser.servers.search.era: expected 'auto', 'legacy' or 'modern', found the string \"moderm\"; did you mean 'modern'?",
        '19: recloser.servers.search.tags: expected a list of strings, found the string "a"',
        "21: recloser.servers.serch: expected url or command, or the name of a server of mcpServers; did you mean 'search'?",
        "24: recloser.servers.own.required: cannot be both required and lazy",
        "25: recloser.servers.own.classify: unknown key; it can be given in code only",
        "26: recloser.servers.own.headers.x: expected a string, found the number 5",
        '26: recloser.servers.own.tool_tags.t: expected a list of strings, found the string "u"',
        "26: recloser.servers.own.priority: expected a whole number, found null",
        "26: recloser.servers.own.limits: expected a table, found a list",
        "26: recloser.servers.own.bulkhead.limit: bulkhead.limit must be at least 1, got 0",
        "28: recloser.servers.both.url: needs exactly one of url and command, got url and command",
        "29: recloser.servers.\"no good\": a name is made of letters, digits, '_', '-' and '.', and begins and ends with a letter or digit",
        "30: recloser.servers.number: expected a table, found the number 5",
    ]  # fmt: skip


def test_a_mistake_in_the_defaults_is_told_once_however_many_servers_have_it() -> None:
    source = {
        "mcpServers": {str(n): {"command": "a"} for n in range(5)},
        "recloser": {"defaults": {"timeouts": {"attempt": 50}}},
    }
    (found,) = mistakes(source)
    assert found.startswith("recloser.defaults.timeouts: breaker.window must be at least twice timeouts.attempt")


def test_a_server_may_mend_what_the_defaults_alone_would_break() -> None:
    source = {
        **entry(command="a"),
        "recloser": {"defaults": {"timeouts": {"attempt": 50}}, "servers": {"search": {"breaker": {"window": 100}}}},
    }
    assert only(load(source)).timeouts.attempt == 50


@pytest.mark.parametrize(
    ("source", "mistake"),
    [
        ({}, "expected mcpServers (Claude Desktop, Cursor), servers (VS Code) or recloser"),
        ({"mcpServer": {}, "recloser": {}}, "mcpServer: unknown key; did you mean 'mcpServers'?"),
        ({"mcpServers": []}, "mcpServers: expected a table of servers"),
        ({"mcpServers": {"a": "x"}}, 'mcpServers.a: expected a table, found the string "x"'),
        ({"mcpServers": {"a": {}}}, "mcpServers.a: needs exactly one of url and command, got none of them"),
        ({"mcpServers": {"a": {"args": ["x", 1], "command": "x"}}}, "mcpServers.a.args[1]: expected a string, found the number 1"),
        ({"mcpServers": {"a": {"command": {1}}}}, "mcpServers.a.command: expected a string, found an object of type set"),
        ({"mcpServers": {"a": {"command": {}}}}, "mcpServers.a.command: expected a string, found a table"),
        ({"mcpServers": {"a": {"command": True}}}, "mcpServers.a.command: expected a string, found true"),
        ({"mcpServers": {"a": {"command": "x", "disabled": 0}}}, "mcpServers.a.disabled: expected true or false, found the number 0"),
        ({"mcpServers": {"a": {"command": "x", 5: 6}}}, None),
        ({"mcpServers": {"a": {"url": "ftp://x"}}}, "mcpServers.a.url: url must begin with http:// or https://, got 'ftp://x'"),
        ({"mcpServers": {"a": {"url": "https://[x?token=y"}}}, "mcpServers.a.url: url must name a host, and a port only by its number"),
        ({"mcpServers": {"a": {"url": "https://u:pa/ss@h/"}}}, "mcpServers.a.url: url must name a host, and a port only by its number"),
        ({"mcpServers": {"a": {"url": "https://:80/"}}}, "mcpServers.a.url: url must name a host, and a port only by its number"),
        ({"mcpServers": {"a": {"command": "x", "transport": "ws"}}}, "mcpServers.a.transport: expected 'stdio', 'http', 'streamable-http' or 'sse', found another word"),
        ({"recloser": 5}, "recloser: expected a table, found the number 5"),
        ({"recloser": {"servers": []}}, "recloser.servers: expected a table, found a list"),
        ({"recloser": {"servers": {"a": {"url": False}}}}, "recloser.servers.a.url: expected a string, found false"),
        ({"recloser": {"servers": {"zzz": {}}}}, "recloser.servers.zzz: expected url or command, or the name of a server of mcpServers"),
        ({"recloser": {"zzzzz": {}}}, "recloser.zzzzz: unknown key; known: cache, defaults, gateway, names, servers, telemetry"),
        ({"recloser": {"gateway": {"host": ""}}}, "recloser.gateway.host: gateway.host must not be empty"),
        ({"recloser": {"gateway": {"path": "mcp"}}}, "recloser.gateway.path: gateway.path must begin with '/', got 'mcp'"),
        ({"recloser": {"telemetry": {"otlp_endpoint": "collector"}}}, "recloser.telemetry.otlp_endpoint: telemetry.otlp_endpoint must be a URL like http://127.0.0.1:4318, got 'collector'"),
        ({"recloser": {"telemetry": {"otlp_endpoint": "http://c:port"}}}, "recloser.telemetry.otlp_endpoint: telemetry.otlp_endpoint must be a URL like http://127.0.0.1:4318, got 'http://c:port'"),
        ({"recloser": {"telemetry": {"otlp_endpoint": "http://c:0"}}}, "recloser.telemetry.otlp_endpoint: telemetry.otlp_endpoint must be a URL like http://127.0.0.1:4318, got 'http://c:0'"),
        ({"recloser": {"telemetry": {"otlp_endpoint": "https://"}}}, "recloser.telemetry.otlp_endpoint: telemetry.otlp_endpoint must be a URL like http://127.0.0.1:4318, got 'https://'"),
        ({"recloser": {"telemetry": {"otlp_endpoint": "ftp://user:hunter2@c"}}}, "recloser.telemetry.otlp_endpoint: telemetry.otlp_endpoint must be a URL like http://127.0.0.1:4318, got 'ftp://[redacted]@c'"),
        ({"recloser": {"telemetry": {"prometheus_port": 65536}}}, "recloser.telemetry.prometheus_port: telemetry.prometheus_port must be from 0 to 65535, got 65536"),
        ({"recloser": {"telemetry": {"audit_max_bytes": 100}}}, "recloser.telemetry.audit_max_bytes: telemetry.audit_max_bytes must be at least 4096, got 100"),
        ({"recloser": {"telemetry": {"audit_backups": 0}}}, "recloser.telemetry.audit_backups: telemetry.audit_backups must be at least 1, got 0"),
        ({"recloser": {"telemetry": {"logs": "jsn"}}}, "recloser.telemetry.logs: expected 'auto', 'json', 'console' or 'off', found the string \"jsn\"; did you mean 'json'?"),
        ({"recloser": {"telemetry": {"log_level": 10}}}, "recloser.telemetry.log_level: expected 'debug', 'info', 'warning', 'error' or 'critical', found the number 10"),
        ({"recloser": {"telemetry": {"attempt_span_kind": "server"}}}, "recloser.telemetry.attempt_span_kind: expected 'auto', 'client' or 'internal', found the string \"server\""),
        ({"recloser": {"telemetry": {"service_name": ""}}}, "recloser.telemetry.service_name: telemetry.service_name must not be empty"),
        ({"recloser": {"telemetry": {"service_name": "x" * 50, "audit": 1.5}}}, "recloser.telemetry.audit: expected a string, found the number 1.5"),
        ({"recloser": {"names": "x" * 50}}, "recloser.names: expected 'qualified' or 'bare', found a string"),
    ],
)  # fmt: skip
def test_each_mistake_says_its_place_and_what_was_expected(source: Any, mistake: str | None) -> None:
    if mistake is None:
        with pytest.raises(ConfigurationError):
            load(source)
    else:
        assert mistakes(source, **ENVIRON) == [mistake]


def test_the_same_key_twice_is_a_mistake(tmp_path: Path) -> None:
    path = write(
        tmp_path, "mcp.json", '{"mcpServers": {"a": {"command": "x"},\n"a": {"command": "y"}}, "x": 1, "x": 2}'
    )
    assert mistakes(path) == [f"{path}:2: mcpServers.a: the same key stands here twice, and only the last would count"]


def test_our_sections_at_the_top_of_a_toml_file_are_told_where_they_belong(tmp_path: Path) -> None:
    path = write(tmp_path, "recloser.toml", '[defaults]\nlazy = true\n[mcpServers.a]\ncommand = "x"\n')
    assert mistakes(path) == [f"{path}:1: defaults: unknown key; it belongs to recloser.defaults"]


@pytest.mark.parametrize(
    ("name", "content", "mistake"),
    [
        ("a.json", '{\n  "mcpServers": {"a" 5}}', ":2:22: expected JSON: Expecting ':' delimiter"),
        ("a.json", "", ":1:1: expected JSON: Expecting value"),
        ("a.json", '{"mcpServers":\n {}} /* open *', ":2:6: expected a */ that ends the comment"),
        ("a.json", '/*/ {"mcpServers": {}}', ":1:1: expected a */ that ends the comment"),
        ("a.json", '{"a": NaN}', ": expected a number, found NaN"),
        ("a.json", "[" * 100_000, ": is nested too deeply"),
        ("a.json", "[]", ": expected an object with mcpServers, servers or recloser in it"),
        ("a.toml", "a = 1\nb = = 2\n", ":2:5: expected TOML: Invalid value"),
        ("a.toml", "a = ", None),
        ("a.toml", 'a = """', ": expected TOML: Unterminated string"),
        ("a.toml", "a = " + "[" * 100_000, ": is nested too deeply"),
    ],
)
def test_a_file_that_is_no_json_or_toml_is_told_with_line_and_column(
    tmp_path: Path, name: str, content: str, mistake: str | None
) -> None:
    path = write(tmp_path, name, content)
    (found,) = mistakes(path)
    assert found.startswith(str(path))
    assert mistake is None or found == f"{path}{mistake}"


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert mistakes(tmp_path / "none.json") == [f"{tmp_path}/none.json: cannot be read: No such file or directory"]
    assert mistakes(str(tmp_path)) == [f"{tmp_path}: cannot be read: Is a directory"]
    assert mistakes("nul\0") == ["nul\0: is no name of a file"]
    (tmp_path / "utf16.json").write_text("{}", encoding="utf-16")
    assert "expected a file in UTF-8" in mistakes(tmp_path / "utf16.json")[0]


def nested(levels: int, *, list_: bool = False) -> Any:
    """A table or list with so many levels in all."""
    value: Any = [] if list_ else {}
    for _ in range(levels - 1):
        value = [value] if list_ else {"a": value}
    return value


def test_what_is_nested_too_deeply_is_told_by_its_place(tmp_path: Path) -> None:
    too_deep = f"is nested too deeply: {DEEPEST} levels are the most"
    env = {"mcpServers": {"a": {"command": "x", "env": nested(200)}}}
    assert mistakes(env) == [f"mcpServers.a.env.a: {too_deep}"]
    tags = {"recloser": {"defaults": {"tags": nested(200, list_=True)}}}
    assert mistakes(tags) == [f"recloser.defaults.tags[0]: {too_deep}"]
    path = write(tmp_path, "mcp.json", env)
    assert mistakes(path) == [f"{path}:6: mcpServers.a.env.a: {too_deep}"]
    path = write(tmp_path, "recloser.toml", "[mcpServers.a]\nenv." + "a." * 200 + "a = 1\n")
    assert mistakes(path) == [f"{path}: mcpServers.a.env.a: {too_deep}"]


def test_a_table_that_holds_itself_is_nested_too_deeply() -> None:
    env: dict[str, Any] = {}
    env["self"] = env["other"] = (env, env)
    assert len(mistakes(entry(command="x", env=env))) == 1


def test_what_is_nested_as_deeply_as_can_be_is_told_of_what_it_is() -> None:
    # Together with the tables above it: mcpServers, its entry, and env.
    (found,) = mistakes({"mcpServers": {"a": {"command": "x", "env": nested(DEEPEST - 2)}}})
    assert "nested" not in found
    (found,) = mistakes({"mcpServers": {"a": {"command": "x", "env": nested(DEEPEST - 1)}}})
    assert "nested" in found


def test_lines_of_a_toml_file_are_found(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "recloser.toml",
        '# top\n[recloser.servers."a"] # why\ncommand = "x"\nretry.atempts = 1\n"lasy" = true\ntags = [\n 5\n]\n[[x]]\n',
    )
    assert [each.removeprefix(f"{path}:") for each in mistakes(path)] == [
        "4: recloser.servers.a.retry.atempts: unknown key; did you mean 'attempts'?",
        "5: recloser.servers.a.lasy: unknown key; did you mean 'lazy'?",
        "6: recloser.servers.a.tags[0]: expected a string, found the number 5",
    ]


def test_lines_within_arrays_of_a_json_file_are_found(tmp_path: Path) -> None:
    path = write(tmp_path, "mcp.json", '{"mcpServers": {"a": {"command": "x", "args": [\n"b",\n["}"],\n5]}}}')
    assert [each.removeprefix(f"{path}:")[:2] for each in mistakes(path)] == ["3:", "4:"]


def test_a_configuration_error_can_be_pickled() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({})
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.mistakes, str(copy)) == (caught.value.mistakes, str(caught.value))
    assert isinstance(copy, ValueError)


def test_several_mistakes_read_as_a_list() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({"mcpServers": [], "recloser": 5})
    assert str(caught.value).splitlines() == [
        "2 mistakes in the configuration:",
        "  configuration: recloser: expected a table, found the number 5",
        "  configuration: mcpServers: expected a table of servers",
    ]


KEYS = st.text(max_size=3) | st.sampled_from(
    [
        "url",
        "command",
        "args",
        "env",
        "headers",
        "type",
        "disabled",
        "servers",
        "defaults",
        "timeouts",
        "total",
        "retry",
        "breaker",
        "window",
        "names",
        "cache",
        "gateway",
        "port",
        "telemetry",
        "audit",
        "tags",
        "tool_tags",
        "lazy",
        "required",
        "era",
        "transport",
        "cwd",
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(["${X}", "${", "http://h"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["mcpServers", "servers", "recloser"]) | KEYS, JSON, max_size=3))
def test_whatever_a_file_says_it_becomes_settings_or_mistakes_with_places(tmp_path_factory: Any, data: Any) -> None:
    try:
        assert isinstance(load(data, environ={}), Settings)
    except ConfigurationError as error:
        assert error.mistakes
        assert all(each.message for each in error.mistakes)
    path = write(tmp_path_factory.getbasetemp(), "any.json", data)
    try:
        assert isinstance(load(path, environ={}), Settings)
    except ConfigurationError as error:
        assert error.mistakes
