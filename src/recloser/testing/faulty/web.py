"""The HTTP server: streamable HTTP in both eras, sessions, and a control page."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import socket
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Literal, NamedTuple

from recloser.testing.faulty.connection import Connection, Exchange
from recloser.testing.faulty.deeds import encoded
from recloser.testing.faulty.plan import Order, Plan
from recloser.testing.faulty.protocol import (
    CAPABILITIES_KEY,
    INVALID_REQUEST,
    LEVEL_KEY,
    METHOD_NOT_FOUND,
    MODERN_VERSION,
    PARSE_ERROR,
    Core,
    failure,
    is_message,
    is_modern,
)
from recloser.testing.faulty.work import Json, RpcError

__all__ = ["Answers", "HttpServer", "Refused", "Seen"]

Answers = Literal["json", "sse"]

REQUEST_CANCELLED: Final = -32800
_STATUS_OF_CODE: Final = {PARSE_ERROR: 400, INVALID_REQUEST: 400, METHOD_NOT_FOUND: 404, -32602: 400}
_STATUS_OF_CODE.update(dict.fromkeys((-32020, -32021, -32022), 400))


class Seen(NamedTuple):
    """One message that has come in, whether a fault struck it or not."""

    method: str
    """Its JSON-RPC method; `GET`, `DELETE`; `response` for the answer to a question of ours."""
    params: Mapping[str, Any]
    headers: Mapping[str, str]
    """The HTTP request's, names in lower case."""


class Refused(Exception):  # noqa: N818 - an answer that ends a request early, no error of the server
    """The request gets this status and error instead of being served."""

    def __init__(self, status: int, error: RpcError) -> None:
        super().__init__(status)
        self.status = status
        self.error = error


class Session:
    """What is known of one client of the handshake era."""

    def __init__(self, name: str, capabilities: Mapping[str, Any]) -> None:
        self.name = name
        self.capabilities = capabilities
        self.level: str | None = None
        self.streams: set[Exchange] = set()
        self.waiting: dict[object, asyncio.Future[Json]] = {}
        self.running: dict[object, asyncio.Task[None]] = {}


class HttpPeer:
    """The sender of one request."""

    __slots__ = ("_exchange", "_server", "_session", "capabilities", "level", "modern", "request_id")

    def __init__(self, server: HttpServer, exchange: Exchange, message: Json, session: Session | None) -> None:
        meta = (message.get("params") or {}).get("_meta") or {}
        self._server = server
        self._exchange = exchange
        self._session = session
        self.modern = session is None
        self.capabilities = meta.get(CAPABILITIES_KEY, {}) if session is None else session.capabilities
        self.level = meta.get(LEVEL_KEY) if session is None else session.level
        self.request_id = message["id"]

    def notify(self, method: str, params: Json) -> None:
        """Send a notification on the request's own stream."""
        self._exchange.event({"jsonrpc": "2.0", "method": method, "params": params})

    async def ask(self, method: str, params: Json) -> Json:
        """Send a request on the stream; its answer comes as a POST of its own."""
        assert self._session is not None
        question = self._server.new_id("ask")
        waiting = asyncio.get_running_loop().create_future()
        self._session.waiting[question] = waiting
        self._exchange.event({"jsonrpc": "2.0", "id": question, "method": method, "params": params})
        try:
            answer: Json = await waiting
        finally:
            self._session.waiting.pop(question, None)
        if "error" in answer:
            raise RpcError(answer["error"]["code"], answer["error"]["message"])
        result: Json = answer["result"]
        return result


