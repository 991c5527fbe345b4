"""The command line of a faulty server."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recloser.testing.faulty.faults import FAULTS
from recloser.testing.faulty.plan import Order, Plan, Tally
from recloser.testing.faulty.protocol import Core
from recloser.testing.faulty.stdin import open_stdin
from recloser.testing.faulty.work import Ledger, Work

__all__ = ["main"]

_LINE_LIMIT = 64 * 1024 * 1024


def _listed(indent: str = "") -> list[str]:
    """Return a line for each fault."""
    lines = []
    for fault in FAULTS.values():
        where, when = "/".join(sorted(fault.transports)), "/".join(sorted(fault.eras))
        given = ", ".join(f"{name}={value}" for name, value in fault.arguments.items())
        lines.append(f"{indent}{fault.name:20} {where:11} {when:14} {fault.does}{f' [{given}]' if given else ''}")
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recloser.testing.faulty",
        description="An MCP server that misbehaves, and counts what it executes.",
        epilog="faults, the transports and eras in which they are possible, what they do, and what --arg can set:\n"
        + "\n".join(_listed("  ")),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--fault", choices=list(FAULTS), metavar="NAME", help="what goes wrong; see below")
    parser.add_argument("--list", action="store_true", help="print all faults and end")
    parser.add_argument("--transport", choices=("stdio", "http"), default="stdio")
    parser.add_argument("--era", choices=("legacy", "modern", "dual"), default="dual", help="the protocol it speaks")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--port", type=_whole(0, 65_535), default=0, help="0: any free one; the URL is printed on stdout"
    )
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="over HTTP: end when stdin does, so that none is left behind"
    )
    parser.add_argument("--answers", choices=("json", "sse"), default="json", help="how it answers over HTTP")
    parser.add_argument("--after", type=_whole(0), metavar="N", help="messages served well before")
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--times", type=_whole(0), metavar="N", help="how often it strikes")
    limit.add_argument(
        "--for", type=_seconds, dest="seconds", metavar="SECONDS", help="how long, from its first strike"
    )
    parser.add_argument("--on", metavar="METHOD", help="the one method that it strikes")
    parser.add_argument("--tool", metavar="NAME", help="the one tool whose calls it strikes")
    parser.add_argument("--arg", action="append", default=[], metavar="K=V", help="an argument of the fault")
    parser.add_argument("--extra", type=_whole(0), default=0, metavar="N", help="further tools extra_1 …")
    parser.add_argument("--page", type=_whole(1), default=5, metavar="N", help="items on one page of a listing")
    parser.add_argument("--count-file", metavar="PATH", help="a file to which each execution is appended")
    parser.add_argument("--control", metavar="PATH", help="over stdio: a file of orders, read before each message")
    return parser


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return what reads an option that is a whole number within these limits."""

    def read(text: str) -> int:
        number = int(text) if text.removeprefix("-").isdecimal() else None
        if number is None or number < least or (most is not None and number > most):
            limits = f"of at least {least}" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"expected a whole number {limits}, got {text!r}")
        return number

    return read


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (seconds >= 0 and math.isfinite(seconds)):
        raise argparse.ArgumentTypeError(f"expected a number of seconds, got {text!r}")
    return seconds


def _order(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Order | None:
    fields = {"after": given.after, "times": given.times, "seconds": given.seconds, "on": given.on, "tool": given.tool}
    if given.fault is None:
        options = {
            "--arg": given.arg or None,
            **{f"--{name}": fields[name] for name in ("after", "times", "on", "tool")},
        }
        for option, value in {**options, "--for": given.seconds}.items():
            if value is not None:
                parser.error(f"argument {option}: not allowed without --fault")
        return None
    arguments = dict(pair.partition("=")[::2] for pair in given.arg)
    option = "--arg"
    try:
        Order.of(given.fault, arguments=arguments)
        option = "--fault" if given.tool is None else "--tool"
        order = Order.of(given.fault, arguments=arguments, **{**fields, "after": given.after or 0})
        option = "--fault"
        order.check(given.transport, given.era)
    except ValueError as error:
        parser.error(f"argument {option}: {error}")
    return order


class _RefusedError(Exception):
    """The value of an option has turned out to be of no use."""


@contextmanager
def _value_of(option: str, doing: str) -> Iterator[None]:
    """Blame an option for what goes wrong in the body.

    Raises:
        _RefusedError: something did.
    """
    try:
        yield
    except (OSError, ValueError, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise _RefusedError(f"argument {option}: cannot {doing}: {why}") from error


async def _stdio(core: Core, plan: Plan, control: str | None) -> None:
    from recloser.testing.faulty.control import ControlFile
    from recloser.testing.faulty.pipe import StdioServer, write_line
    from recloser.testing.faulty.pipe_faults import act

    file = None
    if control is not None:
        with _value_of("--control", f"use {control}"):
            write_line(f"{control}.pids", str(os.getpid()))
            file = ControlFile(control, plan, core)
            file.poll()
    server = StdioServer(core, plan, act, control=file, sleepers=None if control is None else f"{control}.sleepers")
    async with open_stdin(_LINE_LIMIT) as (reader, pause):
        await server.serve(reader, pause)


async def _http(core: Core, plan: Plan, given: argparse.Namespace) -> None:
    from recloser.testing.faulty.page import control_page
    from recloser.testing.faulty.web import HttpServer
    from recloser.testing.faulty.web_faults import act

    server = HttpServer(core, plan, act, leave=os._exit, answers=given.answers, host=given.host, port=given.port)
    server.control = lambda exchange: control_page(server, exchange)
    with _value_of("--host, --port", f"listen on {given.host}:{given.port}"):
        await server.start()
    print(f"http://{server.host}:{server.port}/mcp", flush=True)  # noqa: T201 - the one thing that a caller must know
    try:
        await (_end_of_stdin() if given.until_stdin_closes else asyncio.Event().wait())
    finally:
        await server.stop()


async def _end_of_stdin() -> None:
    async with open_stdin() as (reader, _):
        await reader.read()


async def _run(given: argparse.Namespace, order: Order | None) -> None:
    clock = asyncio.get_running_loop().time
    tally = Tally(f"{given.control}.fired" if given.control else None)
    plan = Plan(clock, tally)
    if order is not None:
        plan.add(order)
    with _value_of("--count-file", f"write to {given.count_file}"):
        work = Work(Ledger(clock, given.count_file))
    work.extra = given.extra
    core = Core(work, era=given.era, page=given.page)
    if given.transport == "stdio":
        await _stdio(core, plan, given.control)
    else:
        await _http(core, plan, given)
    work.ledger.close()


def main(argv: list[str] | None = None) -> int:
    """Run a server until its client is gone (stdio) or it is interrupted (HTTP); return the exit code."""
    parser = _parser()
    given = parser.parse_args(argv)
    if given.list:
        print("\n".join(_listed()))  # noqa: T201 - the answer to --list
        return 0
    order = _order(parser, given)
    try:
        asyncio.run(_run(given, order))
    except _RefusedError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return 130
    return 0
