"""References in values, and what of it is secret."""

# ruff: noqa: E501 - the messages are quoted as they are, one a line

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from config_cases import ENVIRON, entry, mistakes, only, write

from recloser.config import load
from recloser.config.mistakes import DEEPEST


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${TOKEN}", "token-123456"),
        ("Bearer ${TOKEN}!", "Bearer token-123456!"),
        ("${env:TOKEN}", "token-123456"),
        ("${NONE:-default}", "default"),
        ("${env:NONE:-a b}", "a b"),
        ("${EMPTY:-default}", "default"),
        ("<${EMPTY}>", "<>"),
        ("${NONE:-}", ""),
        ("${NONE:-${TOKEN}}", "token-123456"),
        ("${NONE:-${NONE:-x}}y", "xy"),
        ("${file:none:-x${N}}", "x7"),
        ("$${TOKEN}", "${TOKEN}"),
        ("a $${b} ${N} $$${N}", "a ${b} 7 $${N}"),
        ("$TOKEN $1 {x}", "$TOKEN $1 {x}"),
        ("${1} ${#x} ${x%%y} ${x:+y} ${x:?no} ${x:0:3}", "${1} ${#x} ${x%%y} ${x:+y} ${x:?no} ${x:0:3}"),
        ("${workspaceFolder}${/}x${pathSeparator}", f"{Path.cwd()}{os.sep}x{os.sep}"),
        ("${userHome}", str(Path.home())),
        ("${workspaceFolderBasename}", Path.cwd().name),
    ],
)
def test_a_reference_becomes_its_value(text: str, value: str) -> None:
    assert only(load(entry(command="a", args=[text]), environ=ENVIRON)).args == (value,)


def test_a_reference_to_a_file_is_its_text(tmp_path: Path) -> None:
    write(tmp_path, "secret", "from-a-file\n")
    path = write(tmp_path, "mcp.json", entry(command="a", args=["${file:secret}", f"${{file:{tmp_path}/secret}}"]))
    settings = load(path)
    assert only(settings).args == ("from-a-file", "from-a-file")
    assert {each.get_secret_value() for each in settings.secrets} == {"from-a-file"}


def test_numbers_and_yes_or_no_may_be_references() -> None:
    own = {"priority": "${N}", "lazy": "${YES}", "timeouts": {"total": "${N:-1}", "attempt": "${NONE:-0.5}"}}
    server = only(load({"recloser": {"servers": {"a": {"command": "x", **own}}}}, environ=ENVIRON))
    assert (server.priority, server.lazy, server.timeouts.total, server.timeouts.attempt) == (7, True, 7.0, 0.5)


@pytest.mark.parametrize("value", ["${WORD}", '${NONE:-"x"}', "7"])
def test_a_text_is_no_number(value: str) -> None:
    (found,) = mistakes({"recloser": {"servers": {"a": {"command": "x", "priority": value}}}}, **ENVIRON)
    assert found.startswith("recloser.servers.a.priority: expected a whole number, found ")
    assert "bare" not in found


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("${TOKE}", "expected the environment variable TOKE, which is not set; did you mean TOKEN?"),
        ("${ZZZZ}", "expected the environment variable ZZZZ, which is not set; set it, or write ${ZZZZ:-…} to give a default"),
        ("${input:api.key}", "${input:api.key} cannot be asked for here; set the environment variable RECLOSER_INPUT_API_KEY"),
        ("${envv:X}", "expected ${NAME}, ${env:NAME}, ${file:PATH} or ${input:ID}, found ${envv:…}; did you mean ${env:X}?"),
        ("${command:pick}", "expected ${NAME}, ${env:NAME}, ${file:PATH} or ${input:ID}, found ${command:…}; write $${ for the text itself"),
        ("Bearer ${TOKEN", "expected a } that closes ${; write $${ for the text itself"),
        ("${NONE:-${TOKEN}", "expected a } that closes ${; write $${ for the text itself"),
    ],
)  # fmt: skip
def test_a_reference_that_leads_nowhere_is_a_mistake_with_its_place(text: str, mistake: str) -> None:
    assert mistakes(entry(command="a", env={"A": text}), **ENVIRON) == [f"mcpServers.search.env.A: {mistake}"]


