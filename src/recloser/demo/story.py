"""The demo's plot: one toolbox, three faults, and what a host sees of them. It checks itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import mcp_types as types
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from recloser.demo.briefing import brief, spoken, text_of
from recloser.demo.fleet import DemoFleet
from recloser.demo.show import Show, in_brief
from recloser.errors import ErrorPayload, RouterError, error_of
from recloser.router import Router

LIMIT: Final = 26.0
"""Seconds after which the demo gives up; it needs about half of that."""

RECOVERY: Final = 8.0
"""Seconds that a server gets to be back after its fault has ended."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What every act works with."""

    router: Router
    fleet: DemoFleet
    show: Show

    async def call(self, tool: str, arguments: Mapping[str, Any] | None = None, **options: Any) -> Answer:
        """Call a tool, show the call and its answer, and return both."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        result = await self.router.call_tool(tool, arguments, caller="demo", **options)
        answer = Answer(result=result, error=error_of(result), seconds=clock() - begun)
        # One step of the loop: what this call has set off is shown before its answer.
        await asyncio.sleep(0)
        said = text_of(result) if answer.error is None else f"{answer.error.type}: {answer.error.code}"
        self.show.answer(f"{tool}({in_brief(arguments or {})})", said, answer.seconds)
        return answer


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One call's outcome."""

    result: types.CallToolResult
    error: ErrorPayload | None
    seconds: float


async def tell(show: Show | None = None, *, last: Callable[[], Awaitable[object]] | None = None, **options: Any) -> int:
    """Run the demo and return 0 if everything happened that should, else 1.

    Args:
        show: where it is shown; left out, on stdout.
        last: is awaited when all has happened, while the router is still open.
        **options: the router's.
    """
    show = show or Show()
    try:
        async with asyncio.timeout(LIMIT):
            await _play(show, last, options)
    except TimeoutError:
        show.expect(f"the demo ends within {LIMIT:g} seconds", holds=False)
    except (RouterError, ChildProcessError) as error:
        show.expect(f"all four servers start: {error}", holds=False)
    if show.missed:
        show.say("")
        show.say(f"{len(show.missed)} things did not happen as they should; see [NOT] above.")
        return 1
    show.say("Everything happened as it should. Nothing of this needed a network or a key.")
    return 0


async def _play(show: Show, last: Callable[[], Awaitable[object]] | None, options: Mapping[str, Any]) -> None:
    show.say("Starting four real MCP servers.")
    listeners = [show.event, *options.get("listeners", ())]
    async with DemoFleet() as fleet, Router(*fleet.servers, **{**options, "listeners": listeners}) as router:
        await asyncio.gather(*(router.ready(name) for name in router.servers))
        scene = Scene(router=router, fleet=fleet, show=show)
        show.live = True
        for act in ACTS:
            await act(scene)
        show.live = False
        if last is not None:
            await last()


async def one_toolbox(scene: Scene) -> None:
    """List the tools of all four servers."""
    scene.show.act("Four servers, one toolbox")
    health = scene.router.health()
    rows = []
    for tool in await scene.router.list_tools():
        server = health[tool.name.partition("__")[0]]
        version = server.protocol_version or "?"
        era = "stateless" if version in MODERN_PROTOCOL_VERSIONS else "handshake"
        rows.append((tool.name, server.kind, f"{version} ({era})", tool.description or ""))
    scene.show.table(("tool", "transport", "protocol", "what it does"), rows)
    kinds = {(one.kind, one.protocol_version in MODERN_PROTOCOL_VERSIONS) for one in health.values()}
    scene.show.expect("stdio, streamable HTTP and SSE, both protocol eras, one list", holds=len(kinds) == len(health))


async def calls_across(scene: Scene) -> None:
    """Use tools, a resource and a prompt of different servers."""
    scene.show.act("Calls go to the right server")
    scene.show.say("How many hours do 5 days have?")
    hours = await scene.call("math__multiply", {"a": 5, "b": 24})
    note = await scene.call("notes__add_note", {"title": "Hours", "text": "5 days have 120 hours"})
    contents = (await scene.router.read_resource("note://3")).contents
    prompt = await scene.router.get_prompt("notes__daily_briefing", {"city": "London"})
    scene.show.say(f"The resource note://3 and the prompt {prompt.description or 'notes__daily_briefing'!r} work, too.")
    read = contents[0].text if contents and isinstance(contents[0], types.TextResourceContents) else ""
    scene.show.expect(
        "120 hours, written down and read back",
        holds=text_of(hours.result) == "120" and note.error is None and "120 hours" in read,
    )


async def morning_briefing(scene: Scene) -> None:
    """Ask all servers at once."""
    scene.show.act("The morning briefing: one question to all servers at once")
    spread = await brief(scene.router)
    scene.show.quote(spoken(spread))
    scene.show.expect(f"four answers: {spread.summary()}", holds=not spread.degraded and len(spread.results) == 4)


