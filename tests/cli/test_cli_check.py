"""`recloser check`: the configuration, every server in it, and what is to be done."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from recloser import fleet
from recloser.cli import main
from recloser.cli.check import STEPS
from recloser.errors import CODES
from support.commands import CRASHING, MISSING, listening, server, write

pytestmark = pytest.mark.processes


def test_servers_that_are_ready_are_told_with_era_and_what_they_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(
        tmp_path,
        {
            "math": server("math"),
            "notes": server("notes", "--era", "legacy"),
            "off": server("math") | {"disabled": True},
        },
    )
    assert main(["check", config, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert document["config"] == config
    servers: dict[str, Any] = {one["name"]: one for one in document["servers"]}
    assert servers["math"]["era"] == "modern"
    assert servers["math"]["transport"] == "stdio"
    assert (servers["math"]["tools"], servers["math"]["resources"], servers["math"]["prompts"]) == (3, 0, 0)
    assert servers["math"]["seconds_to_ready"] > 0
    assert servers["notes"]["era"] == "legacy"
    assert servers["notes"]["prompts"] == 1
    assert servers["off"]["state"] == "disabled"


def test_without_json_there_is_one_line_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", write(tmp_path, {"math": server("math")})]) == 0
    name, state, transport, version, *_ = capsys.readouterr().out.split("\t")
    assert (name, state, transport, version) == ("math", "ready", "stdio", "2026-07-28 (modern)")


def test_a_server_that_does_not_come_up_is_told_with_why_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, {"math": server("math"), "gone": MISSING, "crash": CRASHING})
    assert main(["check", config]) == 70
    out, err = capsys.readouterr()
    assert [line.split("\t")[:2] for line in out.splitlines()] == [
        ["math", "ready"],
        ["gone", "failed"],
        ["crash", "failed"],
    ]
    assert "gone: server 'gone' cannot be started" in err
    assert "What to do: Run its command by hand" in err
    assert err.count("the database is locked") == 1


def test_a_required_server_that_fails_does_not_hide_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    down = {"url": "http://127.0.0.1:9/mcp"}
    config = write(tmp_path, {"math": server("math"), "down": down}, servers={"down": {"required": True}})
    assert main(["check", config, "--json"]) == 75
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert [one["state"] for one in document["servers"]] == ["ready", "failed"]
    assert document["servers"][1]["error"]["code"] == "unreachable"
    assert document["servers"][1]["what_to_do"]


def test_a_server_that_wants_a_sign_in_has_an_exit_code_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("right", encoding="utf-8")

    async def check() -> int:
        async with listening("weather", "--token-file", str(token)) as url:
            return await asyncio.to_thread(main, ["check", write(tmp_path, {"weather": {"url": url}})])

    assert asyncio.run(check()) == 77
    assert STEPS["reauthenticate"] in " ".join(capsys.readouterr().err.split())


def test_mistakes_are_told_all_at_once_with_their_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(tmp_path, {"math": server("math") | {"argz": []}}, defaults={"retry": {"atempts": 2}})
    assert main(["check", config]) == 78
    err = capsys.readouterr().err
    assert "atempts" in err
    assert "argz" in err
    assert main(["check", config, "--json"]) == 78
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert len(document["mistakes"]) == 2
    assert all(mistake["file"] == config for mistake in document["mistakes"])


def test_without_any_configuration_it_says_where_it_looked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 78
    err = " ".join(capsys.readouterr().err.split())
    assert "recloser.toml, mcp.json, .mcp.json, .vscode/mcp.json" in err
    assert "recloser demo" in err


def test_every_failure_has_something_that_can_be_done() -> None:
    assert {facts.next_action for facts in CODES.values()} == set(STEPS)


@pytest.mark.parametrize("patience", [0.0, 60.0])
def test_bare_names_that_collide_are_a_mistake_however_fast_the_servers_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr(fleet, "PATIENCE", patience)
    servers = {"a": server("math"), "b": server("math")}
    config = write(tmp_path, servers, names="bare")
    assert main(["check", config, "--json"]) == 78
    document = json.loads(capsys.readouterr().out)
    [mistake] = document["mistakes"]
    assert (document["ok"], mistake["file"], mistake["path"]) == (False, config, "recloser.names")
    assert mistake["message"].startswith("bare names collide: ")
    assert "is a tool of both 'a' and 'b'" in mistake["message"]
    assert mistake["hint"] == "set a priority, exclude one, or show qualified names"
    config = write(tmp_path, servers, names="bare", servers={"b": {"priority": 1}})
    assert main(["check", config]) == 0
