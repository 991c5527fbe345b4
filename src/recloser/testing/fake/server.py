"""The fake server: what it offers, what it got, and who waits for what."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self

from mcp_types import JSONRPCNotification, JSONRPCRequest
from pydantic import BaseModel

from recloser.options import Server
from recloser.testing.fake.answers import plain
from recloser.testing.fake.line import Line
from recloser.testing.fake.request import Request
from recloser.testing.faulty.protocol import METHOD_NOT_FOUND, Core, Era, Offers, failure, is_modern
from recloser.testing.faulty.work import Json, Ledger, RpcError, Work

__all__ = ["BY_HAND", "FakeServer"]

BY_HAND: Final = frozenset({"tools/call", "resources/read", "prompts/get", "completion/complete"})
"""The methods that a test answers; the others are answered by the server itself."""

Item = str | Mapping[str, Any] | BaseModel
Act = Callable[[Request], object]


class Offered(Work):
    """The tools of a fake server, none of which it runs by itself."""

    def __init__(self) -> None:
        super().__init__(Ledger(lambda: 0.0))
        self.offered: list[Json] = []

    def tools(self) -> list[Json]:
        """Return the definitions of all tools."""
        return self.offered


class LinePeer:
    """Who sent a request, as the protocol's core wants it."""

    def __init__(self, line: Line, request_id: object, *, modern: bool) -> None:
        self.modern = modern
        self.capabilities = line.capabilities
        self.level: str | None = None
        self.request_id = request_id
        self.notify = line.notify
        self.ask = line.ask


