"""Makes the part of the first page that shows a server dying: by a real router, a real server, and a real signal.

`python docs/render_readme.py [README.md]` writes it between its two marks. Where nothing but times differs, the page
stays as it is, so that running this again changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Final

from recloser import Breaker, Call, Retry, Router, Server, Timeouts, error_of
from recloser.demo.show import in_words
from recloser.events import CircuitChanged, Event

BEGIN: Final = "<!-- made by docs/render_readme.py -->\n"
END: Final = "<!-- until here -->\n"
PATIENCE: Final = 20.0
"""Seconds in which the server must be served again."""


def demo_server(name: str, **options: object) -> Server:
    """Return a server of the demo as a command."""
    # -P keeps files of the working directory from being imported instead of the libraries.
    args = ["-P", "-m", f"recloser.demo.servers.{name}_server"]
    return Server(name, command=sys.executable, args=args, trusted=True, **options)  # type: ignore[arg-type]  # by name


async def story() -> tuple[list[str], str, list[str]]:
    """Play it; return what happened, the payload as JSON, and what came after."""
    told: list[str] = []
    lets_through = asyncio.Event()
    hearing = False

    def hear(event: Event) -> None:
        if isinstance(event, CircuitChanged) and event.state == "half_open":
            lets_through.set()
        if hearing and (text := in_words(event)):
            told.append(f"    {text}")

    search = demo_server(
        "search",
        timeouts=Timeouts(attempt=1, total=10, start=PATIENCE),
        retry=Retry(attempts=2),
        breaker=Breaker(consecutive=2, open_for=15, window=60),
    )
    async with Router(search, demo_server("notes"), listeners=[hear], rng=lambda: 0.5) as router:
        await asyncio.gather(router.ready("search"), router.ready("notes"))
        loop = asyncio.get_running_loop()

        async def call() -> None:
            begun = loop.time()
            result = await router.call_tool("search__search", {"query": "deadline"})
            payload = error_of(result)
            outcome = "answered" if payload is None else f"{payload.type}: {payload.code}"
            told.append(f"call_tool -> {outcome}, after {milliseconds(loop.time() - begun)}")

        pid = router.health()["search"].endpoints[0].pid
        assert pid is not None  # it is ready, so it runs
        os.kill(pid, signal.SIGSTOP)
        hearing = True
        for _ in range(3):
            await call()
        before, told[:] = list(told), []
        refused = error_of(await router.call_tool("search__search", {"query": "deadline"}))
        assert refused is not None  # the circuit is open
        calls = [Call.tool("notes__list_notes"), Call.tool("search__search", {"query": "news"})]
        spread = await router.fan_out(calls, quorum=1, timeout=3)
        told.append(f"fan_out   -> degraded={spread.degraded}, results of {', '.join(spread.results)}")
        told.append(f'    "{spread.summary()}"')
        async with asyncio.timeout(PATIENCE):
            await lets_through.wait()
        await call()
        return before, json.dumps(refused.to_dict(), indent=2), told


def milliseconds(seconds: float) -> str:
    """Return a duration as the page says it."""
    return f"{seconds * 1000:.1f} ms"


async def block() -> str:
    """Return the part of the page."""
    before, payload, after = await story()
    parts = (
        "The process of `search` is stopped (SIGSTOP): its pipe stays open, and nothing answers. Here a call may make",
        "two attempts of 1 s each, and two failed calls in a row open the circuit:",
        "",
        "```text",
        *before,
        "```",
        "",
        "`error_of(result)` of the third call:",
        "",
        "```json",
        payload,
        "```",
        "",
        "A question to both servers is answered as far as it can be. Meanwhile recloser asks the stopped process for a",
        "sign of life, in vain; it ends it, starts another one, and lets calls through again:",
        "",
        "```text",
        *after,
        "```",
    )
    return "".join(f"{line}\n" for line in parts)


def normalised(page: str) -> str:
    """Return a page without the times in its fenced blocks, which are different in every run."""
    parts = page.split("```")
    for inside in range(1, len(parts), 2):
        text = re.sub(r"\d[\d.e-]* m?s\b", "# s", parts[inside])
        parts[inside] = re.sub(r'"(retry_after|elapsed)": [\d.e-]+', r'"\1": #', text)
    return "```".join(parts)


def main(path: Path) -> None:
    """Write the part into a page."""
    page = path.read_text(encoding="utf-8")
    start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    made = page[:start] + "\n" + asyncio.run(block()) + "\n" + page[end:]
    if normalised(made) != normalised(page):
        path.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "README.md")
