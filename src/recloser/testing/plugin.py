"""A plugin for pytest: async tests on virtual time, and fixtures for the servers of this kit.

It comes with recloser (entry point `recloser`); nothing but pytest imports it. It runs no async test but those that ask
for it, by the marker `recloser_virtual` or the fixture `virtual_clock`, and leaves all others to whoever runs them.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from recloser.testing.clock import VirtualClock
    from recloser.testing.fake import FakeServer
    from recloser.testing.faulty import FaultyHttp, FaultyStdio

__all__ = ["MARKER"]

MARKER: Final = "recloser_virtual"
"""Marks async tests that run on virtual time; its arguments are those of `run_virtual`."""

_ARGUMENTS: Final = ("grace", "patience")
"""Those arguments."""

_CHECKS: Final = pytest.StashKey[list[Callable[[], None]]]()
"""What is to hold when a test has passed; filled by its fixtures."""

Test = Callable[..., Coroutine[Any, Any, None]]

_TEST: Final = pytest.StashKey[Test]()
"""The async test that an item of ours stands for."""

_ORIGINAL: Final = "_recloser_original"
"""The attribute of a plain test by which the async one is found again."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(grace=0.0, patience=5.0): run an async test on virtual time; `grace` real seconds are given to "
        "sockets and threads before time jumps (recloser)",
    )


# Innermost: other plugins see our tests as what they are from now on, plain functions, and leave them alone.
@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pycollect_makeitem() -> Generator[None, Any, Any]:
    """Turn async tests that ask for virtual time into plain ones."""
    made = yield
    if not isinstance(made, list):
        return made
    kept = []
    for item in made:
        test = _async_test(item) if isinstance(item, pytest.Function) and _asks(item) else None
        if test is not None:
            if not _on_asyncio(item):
                continue
            item.stash[_TEST] = test
            _install(item, test)
        kept.append(item)
    return kept


def _asks(item: pytest.Function) -> bool:
    return item.get_closest_marker(MARKER) is not None or "virtual_clock" in item.fixturenames


def _async_test(item: pytest.Function) -> Test | None:
    """Return what of a test is async: itself, or what hypothesis calls for each example."""
    hypothesis = getattr(item.obj, "hypothesis", None)
    test = item.obj if hypothesis is None else hypothesis.inner_test
    # Items of one test share what hypothesis calls: here it is another item's, that was made before.
    test = getattr(test, _ORIGINAL, test)
    return test if inspect.iscoroutinefunction(test) else None


def _on_asyncio(item: pytest.Function) -> bool:
    """Return whether a test is not one that anyio's plugin has made for another kind of loop, none of them virtual."""
    callspec = getattr(item, "callspec", None)
    backend = "asyncio" if callspec is None else callspec.params.get("anyio_backend", "asyncio")
    return "asyncio" in (backend, backend[0])


def _install(item: pytest.Function, test: Test) -> None:
    """Let a plain function stand in an async test's place."""
    hypothesis = getattr(item.obj, "hypothesis", None)
    if hypothesis is None:
        item.obj = _plain(item, test)
    else:
        hypothesis.inner_test = _plain(item, test)


def _plain(item: pytest.Function, test: Test) -> Callable[..., None]:
    """Return an async test as a plain function."""

    @functools.wraps(test)
    def run(*args: Any, **given: Any) -> None:
        clock: Any = item.funcargs.get("virtual_clock") or _clock(item)
        watched = "no_leaks" in item.fixturenames

        async def whole() -> None:
            from recloser.testing.leaks import no_leaks

            if not watched:
                await test(*args, **given)
                return
            # From within, where tasks can be seen; the fixture sees to the rest.
            async with no_leaks():
                await test(*args, **given)

        clock.run(whole)

    setattr(run, _ORIGINAL, test)
    return run


def _clock(item: pytest.Item) -> VirtualClock:
    from recloser.testing.clock import VirtualClock

    marker = item.get_closest_marker(MARKER)
    if marker is None:
        return VirtualClock()
    if wrong := [*map(repr, marker.args), *(name for name in marker.kwargs if name not in _ARGUMENTS)]:
        names = " and ".join(_ARGUMENTS)
        pytest.fail(f"@pytest.mark.{MARKER} takes {names}, by name, and no {', '.join(wrong)}", pytrace=False)
    return VirtualClock(**marker.kwargs)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Check what the test's fixtures want to hold: as a part of the test, whoever runs it."""
    __tracebackhide__ = True
    if (test := pyfuncitem.stash.get(_TEST, None)) is not None:
        _install(pyfuncitem, test)
    result = yield
    for check in pyfuncitem.stash.get(_CHECKS, []):
        check()
    return result


def _at_the_end(request: pytest.FixtureRequest, check: Callable[[], None]) -> None:
    request.node.stash.setdefault(_CHECKS, []).append(check)


@pytest.fixture
def virtual_clock(request: pytest.FixtureRequest) -> VirtualClock:
    """Virtual time: an async test with this fixture runs on it; a plain one uses `virtual_clock.run(main)`."""
    return _clock(request.node)


@pytest.fixture
def fake_server(request: pytest.FixtureRequest) -> Callable[..., FakeServer]:
    """What makes servers that the test drives by hand; its arguments are those of `FakeServer`.

    A request that the test did not expect fails it.
    """
    from recloser.testing.fake import FakeServer

    def make(*tools: Any, **options: Any) -> FakeServer:
        fake = FakeServer(*tools, **options)
        _at_the_end(request, fake.check)
        return fake

    return make


@pytest.fixture
def faulty_http(request: pytest.FixtureRequest) -> Callable[..., FaultyHttp]:
    """What makes HTTP servers that misbehave, to be entered; its arguments are those of `FaultyHttp`."""
    from recloser.testing.faulty import FaultyHttp

    def make(**options: Any) -> FaultyHttp:
        server = FaultyHttp(**options)
        _at_the_end(request, functools.partial(_stopped, server))
        return server

    return make


def _stopped(server: FaultyHttp) -> None:
    if server.started and server.listening:
        raise AssertionError(f"the faulty server at {server.url} was not stopped: use `async with faulty_http() as …`")


@pytest.fixture
def faulty_stdio() -> Iterator[Callable[..., FaultyStdio]]:
    """What makes commands of stdio servers that misbehave; its arguments are those of `FaultyStdio`."""
    from recloser.testing.faulty import FaultyStdio

    made: list[FaultyStdio] = []

    def make(**options: Any) -> FaultyStdio:
        made.append(FaultyStdio(**options))
        return made[-1]

    yield make
    for faulty in made:
        faulty.close()


@pytest.fixture(name="no_leaks")
def _no_leaks() -> Iterator[None]:
    """Check that the test leaves no process, descriptor or thread behind; on virtual time no task either.

    In an async test that another plugin runs, use `recloser.testing.leaks.no_leaks` in the test to see its tasks.
    """
    from recloser.testing.leaks import no_leaks

    # A loop of its own that nobody else sees: the check needs one to wait on, and the test may have any or none.
    loop = asyncio.new_event_loop()
    try:
        watch = no_leaks()
        loop.run_until_complete(watch.__aenter__())
        yield
        loop.run_until_complete(watch.__aexit__(None, None, None))
    finally:
        loop.close()