class HttpServer:
    """Serves one port; started and stopped as often as wanted, always on the same port."""

    def __init__(
        self,
        core: Core,
        plan: Plan,
        act: Callable[[HttpServer, Order, Exchange, Json], Coroutine[Any, Any, None]],
        *,
        leave: Callable[[int], None] | None = None,
        answers: Answers = "json",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.core = core
        self.plan = plan
        self.answers = answers
        self.host = host
        self.port = port
        self.leave = leave or (lambda _code: self.close())
        self.cancelled = 0
        """Calls that were cancelled, by a notification or, in the stateless era, by closing their stream."""
        self.seen: deque[Seen] = deque(maxlen=10_000)
        self.requests: Counter[str] = Counter()
        self.connections: set[Connection] = set()
        self.sessions: dict[str, Session] = {}
        self.lost_tokens: dict[int, str] = {}
        self.control: Callable[[Exchange], None] | None = None
        self.opened = 0.0
        """When the port was opened last, by the event loop's clock."""
        self._act = act
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._greeted: set[asyncio.Task[None]] = set()

    # --- life

    @property
    def listening(self) -> bool:
        """Whether the port is open."""
        return self._listener is not None

    async def start(self) -> None:
        """Open the port; without effect while it is open."""
        if self._listener is None:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            listener = socket.create_server((self.host, self.port), family=family, backlog=1024)
            listener.setblocking(False)
            self.port = listener.getsockname()[1]
            self._listener = listener
            self.opened = asyncio.get_running_loop().time()
            asyncio.get_running_loop().add_reader(listener.fileno(), self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        # Not by asyncio's own server: closed while a client comes, it leaves that client's socket open.
        try:
            client, _ = listener.accept()
        except OSError:
            return
        client.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._greet(client, listener))
        self._greeted.add(task)
        task.add_done_callback(self._greeted.discard)

    async def _greet(self, client: socket.socket, listener: socket.socket) -> None:
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: Connection(self.received, self.connections), client
        )
        if self._listener is not listener:
            transport.abort()

    def close(self, *, reset: bool = False) -> None:
        """Close the port, drop all connections and forget all sessions, as the death of a process would."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
        self.drop_connections(reset=reset)
        self.forget_sessions()

    async def stop(self) -> None:
        """Close the port and wait until nothing runs any more."""
        self.close()
        await asyncio.sleep(0)
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._greeted, return_exceptions=True)
        # The transports close their sockets in the loop's next turn.
        await asyncio.sleep(0)

    async def restart(self, down: float) -> None:
        """Close the port for `down` seconds and open it again."""
        self.close()
        await asyncio.sleep(down)
        await self.start()

    def drop_connections(self, *, reset: bool = True) -> None:
        """End all connections, by a reset or by an orderly end."""
        for connection in tuple(self.connections):
            connection.drop(reset=reset)

    def forget_sessions(self) -> None:
        """Forget all sessions of the handshake era, and end their streams."""
        for session in self.sessions.values():
            self._end(session)
        self.sessions = {}

    def new_id(self, kind: str) -> str:
        """Return a name that this server has not used before."""
        return f"{kind}-{next(self._numbers)}"

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that belongs to the server."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- messages

    def received(self, exchange: Exchange) -> None:
        """Serve one HTTP request."""
        if exchange.path.partition("?")[0] == "/control" and self.control is not None:
            self.control(exchange)
            return
        try:
            message = self._message(exchange)
        except Refused as refused:
            self.refuse(exchange, None, refused)
            return
        method, params = message.get("method", "response"), message.get("params") or {}
        self.seen.append(Seen(method, params, exchange.headers))
        self.requests[method] += 1
        order = self.plan.due(method, params)
        if order is not None:
            self.spawn(self._act(self, order, exchange, message))
            return
        try:
            answer = self.serve(exchange, message)
        except Refused as refused:
            self.refuse(exchange, message.get("id"), refused)
            return
        if answer is None or isinstance(answer, dict):
            self.finish(exchange, answer)
        else:
            self._later(exchange, message, answer)

    @staticmethod
    def _message(exchange: Exchange) -> Json:
        if exchange.verb in ("GET", "DELETE"):
            return {"method": exchange.verb}
        if exchange.verb != "POST":
            raise Refused(405, RpcError(INVALID_REQUEST, "Method Not Allowed"))
        try:
            message = json.loads(exchange.body)
        except ValueError as error:
            raise Refused(400, RpcError(PARSE_ERROR, "Parse error")) from error
        if not is_message(message):
            raise Refused(400, RpcError(INVALID_REQUEST, "Invalid request"))
        return message

    def serve(self, exchange: Exchange, message: Json) -> Json | Coroutine[Any, Any, Json | None] | None:
        """Serve a message properly: return the answer, None where there is none, or what will return it.

        Raises:
            Refused: it cannot be served.
        """
        params = message.get("params") or {}
        if exchange.headers.get("mcp-protocol-version") == MODERN_VERSION or is_modern(params):
            return self._serve_modern(exchange, message)
        return self._serve_legacy(exchange, message)

    def _serve_modern(self, exchange: Exchange, message: Json) -> Json | Coroutine[Any, Any, Json] | None:
        if not self.core.serves(modern=True):
            raise Refused(400, RpcError(INVALID_REQUEST, "Bad Request: Unsupported protocol version"))
        if exchange.verb != "POST":
            raise Refused(405, RpcError(INVALID_REQUEST, "Method Not Allowed"))
        if "id" not in message:
            return None
        if "method" not in message:
            raise Refused(400, RpcError(INVALID_REQUEST, "Invalid request"))
        if (error := self.core.refuse(message, exchange.headers)) is not None:
            raise Refused(400, error)
        return self.core.answer(message, HttpPeer(self, exchange, message, None))

    def _serve_legacy(self, exchange: Exchange, message: Json) -> Json | Coroutine[Any, Any, Json | None] | None:
        if not self.core.serves(modern=False):
            raise Refused(400, self.core.unsupported(exchange.headers.get("mcp-protocol-version")))
        method, params = message.get("method"), message.get("params") or {}
        if method == "initialize":
            session = Session(self.new_id("session"), params.get("capabilities") or {})
            self.sessions[session.name] = session
            exchange.out["mcp-session-id"] = session.name
        else:
            session = self._session(exchange)
        if exchange.verb == "GET":
            return self._streamed(exchange, session)
        if exchange.verb == "DELETE":
            self._end(self.sessions.pop(session.name))
        elif method is None:
            if (waiting := session.waiting.get(message.get("id"))) is not None and not waiting.done():
                waiting.set_result(message)
        elif "id" not in message:
            self._notified(session, method, params)
        else:
            if method == "logging/setLevel":
                session.level = params.get("level")
            return self.core.answer(message, HttpPeer(self, exchange, message, session))
        return None

    def _session(self, exchange: Exchange) -> Session:
        name = exchange.headers.get("mcp-session-id")
        if name is None:
            raise Refused(400, RpcError(INVALID_REQUEST, "Bad Request: Missing session ID"))
        if name not in self.sessions:
            raise Refused(404, RpcError(INVALID_REQUEST, "Session not found"))
        return self.sessions[name]

    async def _streamed(self, exchange: Exchange, session: Session) -> None:
        exchange.stream()
        session.streams.add(exchange)
        self.core.audience.add(exchange.event)
        try:
            await exchange.connection.gone.wait()
        finally:
            session.streams.discard(exchange)
            self.core.audience.discard(exchange.event)

    def _end(self, session: Session) -> None:
        for exchange in session.streams:
            self.core.audience.discard(exchange.event)
            exchange.end()

    def _notified(self, session: Session, method: str, params: Json) -> None:
        which = params.get("requestId")
        if method != "notifications/cancelled" or not isinstance(which, str | int | float):
            return
        if (task := session.running.get(which)) is not None:
            self._cancel(task)

    @staticmethod
    def _cancel(task: asyncio.Task[None]) -> None:
        # Never before its first step: what it was going to await would never be awaited.
        task.get_loop().call_soon(task.cancel)

    # --- answers

    def _later(self, exchange: Exchange, message: Json, answer: Coroutine[Any, Any, Json | None]) -> None:
        """Send an answer that takes time; until then the call can be cancelled."""
        session = self.sessions.get(exchange.headers.get("mcp-session-id", ""))

        async def wait() -> None:
            self.finish(exchange, await answer)

        def done(task: asyncio.Task[None]) -> None:
            if session is not None:
                session.running.pop(message.get("id", exchange), None)
            if task.cancelled():
                self.cancelled += 1
                error = RpcError(REQUEST_CANCELLED, "Request cancelled")
                self.finish(exchange, failure(message.get("id"), error))

        task = self.spawn(wait())
        task.add_done_callback(done)
        if session is not None:
            session.running[message.get("id", exchange)] = task
        else:
            exchange.on_loss = functools.partial(self._cancel, task)

    def finish(self, exchange: Exchange, answer: Json | None) -> None:
        """Send an answer in the way that suits it."""
        if answer is None:
            exchange.respond(202 if exchange.verb == "POST" else 200)
        elif exchange.state == "streaming" or self.answers == "sse":
            exchange.end(answer)
        else:
            modern = "mcp-method" in exchange.headers
            status = _STATUS_OF_CODE.get(answer["error"]["code"], 200) if modern and "error" in answer else 200
            exchange.respond(status, encoded(answer).encode())

    def refuse(self, exchange: Exchange, request_id: object, refused: Refused) -> None:
        """Send a refusal."""
        exchange.respond(refused.status, encoded(failure(request_id, refused.error)).encode())