async def killed(scene: Scene) -> None:
    """Kill a server in the middle of a call that is safe to repeat."""
    scene.show.act("A server is killed in the middle of a call")
    before = scene.router.health()["math"].endpoints[0]
    shot = False

    async def shoot(done: float, total: float | None, message: str | None) -> None:
        nonlocal shot
        if not shot and before.pid is not None:
            shot = True
            scene.show.say(f"math reports progress {done:g} of {total:g} ({message}): SIGKILL to process {before.pid}.")
            scene.fleet.kill(before.pid)

    answer = await scene.call("math__sum_of_primes", {"below": 1000}, progress=shoot)
    after = scene.router.health()["math"].endpoints[0]
    scene.show.say(f"The host saw one call. The server is process {after.pid} now.")
    scene.show.expect(
        "the call was made again, since its server says that this is harmless, and succeeded",
        holds=shot and text_of(answer.result) == "76127" and after.pid not in (None, before.pid),
    )


async def hanging(scene: Scene) -> None:
    """Let a server hang until its circuit opens."""
    scene.show.act("A server hangs")
    scene.show.say("SIGSTOP to search: its connection stays open, and nothing answers. Its calls may take 2 s in all.")
    scene.fleet.freeze("search")
    slow = asyncio.create_task(scene.call("search__search", {"query": "retry budget"}))
    await asyncio.sleep(0.2)
    healthy = await scene.call("notes__list_notes")
    first = await slow
    second = await scene.call("search__search", {"query": "bulkhead"})
    third = await scene.call("search__search", {"query": "deadline"})
    scene.show.say("After two failed calls the circuit is open. This is what the host gets for the third, at once:")
    scene.show.payload(third.error)
    timed_out = [answer.error is not None and answer.error.code == "timeout" for answer in (first, second)]
    scene.show.expect("the slow calls ended by their deadline, after retries", holds=all(timed_out))
    scene.show.expect(
        "the other servers did not notice", holds=healthy.error is None and healthy.seconds < first.seconds / 2
    )
    scene.show.expect(
        "the next call was rejected at once by the open circuit, and nothing was sent",
        holds=third.error is not None
        and third.error.code == "circuit_open"
        and third.error.delivered == "no"
        and third.seconds < 0.1,
    )


async def signed_out(scene: Scene) -> None:
    """Let a server's credentials run out."""
    scene.show.act("A server answers 401")
    scene.show.say("The token that weather was configured with is no longer valid.")
    scene.fleet.revoke_token()
    answer = await scene.call("weather__get_weather", {"city": "London"})
    error = answer.error
    scene.show.payload(error)
    scene.show.expect(
        "said at once, not retried, with what to do",
        holds=error is not None
        and (error.type, error.code, error.attempts, error.next_action)
        == ("auth", "unauthenticated", 1, "reauthenticate"),
    )


async def degraded_briefing(scene: Scene) -> None:
    """Ask all servers again while two of them are sick."""
    scene.show.act("The same briefing, with two sick servers")
    spread = await brief(scene.router)
    scene.show.quote(spoken(spread))
    scene.show.say(f"The verdict: {spread.summary()}")
    scene.show.expect(
        "degraded, not failed: what could be fetched is there, and what is missing is named",
        holds=spread.degraded
        and set(spread.results) == {"notes__list_notes", "math__multiply"}
        and set(spread.errors) == {"weather__get_weather", "search__search"},
    )


async def recovered(scene: Scene) -> None:
    """End the faults and wait for the servers to be back."""
    scene.show.act("The faults end")
    scene.show.say("The token is valid again, and search goes on (SIGCONT). Nobody restarts anything.")
    scene.fleet.renew_token()
    scene.fleet.thaw("search")
    weather = await _back(scene, "weather__get_weather", {"city": "London"})
    search = await _back(scene, "search__search", {"query": "deadline"})
    spread = await brief(scene.router)
    scene.show.quote(spoken(spread))
    scene.show.expect(
        "every server is back, and the briefing is whole", holds=weather and search and len(spread.results) == 4
    )


async def _back(scene: Scene, tool: str, arguments: Mapping[str, Any]) -> bool:
    """Call as a host should: again after as long as the payload says, until it works or time is up."""
    clock = asyncio.get_running_loop().time
    end = clock() + RECOVERY
    while (error := (await scene.call(tool, arguments)).error) is not None:
        if clock() >= end:
            return False
        await asyncio.sleep(min(error.retry_after or 0.25, end - clock()))
    return True


Act = Callable[[Scene], Awaitable[None]]

ACTS: Final[tuple[Act, ...]] = (
    one_toolbox,
    calls_across,
    morning_briefing,
    killed,
    hanging,
    signed_out,
    degraded_briefing,
    recovered,
)
