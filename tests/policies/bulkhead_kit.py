"""What the tests of the bulkhead share: a circuit that is opened by hand, and calls that stay inside until let out."""

import asyncio

from policy_kit import ENDPOINT, SERVER, failure, make_call

from recloser.errors import RouterError
from recloser.options import Bulkhead
from recloser.policies.bulkhead import BulkheadLimit


class Circuit:
    """A circuit that a test opens and closes by hand."""

    def __init__(self):
        self.admits = True
        self.watchers = []

    def would_admit(self, now, /):
        return self.admits

    def rejection(self):
        return failure("circuit_open", retry_after=3.0)

    def watch(self, watcher, /):
        self.watchers.append(watcher)
        return lambda: self.watchers.remove(watcher)

    def become(self, *, admits):
        self.admits = admits
        for watcher in self.watchers:
            watcher()


def make(limit=1, circuit=None):
    return BulkheadLimit(Bulkhead(limit=limit), server=SERVER, endpoint=ENDPOINT, circuit=circuit)


class Doors:
    """Calls that stay inside until they are let out, and a book of who came in."""

    def __init__(self, bulkhead):
        self.bulkhead = bulkhead
        self.inside = []
        self.most = 0
        self.doors = {}
        self.tasks = {}

    def start(self, name, **facts):
        self.doors[name] = asyncio.get_running_loop().create_future()
        call = make_call(**facts).replace(key=name)
        self.tasks[name] = asyncio.create_task(self.bulkhead(call, self.enter))
        return self.tasks[name]

    async def enter(self, call):
        self.inside.append(call.key)
        assert self.bulkhead.in_flight <= self.bulkhead._limit
        return await self.doors[call.key]

    def let_out(self, name):
        if not self.doors[name].done():
            self.doors[name].set_result(name)


async def outcome(task):
    try:
        return await task
    except RouterError as error:
        return error.payload.code
