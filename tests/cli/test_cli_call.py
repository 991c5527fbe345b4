"""`recloser call` against real servers: answers, failures and their exit codes."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import mcp_types as types
import pytest

from recloser.cli import main
from recloser.cli.call import _as_text
from recloser.errors import ErrorPayload
from support.commands import CRASHING, MISSING, listening, server, write

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("config")
    return write(directory, {"math": server("math"), "weather": server("weather"), "gone": MISSING})


@pytest.mark.parametrize("tool", ["math__multiply", "math.multiply"])
def test_an_answer_goes_to_stdout_and_nothing_else(config: str, tool: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", config, tool, "a=5", "b=24"]) == 0
    assert capsys.readouterr() == ("120\n", "")


def test_a_tool_may_be_named_without_its_server_where_only_one_has_it(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", config, "multiply", '{"a": 5, "b": 24}']) == 0
    assert capsys.readouterr().out == "120\n"


def test_json_prints_the_whole_result_as_one_document(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", config, "weather__get_weather", "city=Berlin", "--json"]) == 0
    result = types.CallToolResult.model_validate_json(capsys.readouterr().out)
    assert result.structured_content is not None
    assert result.structured_content["city"] == "Berlin"


def test_an_error_that_the_tool_itself_answers_is_an_answer_with_exit_code_1(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", config, "weather__get_weather", "city=Atlantis"]) == 1
    out, err = capsys.readouterr()
    assert "no weather for 'Atlantis'" in out
    assert err == ""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["math__multiply", "a=five", "b=1"], 64, "a must be integer or number, got 'five'"),
        (["math__multiply", "five"], 64, "no argument"),
        ([], 64, "Say which tool"),
        (["math__nope"], 70, "no tool 'math__nope'"),
        (["gone__anything"], 70, "'gone' cannot be started"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_on_stderr(
    config: str, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", config, *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in " ".join(err.split())
    assert "Traceback" not in err


def test_a_tool_that_only_a_server_that_is_down_may_have_is_told_with_that_server(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", config, "teleport"]) == 70
    assert "gone" in capsys.readouterr().err


def test_a_server_that_is_down_is_a_transient_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(tmp_path, {"down": {"url": "http://127.0.0.1:9/mcp"}})
    assert main(["call", config, "down__x", "--json"]) == 75
    result = json.loads(capsys.readouterr().out)
    payload = ErrorPayload.from_dict(result["structuredContent"]["error"])
    assert (payload.type, payload.code, payload.server, payload.tool) == ("transient", "unreachable", "down", "down__x")


def test_of_several_servers_that_are_down_the_worst_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(tmp_path, {"crash": CRASHING, "gone": MISSING})
    assert main(["call", config, "anything"]) == 70
    assert "'gone' cannot be started" in capsys.readouterr().err


def test_a_server_that_wants_a_sign_in_is_an_auth_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = tmp_path / "token"
    token.write_text("right", encoding="utf-8")

    async def main_() -> tuple[int, int]:
        async with listening("weather", "--token-file", str(token)) as url:
            wrong = write(tmp_path, {"weather": {"url": url, "headers": {"Authorization": "Bearer wrong"}}})
            refused = await asyncio.to_thread(main, ["call", wrong, "weather__get_weather", "city=Berlin"])
            right = write(tmp_path, {"weather": {"url": url, "headers": {"Authorization": "Bearer right"}}})
            return refused, await asyncio.to_thread(main, ["call", right, "weather__get_weather", "city=Berlin"])

    assert asyncio.run(main_()) == (77, 0)
    out, err = capsys.readouterr()
    assert "weather" in err
    assert "right" not in err
    assert "Berlin" in out


def test_a_call_that_takes_too_long_is_a_transient_failure(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", config, "math__sum_of_primes", "below=1000", "--timeout", "0.2"]) == 75
    assert "math" in capsys.readouterr().err


def test_what_is_no_text_is_described() -> None:
    data = base64.b64encode(b"12345").decode()
    text = types.TextResourceContents(uri="note://1", text="a note")
    blob = types.BlobResourceContents(uri="pic://1", blob=data)
    blocks: list[types.ContentBlock] = [
        types.TextContent(text="a text"),
        types.ImageContent(data=data, mime_type="image/png"),
        types.AudioContent(data=data, mime_type="audio/wav"),
        types.ResourceLink(name="n", uri="file:///x"),
        types.EmbeddedResource(resource=text),
        types.EmbeddedResource(resource=blob),
    ]
    assert _as_text(types.CallToolResult(content=blocks)) == [
        "a text",
        "[image/png, 6 bytes; --json prints it in base64]",
        "[audio/wav, 6 bytes; --json prints it in base64]",
        "[resource file:///x]",
        "a note",
        "[resource pic://1; --json prints it in base64]",
    ]
    assert _as_text(types.CallToolResult(content=[], structured_content={"a": 1})) == ['{\n  "a": 1\n}']
    assert _as_text(types.CallToolResult(content=[])) == []
