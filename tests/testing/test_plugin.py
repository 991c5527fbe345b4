"""The plugin for pytest, in a pytest of its own, beside those that run async tests themselves."""

from __future__ import annotations

import importlib.util

import pytest

pytest_plugins = ["pytester"]

has_pytest_asyncio = pytest.mark.skipif(
    importlib.util.find_spec("pytest_asyncio") is None,
    reason="THE PLUGIN IS NOT TESTED BESIDE pytest-asyncio: it is not installed",
)
BESIDE = {"none": [], "anyio": ["-p", "anyio"], "anyio auto": ["-p", "anyio", "--anyio-mode=auto"]}
SCOPE = ["-o", "asyncio_default_fixture_loop_scope=function"]
ASYNCIO = {
    "asyncio strict": ["-p", "pytest_asyncio.plugin", "--asyncio-mode=strict", *SCOPE],
    "asyncio auto": ["-p", "pytest_asyncio.plugin", "--asyncio-mode=auto", *SCOPE],
    "both": ["-p", "pytest_asyncio.plugin", "--asyncio-mode=strict", *SCOPE, "-p", "anyio"],
}
beside = pytest.mark.parametrize(
    "others",
    [*(pytest.param(given, id=name) for name, given in BESIDE.items())]
    + [pytest.param(given, id=name, marks=has_pytest_asyncio) for name, given in ASYNCIO.items()],
)
pytestmark = [pytest.mark.thorough, pytest.mark.processes]


@pytest.fixture
def run(pytester, monkeypatch):
    """Run a file of tests in a pytest of its own that has our plugin and those named."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    # On a CI, pytest repeats every message in full in its summary.
    for name in ("PYTEST_ADDOPTS", "CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)

    def run(text: str, *others: str, outcomes: dict[str, int]):
        pytester.makepyfile(text)
        result = pytester.runpytest_subprocess(
            "-p", "recloser.testing.plugin", "-p", "no:cacheprovider", "-W", "error", "--strict-markers", *others
        )
        result.assert_outcomes(**outcomes)
        return result

    return run


VIRTUAL = """
    import asyncio
    import pytest

    MONTH = 30 * 86400

    @pytest.mark.recloser_virtual
    async def test_marked():
        await asyncio.sleep(MONTH)
        assert asyncio.get_running_loop().time() == MONTH

    async def test_by_fixture(virtual_clock):
        assert virtual_clock.time() == 0
        await asyncio.sleep(MONTH)
        virtual_clock.advance(1)
        assert virtual_clock.time() == MONTH + 1 == asyncio.get_running_loop().time()

    def test_plain(virtual_clock):
        async def main():
            await asyncio.sleep(MONTH)
            return "done"

        assert virtual_clock.run(main) == "done"
        assert virtual_clock.run(main()) == "done"

    @pytest.mark.recloser_virtual
    @pytest.mark.parametrize("seconds", [1, MONTH])
    async def test_with_parameters(seconds, tmp_path):
        await asyncio.sleep(seconds)
        assert tmp_path.exists()

    @pytest.mark.recloser_virtual
    class TestOfAClass:
        def setup_method(self):
            self.ready = True

        @pytest.fixture(autouse=True)
        def more(self):
            self.more = []
            yield
            assert self.more == ["was run"]

        async def test_method(self):
            assert self.ready
            await asyncio.sleep(MONTH)
            self.more.append("was run")

        async def test_another(self, virtual_clock):
            assert self.more == []
            self.more.append("was run")
