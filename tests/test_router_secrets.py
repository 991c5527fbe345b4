"""What servers are given is known to be secret, whether a configuration names them or code."""

import asyncio
import sys

import pytest
from mcp.client.stdio import StdioServerParameters

from recloser import Call, Router, RouterError, Server, error_of
from recloser.redact import MASK, Hidden
from recloser.redact.given import EARLIER
from recloser.testing.clock import run_virtual
from support.fleets import opened
from support.peers import Peer, tool

KEY = "zq9-lit-eral-77112233"
URL = "http://127.0.0.1:9/mcp"


async def told(router, what):
    """What the router shows of a name that nobody knows."""
    return error_of(await router.call_tool(f"no_{what}")).tool


@pytest.mark.parametrize(
    ("given", "hidden"),
    [
        ({"url": URL, "headers": {"X-Api-Key": KEY}}, KEY),
        ({"url": URL, "headers": {"Authorization": f"Bearer {KEY}"}}, KEY),
        ({"url": f"{URL}?token={KEY}"}, KEY),
        ({"url": f"http://me:{KEY}@127.0.0.1:9/mcp"}, KEY),
        ({"url": "http://me:hush%23hush@127.0.0.1:9/mcp"}, "hush#hush"),
        ({"url": f"http://{KEY}@127.0.0.1:9/mcp"}, KEY),
        ({"command": "none", "env": {"API_KEY": KEY}}, KEY),
        ({"command": "none", "env": {"DATABASE_URL": f"mysql://root:{KEY}@h/x"}}, KEY),
        ({"command": "none", "args": ["--token", KEY]}, KEY),
        ({"command": "none", "args": [f"postgresql://u:{KEY}@h/db"]}, KEY),
        ({"target": StdioServerParameters(command="none", env={"API_KEY": KEY})}, KEY),
        ({"target": StdioServerParameters(command="none", args=["--token", KEY])}, KEY),
    ],
)
def test_what_a_server_made_in_code_is_given_that_is_secret_is_hidden(given, hidden):
    async def main():
        async with opened(Server("p", lazy=True, **given)) as router:
            assert await told(router, hidden) == f"no_{MASK}"
        async with opened() as router:
            assert await told(router, hidden) == f"no_{hidden}"
            await router.add_server(Server("p", lazy=True, **given))
            assert await told(router, hidden) == f"no_{MASK}"

    run_virtual(main)


def test_what_a_server_is_given_under_an_ordinary_name_is_not_looked_for():
    async def main():
        lazy = Server("p", command="none", env={"MODE": "production", "API_KEY": " "}, lazy=True)
        async with opened(lazy) as router:
            assert await told(router, "production") == "no_production"

    run_virtual(main)


def configured(key):
    return {"mcpServers": {"p": {"url": URL, "headers": {"X-Api-Key": key}}}, "recloser": {"defaults": {"lazy": True}}}


def test_secrets_of_earlier_configurations_stay_hidden_while_their_servers_end():
    async def main():
        async with opened() as router:
            for number in range(3):
                await router.reload(configured(f"hush-hush-{number}"))
                await router.reload(configured(f"hush-hush-{number}"))
            for number in range(3):
                assert await told(router, f"hush-hush-{number}") == f"no_{MASK}"

    run_virtual(main)


def test_of_secrets_that_are_out_of_use_the_latest_are_hidden_and_no_more():
    hidden = Hidden(["hush-given"])
    for text in ("hush-first", "hush-again", *(f"hush-no-{number}" for number in range(EARLIER - 1)), "hush-again"):
        hidden.use([text])
    assert hidden.redactor.text("hush-first hush-no-0") == f"{MASK} {MASK}"
    before = hidden.redactor
    hidden.use(["hush-again"])
    assert hidden.redactor is before
    hidden.use([])
    assert hidden.redactor.text("hush-first hush-no-0 hush-again hush-given") == f"hush-first {MASK} {MASK} {MASK}"


@pytest.mark.processes
def test_what_a_server_says_on_stderr_is_shown_without_the_secrets_of_those_that_came_later():
    says = f"import sys; print('the key is {KEY}', file=sys.stderr, flush=True); sys.stdin.read()"

    async def main():
        router = Router(Server("p", command=sys.executable, args=["-S", "-E", "-c", says]))
        async with router:
            async with asyncio.timeout(60):
                while router.health()["p"].stderr is None:
                    await asyncio.sleep(0.01)
            assert router.health()["p"].stderr == f"the key is {KEY}"
            await router.add_server(Server("q", URL, headers={"X-Api-Key": KEY}, lazy=True))
            assert router.health()["p"].stderr == f"the key is {MASK}"

    asyncio.run(main())


# --- many calls at once


@pytest.mark.parametrize(
    ("name", "who"),
    [
        (f"{KEY}__nope", MASK),
        (KEY, MASK),
        (f"no_{KEY}__nope", f"no_{MASK}"),
        ("two\nlines \x1b[31m__nope", "two lines"),
        ("y" * 600, "y" * 255 + "…"),
    ],
)
def test_the_summary_of_many_calls_shows_a_caller_s_name_in_one_line_and_without_secrets(name, who):
    async def main():
        async with opened(Peer().server(), secrets=[KEY]) as router:
            spread = await router.fan_out([Call.tool("peer__echo"), Call.tool(name)])
            assert spread.summary() == f"1 of 2 answered; {who}: has no such tool"
            with pytest.raises(RouterError) as missed:
                await router.fan_out([Call.tool(name)])
            assert missed.value.payload.message == f"0 of 1 answered; {who}: has no such tool; 1 were needed"
            assert KEY not in str(missed.value)
            replies = [reply async for reply in router.stream([Call.tool(name, server_name=name)])]
            assert KEY not in replies[0].who
            assert "\n" not in replies[0].who

    run_virtual(main)


def test_a_call_that_is_cut_off_at_the_deadline_of_many_is_told_of_without_secrets():
    async def asks(line, params):
        return await line.ask("roots/list", {})

    async def never(*_):
        await asyncio.Event().wait()

    async def main():
        peer = Peer(modern=False, on={"tools/call": asks})
        peer.tools = [tool(KEY)]
        async with opened(peer.server("p"), secrets=[KEY], roots=never) as router:
            spread = await router.fan_out([Call.tool(f"p__{KEY}")], timeout=1, quorum=0)
            (late,) = spread.replies
            assert (late.error.code, late.error.tool, late.who) == ("timeout", f"p__{MASK}", "p")
            assert KEY not in f"{late.error} {spread.summary()}"

    run_virtual(main)
