"""The snapshot on disk: complete, private, and never the reason for a failure."""

import json
import logging
import os
import stat

import mcp_types as types
import pytest
from builders import listing, server, tool
from mcp import StdioServerParameters

from recloser.catalog import Listing, snapshot
from recloser.options import Server

SERVERS = [server("a"), server("b")]


def rich():
    return Listing(
        tools=(tool("x", description="é", meta={"k": 1}, read_only_hint=True),),
        resources=(types.Resource(name="r", uri="r:1"),),
        templates=(types.ResourceTemplate(name="t", uri_template="t:{x}"),),
        prompts=(types.Prompt(name="p", arguments=[types.PromptArgument(name="q", required=True)]),),
        instructions="be kind",
        expires_at=5.0,
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "catalog.json"


def saved(path, **changes):
    assert snapshot.save(path, [(SERVERS[0], rich()), (SERVERS[1], listing("y"))])
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **changes}), encoding="utf-8")
    return content


def test_what_is_saved_is_loaded_without_its_expiry(path):
    assert snapshot.save(path, [(SERVERS[0], rich()), (SERVERS[1], listing("y"))])
    loaded = snapshot.load(path, SERVERS)
    assert loaded == {"a": rich(), "b": listing("y")}
    assert loaded["a"].expires_at is None


def test_the_file_is_this_users_alone_and_nothing_else_is_left(path):
    saved(path)
    assert snapshot.save(path, [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["catalog.json"]


def test_behind_a_symbolic_link_the_file_that_it_leads_to_is_replaced_and_the_link_stays(path, tmp_path):
    kept = tmp_path / "elsewhere" / "kept.json"
    kept.parent.mkdir()
    path.symlink_to(kept)
    assert snapshot.save(path, [(SERVERS[0], rich())])
    assert path.is_symlink()
    assert snapshot.load(kept, SERVERS) == snapshot.load(path, SERVERS) == {"a": rich()}
    assert [each.name for each in kept.parent.iterdir()] == ["kept.json"]


def test_the_file_tells_nothing_of_how_a_server_is_reached(path):
    secret = Server(
        "s", "https://me:pa55@host.example/mcp?key=t0ken", headers={"Authorization": "b3arer"}, trusted=True
    )
    process = Server("p", command="/opt/c0mmand", args=["--token", "t0ken"], env={"KEY": "s3cret"})
    assert snapshot.save(path, [(secret, listing("x")), (process, listing("x"))])
    text = path.read_text(encoding="utf-8")
    for word in ("pa55", "t0ken", "b3arer", "s3cret", "host.example", "c0mmand"):
        assert word not in text


def test_a_server_that_is_reached_otherwise_now_is_passed_over(path):
    saved(path)
    other = Server("a", command="something-else")
    assert set(snapshot.load(path, [other, SERVERS[1], server("new")])) == {"b"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Server("a", "https://h/mcp"), Server("b", "https://h/mcp"), True),
        (Server("a", "https://u:p@h/mcp?k=1"), Server("a", "https://u:q@h/mcp?k=2"), True),
        (Server("a", "https://h/mcp"), Server("a", "https://h/other"), False),
        (Server("a", "https://h/mcp"), Server("a", "https://h/mcp", transport="sse"), False),
        (Server("a", command="x"), Server("a", command="x", args=["y"]), False),
        (Server("a", command="x", args=["y"]), Server("a", command="x", args=["y"], env={"K": "1"}), True),
        (
            Server("a", command="x", args=["y"]),
            Server("a", StdioServerParameters(command="x", args=["y"])),
            True,
        ),
    ],
)
def test_a_fingerprint_tells_ways_to_reach_a_server_apart(one, other, same):
    assert (snapshot.fingerprint(one) == snapshot.fingerprint(other)) is same


def test_a_server_of_this_process_is_neither_saved_nor_loaded(path):
    inside = Server("a", object())
    assert snapshot.fingerprint(inside) is None
    assert snapshot.save(path, [(inside, listing("x"))])
    assert json.loads(path.read_text(encoding="utf-8"))["servers"] == {}
    saved(path)
    assert snapshot.load(path, [inside]) == {}


def test_a_missing_file_is_no_news(path, caplog):
    assert snapshot.load(path, SERVERS) == {}
    assert not caplog.records


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"schema": "recloser.catalog/2", "servers": {}}',
        b'{"schema": "recloser.catalog/1"}',
        b'{"schema": "recloser.catalog/1", "servers": []}',
    ],
)
def test_a_broken_or_foreign_file_is_passed_over_with_a_line_in_the_log(path, caplog, content):
    path.write_bytes(content)
    assert snapshot.load(path, SERVERS) == {}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(path.parent) not in record.getMessage()


def test_a_file_that_is_too_large_is_passed_over(path, caplog, monkeypatch):
    saved(path)
    monkeypatch.setattr(snapshot, "MOST_BYTES", 10)
    assert snapshot.load(path, SERVERS) == {}
    assert "larger than 10 bytes" in caplog.text


def test_a_pipe_in_the_place_of_the_file_is_passed_over_and_not_waited_for(path, caplog):
    os.mkfifo(path)
    assert snapshot.load(path, SERVERS) == {}
    assert "no regular file" in caplog.text


def test_another_users_file_is_passed_over(path, caplog, monkeypatch):
    saved(path)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert snapshot.load(path, SERVERS) == {}
    assert "another user" in caplog.text


def test_where_there_are_no_users_every_file_is_read(path, monkeypatch):
    saved(path)
    monkeypatch.delattr(os, "geteuid")
    assert set(snapshot.load(path, SERVERS)) == {"a", "b"}


def test_what_cannot_be_opened_is_passed_over(tmp_path, caplog):
    assert snapshot.load(tmp_path, SERVERS) == {}
    assert "passed over: Is a directory" in caplog.text


@pytest.mark.parametrize(
    "broken", [{"tools": [{"name": "s3cret", "inputSchema": 3}]}, {"tools": 3}, {"tools": [3]}, {"prompts": {"a": 1}}]
)
def test_a_broken_part_is_passed_over_and_the_others_are_used(path, caplog, broken):
    servers = saved(path)["servers"]
    saved(path, servers={**servers, "a": {**servers["a"], **broken}})
    assert set(snapshot.load(path, SERVERS)) == {"b"}
    assert "server a: its part of the snapshot is passed over" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_part_that_is_not_even_a_part_is_passed_over(path):
    servers = saved(path)["servers"]
    saved(path, servers={**servers, "a": 3})
    assert set(snapshot.load(path, SERVERS)) == {"b"}


def test_instructions_of_a_wrong_form_are_left_out(path):
    servers = saved(path)["servers"]
    saved(path, servers={"a": {**servers["a"], "instructions": 3}})
    assert snapshot.load(path, SERVERS)["a"].instructions is None


def test_a_place_that_cannot_be_written_is_told_and_nothing_raised(tmp_path, caplog):
    assert not snapshot.save(tmp_path / "missing" / "catalog.json", [])
    assert "cannot write the snapshot of the catalog: No such file or directory" in caplog.text


def test_a_write_that_fails_leaves_the_old_file_and_no_scratch(path, caplog, monkeypatch):
    saved(path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert not snapshot.save(path, [])
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["catalog.json"]
    assert "No space left on device" in caplog.text
