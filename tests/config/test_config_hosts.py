"""Hosts' files work as they are, and ours stands beside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from config_cases import entry, mistakes, only, write
from hypothesis import given
from hypothesis import strategies as st

from recloser.config import Gateway, Settings, Telemetry, find, load
from recloser.options import Server


def test_a_claude_desktop_file_works_as_it_is(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "claude_desktop_config.json",
        {
            "globalShortcut": "Ctrl+Space",
            "mcpServers": {
                "filesystem": {
                    "command": "npx",
                    "args": ["-y", "@modelcontextprotocol/server-filesystem", "/home/me"],
                    "env": {"LOG": "debug"},
                },
                "remote": {"type": "http", "url": "https://mcp.example/mcp"},
            },
        },
    )
    settings = load(path, environ={})
    assert settings.servers == (
        Server(
            "filesystem",
            command="npx",
            args=("-y", "@modelcontextprotocol/server-filesystem", "/home/me"),
            env={"LOG": "debug"},
        ),
        Server("remote", url="https://mcp.example/mcp", transport="http"),
    )
    assert settings.source == path
    assert settings.notes == ("globalShortcut has no meaning here; it is taken for the host's own",)


def test_a_cursor_file_works_as_it_is(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        ".cursor/mcp.json",
        {
            "mcpServers": {
                "local": {
                    "type": "stdio",
                    "command": "python",
                    "args": ["${workspaceFolder}/server.py"],
                    "env": {"API_KEY": "${env:MY_KEY}"},
                    "envFile": ".env",
                },
                "remote": {
                    "url": "https://api.example/sse",
                    "headers": {"Authorization": "Bearer ${env:MY_TOKEN}"},
                    "auth": {"CLIENT_ID": "${env:NOT_SET}", "scopes": ["read"]},
                },
            }
        },
    )
    write(
        tmp_path,
        ".env",
        "# comment\nexport A=1\nAPI_KEY=other\nB='two words' # no\nC=\"x\\ny\"\nD=x # c\nnonsense\nE='open",
    )
    settings = load(path, environ={"MY_KEY": "key-123456", "MY_TOKEN": "token-123456"})
    local, remote = settings.servers
    assert local.args == (f"{tmp_path}/server.py",)
    assert local.cwd == str(tmp_path)
    assert local.env == {"A": "1", "API_KEY": "key-123456", "B": "two words", "C": "x\ny", "D": "x", "E": "'open"}
    assert remote.kind == "sse"
    assert remote.headers == {"Authorization": "Bearer token-123456"}
    assert settings.notes == ("remote: auth is a matter of Cursor and is not done here",)


def test_a_vs_code_file_works_as_it_is(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        ".vscode/mcp.json",
        """\ufeff{
  // an editor's JSON
  "inputs": [{"type": "promptString", "id": "api-key", "description": "a // key", "password": true},],
  /* two
     lines */
  "servers": {
    "local": {
      "type": "stdio", "command": "node", "args": ["index.js", "/*",],
      "env": {"KEY": "${input:api-key}", "PORT": 8080, "DEBUG": true, "GONE": null},
      "cwd": "~/work", "dev": {"watch": "src/**/*.ts"}, "sandboxEnabled": true
    },
    "fallback": {"type": "http", "url": "https://api.example/sse"},
    "plain": {"type": "http", "url": "https://api.example/mcp"},
  },
}
""",
    )
    settings = load(path, environ={"RECLOSER_INPUT_API_KEY": "zz-123456"})
    local, fallback, plain = settings.servers
    assert local.args == ("index.js", "/*")
    assert local.env == {"KEY": "zz-123456", "PORT": "8080", "DEBUG": "true"}
    assert local.cwd == str(Path.home() / "work")
    assert (fallback.kind, plain.kind) == ("sse", "http")
    assert settings.notes == ("local: sandboxEnabled is a matter of VS Code and is not done here",)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"serverUrl": "https://a.example/mcp"}, "http"),
        ({"httpUrl": "https://a.example/sse"}, "http"),
        ({"url": "https://a.example/mcp", "type": "streamableHttp"}, "http"),
        ({"url": "https://a.example/mcp", "type": "streamable-http"}, "http"),
        ({"url": "https://a.example/mcp", "transport": "sse"}, "sse"),
        ({"url": "https://a.example/sse?x=1"}, "sse"),
        ({"command": "a", "type": "local"}, "stdio"),
    ],
)
def test_every_host_s_word_for_a_transport_is_understood(said: dict[str, Any], kind: str) -> None:
    assert only(load(entry(**said))).kind == kind


def test_what_other_hosts_add_to_an_entry_is_passed_over() -> None:
    said = {"autoApprove": ["a"], "alwaysAllow": [], "timeout": 60, "trust": True, "gallery": "${NOT_SET}", "name": "x"}
    assert only(load(entry(command="a", **said), environ={})) == Server("search", command="a")


def test_tools_that_a_host_hides_stay_hidden() -> None:
    server = only(
        load(entry(command="a", includeTools=["a[1]"], tools=["*", "b"], excludeTools=["c"], disabledTools=["d"]))
    )
    assert server.include == ("a[[]1]", "b") or server.include == ["a[[]1]", "b"]
    assert list(server.exclude) == ["c", "d"]


@pytest.mark.parametrize("said", [{"disabled": True}, {"enabled": False}])
def test_a_server_that_a_host_switched_off_is_not_enabled(said: dict[str, Any]) -> None:
    assert only(load(entry(command="a", **said))).enabled is False


@pytest.mark.parametrize("said", [{"disabled": True}, {"enabled": False}])
def test_a_server_that_is_switched_off_may_lack_its_secrets(said: dict[str, Any]) -> None:
    settings = load(entry(url="${NOT_SET}", args=["${input:x}"], **said), environ={})
    assert settings.servers == ()
    assert settings.notes[-1] == "server 'search' is switched off and left out"
    assert "mcpServers.search.url: expected the environment variable NOT_SET, which is not set" in settings.notes


def test_a_server_of_ours_that_is_switched_off_may_lack_its_secrets() -> None:
    settings = load({"recloser": {"servers": {"a": {"url": "${NOT_SET}", "enabled": False}}}}, environ={})
    assert settings.servers == ()


def test_a_host_s_server_can_be_switched_off_by_ours() -> None:
    source = {**entry(url="${NOT_SET}"), "recloser": {"servers": {"search": {"enabled": False}}}}
    assert load(source, environ={}).servers == ()


def test_a_missing_file_of_variables_is_a_mistake_unless_the_server_is_off(tmp_path: Path) -> None:
    (found,) = mistakes(write(tmp_path, "mcp.json", entry(command="a", envFile="none.env")))
    assert "mcpServers.search.envFile: expected a file of variables, but" in found
    assert "none.env cannot be read: No such file or directory" in found
    settings = load(write(tmp_path, "mcp.json", entry(command="a", envFile="none.env", disabled=True)))
    assert only(settings).env == {}


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("search", "search"),
        ("a.b-c_d", "a.b-c_d"),
        ("My files", "My-files-985698"),
        ("a__b", "a-b-"),
        ("日本", "server-"),
        ("", "server-"),
        ("-x-", "x-"),
        ("\ud800", "server-"),
    ],
)
def test_a_host_s_name_that_is_none_for_tools_becomes_one(said: str, name: str) -> None:
    settings = load({"mcpServers": {said: {"command": "a"}}})
    assert only(settings).name.startswith(name)
    assert (only(settings).name == said) == (settings.notes == ())


def test_a_changed_name_depends_on_no_other_server() -> None:
    alone = load({"mcpServers": {"My files": {"command": "a"}}})
    together = load({"mcpServers": {"My-files": {"command": "b"}, "My files": {"command": "a"}}})
    assert alone.servers[0] in together.servers


@given(st.text())
def test_no_name_of_a_host_s_server_makes_loading_fail(name: str) -> None:
    assert len(load({"servers": {name: {"command": "a"}}}).servers) == 1


def test_ours_finds_a_server_by_its_host_s_name_and_by_its_changed_one() -> None:
    for name in ("My files", "My-files-985698"):
        source = {"mcpServers": {"My files": {"command": "a"}}, "recloser": {"servers": {name: {"priority": 3}}}}
        assert only(load(source)).priority == 3


def test_two_tables_may_not_define_one_server() -> None:
    assert mistakes({"mcpServers": {"a": {"command": "x"}}, "servers": {"a": {"command": "y"}}}) == [
        "servers.a: there is another server of this name: 'a'"
    ]


def test_ours_is_merged_deeply_over_the_host_s_entry_and_that_over_the_defaults() -> None:
    source = {
        "mcpServers": {"search": {"url": "https://a.example/mcp", "headers": {"A": "host", "B": "host"}}},
        "recloser": {
            "defaults": {
                "headers": {"A": "default", "C": "default"},
                "timeouts": {"total": 20, "attempt": 5},
                "tags": ["x"],
            },
            "servers": {"search": {"headers": {"B": "own"}, "timeouts": {"attempt": 7.5}, "tags": ["y", "z"]}},
        },
    }
    server = only(load(source))
    assert server.headers == {"A": "host", "B": "own", "C": "default"}
    assert (server.timeouts.total, server.timeouts.attempt) == (20.0, 7.5)
    assert server.tags == {"y", "z"}


def test_ours_can_define_a_whole_server() -> None:
    source = {"recloser": {"servers": {"a": {"command": "x", "args": ["1"], "cwd": "sub", "tool_tags": {"t": ["u"]}}}}}
    server = only(load(source))
    assert server == Server("a", command="x", args=("1",), cwd=str(Path.cwd() / "sub"), tool_tags={"t": ("u",)})


def test_the_rest_of_ours_becomes_records(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "recloser.toml",
        """