"""


@beside
def test_async_tests_that_ask_for_it_run_on_virtual_time(run, others) -> None:
    run(VIRTUAL, *others, outcomes={"passed": 7})


@beside
def test_a_test_that_fails_fails_with_its_own_words(run, others) -> None:
    result = run(
        """
        import asyncio
        import pytest

        @pytest.mark.recloser_virtual
        async def test_wrong():
            await asyncio.sleep(1000)
            assert 1 + 1 == 3, "arithmetic"

        @pytest.mark.recloser_virtual
        async def test_stuck():
            await asyncio.get_running_loop().create_future()

        test_stuck = pytest.mark.recloser_virtual(patience=0.1)(test_stuck)
        """,
        *others,
        outcomes={"failed": 2},
    )
    result.stdout.fnmatch_lines(["*AssertionError: arithmetic*", "*every task waits for something that never comes*"])


@pytest.mark.parametrize(
    "others",
    [pytest.param(["-p", "anyio"], id="anyio")]
    + [pytest.param(given, id=name, marks=has_pytest_asyncio) for name, given in ASYNCIO.items()],
)
def test_tests_of_other_plugins_are_theirs(run, others) -> None:
    mark = "asyncio" if "pytest_asyncio.plugin" in others else "anyio"
    run(
        f"""
        import asyncio
        import pytest

        @pytest.mark.{mark}
        async def test_theirs():
            assert type(asyncio.get_running_loop()).__name__ != "VirtualLoop"

        @pytest.mark.recloser_virtual
        async def test_ours():
            assert type(asyncio.get_running_loop()).__name__ == "VirtualLoop"

        @pytest.mark.{mark}
        async def test_with_our_fixtures(fake_server, faulty_http):
            assert type(asyncio.get_running_loop()).__name__ != "VirtualLoop"
            fake = fake_server("web")
            async with fake.connect():
                pass
            async with faulty_http() as server:
                assert server.listening

        if {mark!r} == "anyio":
            @pytest.fixture
            def anyio_backend():
                return "asyncio"
        """,
        *others,
        outcomes={"passed": 3},
    )


def test_one_that_is_marked_for_anyio_as_well_runs_once_and_on_virtual_time(run) -> None:
    text = """
        import asyncio
        import pytest

        pytestmark = pytest.mark.anyio

        @pytest.fixture(params=["trio", "asyncio", ("asyncio", {"use_uvloop": False})])
        def anyio_backend(request):
            return request.param

        @pytest.mark.recloser_virtual
        async def test_ours():
            assert type(asyncio.get_running_loop()).__name__ == "VirtualLoop"
    """
    run(text, "-p", "anyio", outcomes={"passed": 2})


@beside
def test_hypothesis_has_each_example_on_a_loop_of_its_own(run, others) -> None:
    run(
        """
        import asyncio
        import pytest
        from hypothesis import HealthCheck, given, settings, strategies

        @pytest.mark.recloser_virtual
        @pytest.mark.parametrize("least", [1, 2])
        @settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
        @given(seconds=strategies.floats(1, 1e6))
        async def test_each(seconds, least, virtual_clock):
            assert virtual_clock.time() == 0
            await asyncio.sleep(seconds)
            assert virtual_clock.time() == seconds >= 1
        """,
        *others,
        outcomes={"passed": 2},
    )


def test_plain_tests_and_classes_are_collected_as_ever(run) -> None:
    run(
        """
        import pytest

        @pytest.mark.recloser_virtual
        def test_plain():
            pass

        class TestOfAClass:
            def test_method(self):
                pass

        @pytest.mark.parametrize("x", [1, 2])
        def test_more(x):
            pass
        """,
        outcomes={"passed": 4},
    )


# --- fixtures


@beside
def test_an_unexpected_request_fails_the_test_in_whichever_way_it_runs(run, others) -> None:
    result = run(
        """
        import asyncio
        import pytest
        from recloser import Router

        async def ask(fake):
            async with Router(fake.server("search")) as router:
                await router.call_tool("search__web", {"q": "x"}, timeout=1)

        @pytest.mark.recloser_virtual
        async def test_async(fake_server):
            await ask(fake_server("web"))

        def test_plain(fake_server, virtual_clock):
            virtual_clock.run(ask(fake_server("web")))

        @pytest.mark.recloser_virtual
        async def test_own_failure_goes_first(fake_server):
            await ask(fake_server("web"))
            raise KeyError("mine")

        @pytest.mark.recloser_virtual
        async def test_expected(fake_server):
            fake = fake_server("web", era="legacy")
            async with Router(fake.server("search")) as router:
                task = asyncio.create_task(router.call_tool("search__web"))
                (await fake.expect(name="web")).answer("fine")
                await task
        """,
        *others,
        outcomes={"passed": 1, "failed": 3},
    )
    said = result.stdout.str()
    assert said.count("AssertionError: the fake server 'fake' got requests that nobody expected:") == 2
    assert said.count('- tools/call \'web\' {"q": "x"} at 0 s over connection 1') == 2
    assert said.count("E       KeyError: 'mine'") == 1


def test_a_faulty_server_that_is_not_stopped_fails_the_test(run) -> None:
    result = run(
        """
        import asyncio
        import pytest

        @pytest.mark.recloser_virtual
        async def test_stopped(faulty_http):
            async with faulty_http(era="legacy") as server:
                assert server.url
            faulty_http()

        @pytest.mark.recloser_virtual
        async def test_forgotten(faulty_http, request):
            server = faulty_http()
            await server.start()
            # So that this test itself leaves nothing behind.
            request.addfinalizer(server.server._listener.close)
        """,
        outcomes={"passed": 1, "failed": 1},
    )
    result.stdout.fnmatch_lines(["*AssertionError: the faulty server at http://127.0.0.1:* was not stopped: *"])


def test_the_files_of_a_stdio_server_go_with_the_test(run) -> None:
    run(
        """
        import pytest

        made = []

        def test_first(faulty_stdio):
            faulty = faulty_stdio(era="legacy")
            faulty.fault("hang_call")
            made.append(faulty.directory)
            assert faulty.directory.exists()

        def test_second():
            assert not made[0].exists()
        """,
        outcomes={"passed": 2},
    )


@beside
def test_what_a_test_leaves_behind_fails_it(run, others) -> None:
    result = run(
        """
        import asyncio
        import pytest

        pytestmark = pytest.mark.usefixtures("no_leaks")
        kept = []

        def test_nothing():
            pass

        def test_a_file():
            kept.append(open(__file__))

        @pytest.mark.recloser_virtual
        async def test_nothing_on_virtual_time():
            await asyncio.sleep(1)

        @pytest.mark.recloser_virtual
        async def test_a_task():
            kept.append(asyncio.create_task(asyncio.sleep(1e9), name="the forgotten one"))

        def teardown_module():
            kept[0].close()
        """,
        *others,
        outcomes={"passed": 3, "failed": 1, "errors": 1},
    )
    result.stdout.fnmatch_lines(
        ["*AssertionError: left behind:*", "*- file descriptor *", "*- task the forgotten one*"]
    )


def test_it_costs_little_to_have_it(run) -> None:
    run(
        """
        import sys

        def test_nothing_is_loaded_that_no_test_has_asked_for():
            loaded = {name.partition(".")[0] for name in sys.modules}
            assert not loaded & {"mcp", "mcp_types", "httpx2", "pydantic", "tenacity"}
            assert "recloser.testing.faulty" not in sys.modules
        """,
        outcomes={"passed": 1},
    )


def test_a_marker_with_what_it_does_not_take_is_told_in_a_sentence(run) -> None:
    result = run(
        """
        import pytest

        @pytest.mark.recloser_virtual(0.05)
        async def test_by_place():
            pass

        @pytest.mark.recloser_virtual(grace=0.05, patients=1)
        async def test_by_another_name(virtual_clock):
            pass
        """,
        outcomes={"failed": 1, "errors": 1},
    )
    said = "@pytest.mark.recloser_virtual takes grace and patience, by name, and no"
    result.stdout.fnmatch_lines_random([f"{said} 0.05", f"{said} patients"])
    result.stdout.no_fnmatch_line("*__init__*")