def test_a_reference_to_a_file_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    write(tmp_path, "large", "x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    names = ["none", ".", "large", "binary", "nul\0", "~nobody-of-this-name/x"]
    found = mistakes(write(tmp_path, "mcp.json", entry(command="a", args=[f"${{file:{name}}}" for name in names])))
    texts = [
        "No such file",
        "Is a directory",
        "larger than 65536 bytes",
        "not in UTF-8",
        "no name of a file",
        "No such file",
    ]
    for index, (mistake, text) in enumerate(zip(found, texts, strict=True)):
        assert f"mcpServers.search.args[{index}]: expected a secret in a file, but" in mistake
        assert text in mistake


def test_references_within_each_other_are_refused_beyond_a_limit() -> None:
    def within(levels: int) -> dict[str, Any]:
        return entry(command="a", args=["${X:-" * levels + "z" + "}" * levels, "${file:none:-" * 5 + "z" + "}" * 5])

    assert only(load(within(DEEPEST), environ={})).args == ("z", "z")
    assert mistakes(within(600)) == [
        f"mcpServers.search.args[0]: references are nested too deeply: {DEEPEST} within each other are the most"
    ]
    off = load({**within(600), "recloser": {"servers": {"search": {"enabled": False}}}}, environ={})
    assert "nested too deeply" in off.notes[0]


def test_a_broken_reference_is_told_once_and_nothing_that_follows_from_it() -> None:
    source = {
        "mcpServers": {"a": {"url": "${A}"}, "b": {"type": "${B}", "command": "x"}},
        "recloser": {
            "servers": {"c": {"command": "x", "timeouts": {"total": "${C}"}, "era": "${D}"}, "e": {"url": "${E}"}}
        },
    }
    assert [each.partition(":")[0] for each in mistakes(source)] == [
        "recloser.servers.c.timeouts.total",
        "recloser.servers.c.era",
        "recloser.servers.e.url",
        "mcpServers.a.url",
        "mcpServers.b.type",
    ]


def secrets(source: Any, **environ: str) -> set[str]:
    return {each.get_secret_value() for each in load(source, environ=environ).secrets}


def test_what_is_secret_is_remembered() -> None:
    assert secrets(entry(command="a", env={"A": "x${V}y", "B": "plain", "H": "${HOME}"}), V="value", HOME="/h") == {
        "value"
    }
    assert secrets(entry(command="a", env={"API_KEY": "literal", "TOKEN": ""})) == {"literal"}
    assert secrets(entry(command="a", args=["--x", "${MY_TOKEN}", "${PORT}"]), MY_TOKEN="tok", PORT="1") == {"tok"}
    assert secrets(entry(command="a", args=["${STRIPE_KEY}", "${SORT_KEY}"]), STRIPE_KEY="k", SORT_KEY="s") == {"k"}
    assert secrets(entry(command="a", args=["${input:x}"]), RECLOSER_INPUT_X="in") == {"in"}
    assert secrets(entry(url="https://a.example", headers={"Authorization": "Bearer abc", "X": "y"})) == {
        "Bearer abc",
        "abc",
    }
    assert secrets(entry(url="https://u:p%40ss@a.example/?api_key=k&page=2")) == {"p%40ss", "p@ss", "k"}
    assert secrets(entry(url="https://a-token-of-some-length:x@a.example/")) == {"a-token-of-some-length", "x"}
    assert secrets(entry(url="https://t%2Dken@a.example/?page=2")) == {"t%2Dken", "t-ken"}
    assert secrets({"recloser": {"servers": {"a": {"command": "x", "env": {"A": "${V:-d}"}}}}}) == set()


def test_passwords_of_urls_and_the_values_of_secret_options_are_remembered() -> None:
    assert secrets(entry(command="a", env={"DATABASE_URL": "mysql://root:password-1@h/x"})) == {"password-1"}
    dsn = "postgres://u:password-1@h/x"
    assert secrets(entry(command="a", env={"DSN": "${DSN}"}), DSN=dsn) == {dsn, "password-1"}
    assert secrets(entry(command="a", env={"DB": "${DB:-redis://:password-1@h/0}"})) == {"password-1"}
    assert secrets(entry(command="a", args=[dsn, "--token", "word-1", "--api-key=word-2", "${DSN}"]), DSN=dsn) == {
        "password-1",
        "word-1",
        "word-2",
    }
    assert secrets(entry(url="https://a.example", headers={"X-Db": dsn})) == {"password-1"}


def test_a_secret_option_whose_value_refers_to_nothing_is_told_with_its_name() -> None:
    assert any("TOKEN_OF_NONE" in each for each in mistakes(entry(command="a", args=["--token", "${TOKEN_OF_NONE}"])))


def test_a_secret_of_a_file_of_variables_is_known_by_its_name(tmp_path: Path) -> None:
    write(tmp_path, ".env", "MODE=production\nDB_PASSWORD=zz")
    assert secrets(write(tmp_path, "mcp.json", entry(command="a", envFile=".env"))) == {"zz"}


def test_no_secret_is_shown_by_the_records_or_the_mistakes() -> None:
    said = {"url": "https://a.example/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}}
    settings = load(entry(**said), environ=ENVIRON)
    assert "token-123456" not in repr(settings) + str(settings)
    assert settings.redactor().text("saw token-123456 there") == "saw [redacted] there"
    local = load(entry(command="a", env={"KEY": "${TOKEN}"}), environ=ENVIRON)
    assert "token-123456" not in repr(local)
    source = {
        **entry(url="${TOKEN}", headers={"Authorization": ["token-123456"]}),
        "recloser": {"names": "${TOKEN}", "servers": {"search": {"transport": "token-123456", "env": "token-123456"}}},
    }
    for mistake in mistakes(source, **ENVIRON):
        assert "token-123456" not in mistake
