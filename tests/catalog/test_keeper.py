"""The snapshot file is kept up to date beside the loop, and closing waits for the last change."""

import asyncio
import json
import threading

from builders import listing, server

from recloser.catalog.keeper import SnapshotKeeper
from recloser.testing.leaks import no_leaks


class Known:
    """What a catalog has listed; says how often it was asked."""

    def __init__(self):
        self.tools = ["a"]
        self.asked = 0

    def __call__(self):
        self.asked += 1
        return [(server("s"), listing(*self.tools))]


def stored(path):
    return [tool["name"] for tool in json.loads(path.read_text())["servers"]["s"]["tools"]]


def test_a_change_is_written_by_the_time_that_the_keeper_is_closed(tmp_path):
    async def main():
        keeper = SnapshotKeeper(tmp_path / "c.json", Known())
        async with no_leaks():
            keeper.changed()
            await keeper.close()
        assert stored(tmp_path / "c.json") == ["a"]

    asyncio.run(main())


def test_without_a_change_nothing_is_written(tmp_path):
    async def main():
        await SnapshotKeeper(tmp_path / "c.json", Known()).close()

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


def test_many_changes_in_a_row_are_one_write(tmp_path):
    async def main():
        known = Known()
        keeper = SnapshotKeeper(tmp_path / "c.json", known)
        for _ in range(100):
            keeper.changed()
        await keeper.close()
        assert known.asked == 1

    asyncio.run(main())


def test_a_change_during_a_write_is_written_after_it_and_the_loop_is_not_held_up(tmp_path, monkeypatch):
    from recloser.catalog import keeper as module

    writing, go = threading.Event(), threading.Event()

    def held_up(path, listings):
        writing.set()
        assert go.wait(10)
        return save(path, listings)

    save = module.save
    monkeypatch.setattr(module, "save", held_up)

    async def main():
        known = Known()
        keeper = SnapshotKeeper(tmp_path / "c.json", known)
        keeper.changed()
        await asyncio.to_thread(writing.wait, 10)
        known.tools.append("b")
        keeper.changed()
        assert known.asked == 1
        go.set()
        await keeper.close()
        assert known.asked == 2
        assert stored(tmp_path / "c.json") == ["a", "b"]
        known.tools.append("c")
        keeper.changed()
        await keeper.close()
        assert stored(tmp_path / "c.json") == ["a", "b", "c"]

    asyncio.run(main())


def test_a_file_that_cannot_be_written_disturbs_nobody(tmp_path, caplog):
    async def main():
        keeper = SnapshotKeeper(tmp_path / "no such folder" / "c.json", Known())
        keeper.changed()
        await keeper.close()

    asyncio.run(main())
    assert "cannot write the snapshot" in caplog.text


def test_what_cannot_be_written_is_logged_and_does_not_keep_the_router_from_closing(tmp_path, caplog):
    class Unwritable:
        tools = ()

    async def main():
        keeper = SnapshotKeeper(tmp_path / "c.json", lambda: [(server("s"), Unwritable())])
        keeper.changed()
        await keeper.close()

    asyncio.run(main())
    assert [record.message.partition(" /")[0] for record in caplog.records] == ["the snapshot"]