class FakeServer:
    """A server in memory, driven by hand; one for all connections that are made to it.

    A request that nobody expected fails the test: in `check()`, and at the end of `async with`.

    Written by its own methods and by its connections, all on one loop.
    """

    def __init__(
        self,
        *tools: Item,
        resources: Iterable[Item] = (),
        prompts: Iterable[Item] = (),
        era: Era = "dual",
        by_hand: Iterable[str] = (),
        name: str = "fake",
    ) -> None:
        """Prepare a server.

        Args:
            *tools: Its tools: names, definitions as they go over the wire, or the SDK's models.
            resources: Its resources: URIs, or definitions in full.
            prompts: Its prompts: names, or definitions in full.
            era: The protocol that it speaks: `legacy` (handshake), `modern` (stateless) or `dual`.
            by_hand: Methods beside `BY_HAND` that the test answers, such as `initialize` or `tools/list`.
            name: How it is called in messages.
        """
        self.name = name
        self._offered = Offered()
        self._had: dict[str, None] = {}
        self.tools = list(tools)
        self.received: list[Request] = []
        """All requests that were the test's to answer, in the order in which they came."""
        self.requests: Counter[str] = Counter()
        """How many messages of each method came, those that the server answered itself too."""
        offers = Offers(
            resources=[{"name": each["uri"], **each} for each in (_defined(one, "uri") for one in resources)],
            templates=[],
            prompts=[_defined(prompt, "name") for prompt in prompts],
        )
        self._core = Core(self._offered, era=era, page=1_000_000, offers=offers)
        self._by_hand = BY_HAND | set(by_hand)
        self._standing: dict[str, Act] = {}
        self._unexpected: list[Request] = []
        self._waiting: list[tuple[Callable[[Request], bool], asyncio.Future[Request | None]]] = []
        self._lines: list[Line] = []
        self._count = 0
        self._down = False

    def __repr__(self) -> str:
        return f"<FakeServer {self.name!r}, {len(self.received)} requests, {len(self._unexpected)} unexpected>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all connections.

        Raises:
            AssertionError: there were requests that nobody expected; an exception of the body goes first.
        """
        self.disconnect()
        if error is None:
            self.check()
        elif self._unexpected:
            error.add_note(self._complaint())

    # --- how it is reached

    @property
    def tools(self) -> list[Json]:
        """What `tools/list` says; may be changed, set and announced."""
        return self._offered.offered

    @tools.setter
    def tools(self, tools: Iterable[Item]) -> None:
        self._offered.offered = [_defined(tool, "name", inputSchema={"type": "object"}) for tool in tools]
        self._had.update(dict.fromkeys(each["name"] for each in self._offered.offered))

    def server(self, name: str | None = None, **options: Any) -> Server:
        """Return what a `Router` takes; `options` are fields of `Server`."""
        return Server(self.name if name is None else name, self.connect, **options)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Any]:
        """Open a connection; a transport of the SDK, so that its own client can use it too.

        Raises:
            ConnectionRefusedError: the server is down.
        """
        if self._down:
            raise ConnectionRefusedError(f"the fake server {self.name!r} is down")
        self._count += 1
        line = Line(self._count, self._came)
        self._lines.append(line)
        try:
            yield line.reading, line.writing
        finally:
            line.close()
            self._lines.remove(line)
            self._gone(line)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return sum(not line.ended for line in self._lines)

    def disconnect(self) -> None:
        """End all connections, as a server that dies; new ones can be made."""
        for line in self._lines:
            line.end()
            self._gone(line)

    def down(self) -> None:
        """End all connections and refuse new ones, until `up`."""
        self._down = True
        self.disconnect()

    def up(self) -> None:
        """Accept connections again."""
        self._down = False

    def announce(self, method: str = "notifications/tools/list_changed", params: Json | None = None) -> None:
        """Send a notification to everybody who listens."""
        self._core.announce(method, params)

    # --- what comes

    def on(self, name: str, act: str | Act) -> None:
        """Settle in advance what becomes of the requests for a tool, prompt or resource, or of a method's.

        `act` is the text that they are answered with, or is called with each request and answers, fails or holds it.
        """
        self._standing[name] = (lambda request: request.answer(act)) if isinstance(act, str) else act

    async def expect(
        self,
        method: str = "tools/call",
        *,
        name: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        timeout: float = 5.0,
    ) -> Request:
        """Wait for the next request of a method that nobody has claimed, and return it.

        Args:
            method: Its method.
            name: Its tool's or prompt's name, or its URI; None: any.
            arguments: Its arguments; None: any.
            timeout: Seconds of the loop to wait for it.

        Raises:
            AssertionError: none came in time; the message says what came instead.
            ValueError: the server answers this method itself.
        """
        __tracebackhide__ = True
        if method not in self._by_hand:
            raise ValueError(f"the fake server answers {method!r} itself; to answer it, name it in by_hand=")

        def wanted(request: Request) -> bool:
            return (
                request.method == method
                and name in (None, request.name)
                and (arguments is None or request.arguments == dict(arguments))
            )

        for request in self._unexpected:
            if wanted(request):
                self._unexpected.remove(request)
                return request
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Request | None] = loop.create_future()
        entry = (wanted, waiting)
        self._waiting.append(entry)
        alarm = loop.call_later(timeout, _give_up, waiting)
        try:
            found = await waiting
        finally:
            alarm.cancel()
            self._waiting.remove(entry)
        if found is None:
            about = method if name is None else f"{method} {name!r}"
            about += "" if arguments is None else f" {dict(arguments)!r}"
            came = self._complaint() if self._unexpected else "no other request is waiting"
            raise AssertionError(f"expected {about} within {timeout:g} s; {came}")
        return found

    @property
    def unexpected(self) -> tuple[Request, ...]:
        """The requests that nobody has claimed so far."""
        return tuple(self._unexpected)

    def check(self) -> None:
        """Make sure that every request was expected.

        Raises:
            AssertionError: some were not; the message shows them.
        """
        __tracebackhide__ = True
        if self._unexpected:
            raise AssertionError(self._complaint())

    def executed(self, tool: str | None = None) -> list[str]:
        """Return the label of each request for a tool (None: any) that counts as run: not those that were refused.

        Raises:
            ValueError: the server never had this tool, and nobody asked for it.
        """
        asked = [each for each in self.received if each.method == "tools/call" and tool in (None, each.name)]
        self._had.update(dict.fromkeys(each["name"] for each in self.tools))
        if tool is not None and not asked and tool not in self._had:
            raise ValueError(
                f"the fake server {self.name!r} has no tool {tool!r}; known: {', '.join(self._had) or 'none'}"
            )
        return [request.label for request in asked if request.executed]

    def _complaint(self) -> str:
        lines = "".join(f"\n- {request}" for request in self._unexpected)
        return f"the fake server {self.name!r} got requests that nobody expected:{lines}"

    def _came(self, line: Line, message: JSONRPCRequest | JSONRPCNotification) -> None:
        self.requests[message.method] += 1
        params = message.params or {}
        if isinstance(message, JSONRPCNotification):
            if message.method == "notifications/cancelled":
                self._cancelled(line, params.get("requestId"))
            return
        if message.method == "initialize":
            line.capabilities = params.get("capabilities") or {}
        if message.method in self._by_hand:
            self._for_the_test(Request(line, message))
        else:
            self._for_itself(line, message, params)

    def _for_the_test(self, request: Request) -> None:
        self.received.append(request)
        act = self._standing.get(request.name) or self._standing.get(request.method)
        if act is not None:
            act(request)
            return
        for wanted, waiting in self._waiting:
            if not waiting.done() and wanted(request):
                waiting.set_result(request)
                return
        self._unexpected.append(request)

    def _for_itself(self, line: Line, message: JSONRPCRequest, params: Json) -> None:
        modern = is_modern(params) and message.method != "initialize"
        peer = LinePeer(line, message.id, modern=modern)
        if not self._core.serves(modern=modern):
            refusal = RpcError(METHOD_NOT_FOUND, f"Method not found: {message.method}")
            line.write(failure(message.id, refusal))
        elif message.method == "subscriptions/listen" and modern:
            line.leave.append(self._core.subscribe(params, peer))
        else:
            if message.method == "initialize":
                self._core.audience.add(line.write)
                line.leave.append(lambda: self._core.audience.discard(line.write))
            answer = self._core.answer({"method": message.method, "id": message.id, "params": params}, peer)
            assert isinstance(answer, dict), "nothing but a subscription takes time here"
            line.write(answer)

    def _cancelled(self, line: Line, request_id: object) -> None:
        for request in self.received:
            if request.connection == line.number and request.id == request_id:
                request.cancel()

    def _gone(self, line: Line) -> None:
        for request in self.received:
            if request.connection == line.number and not request.answered:
                request.cancel()


def _give_up(waiting: asyncio.Future[Request | None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _defined(item: Item, key: str, **defaults: Any) -> Json:
    if isinstance(item, str):
        return {key: item, **defaults}
    return {**defaults, **plain(item)}