[recloser]
names = "bare"
cache = "cache/catalog.json"
[recloser.gateway]
port = 0
[recloser.telemetry]
audit = "audit.jsonl"
otlp_endpoint = "http://collector:4318"
[recloser.servers."a.b"]
command = "x"
""",
    )
    settings = load(path)
    assert settings.names == "bare"
    assert settings.cache == tmp_path / "cache/catalog.json"
    assert settings.gateway == Gateway(port=0, names="bare")
    assert settings.telemetry == Telemetry(audit=tmp_path / "audit.jsonl", otlp_endpoint="http://collector:4318")
    assert only(settings).name == "a.b"


def test_the_gateway_can_show_names_in_its_own_way() -> None:
    settings = load({"recloser": {"names": "bare", "gateway": {"names": "qualified"}}})
    assert (settings.names, settings.gateway.names) == ("bare", "qualified")


def test_nothing_said_means_all_defaults() -> None:
    assert load({"recloser": {}}) == Settings()


def test_the_first_file_of_a_directory_is_found_in_the_documented_order(tmp_path: Path) -> None:
    assert find(tmp_path) is None
    for name in (".vscode/mcp.json", ".mcp.json", "mcp.json", "recloser.toml"):
        path = write(tmp_path, name, "")
        assert find(tmp_path) == path


def test_importing_the_configuration_loads_no_command_line_and_no_telemetry() -> None:
    code = (
        "import sys, recloser.config\n"
        "heavy = {'typer', 'rich', 'structlog', 'pybreaker'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert not any(name.startswith('opentelemetry.sdk') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/mcp",
        "http://127.0.0.1.example.com/mcp",
        "http://localhost@example.com/mcp",
        "http://example.com?@localhost/",
        "http://example.com#@localhost/",
        "http://0.0.0.0/",
    ],
)
def test_plain_http_beyond_this_machine_is_refused_unless_allowed(url: str) -> None:
    assert "would send everything in plain text beyond this machine" in mistakes(entry(url=url))[0]
    allowed = {**entry(url=url), "recloser": {"servers": {"search": {"allow_plaintext": True}}}}
    assert only(load(allowed)).url == url


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:80", "api.localhost", "user@127.1.2.3"])
def test_plain_http_to_this_machine_is_allowed(host: str) -> None:
    assert only(load(entry(url=f"http://{host}/mcp"))).kind == "http"
