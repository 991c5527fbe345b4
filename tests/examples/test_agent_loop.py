"""The agent loop as a user runs it: scripted, and against endpoints of both APIs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import MISSING, server, write
from support.scripted_model import Refusal, ScriptedModel

pytestmark = [pytest.mark.thorough, pytest.mark.processes]

LOOP = Path(__file__).parents[2] / "examples" / "agent_loop.py"

WITHOUT_PACKAGES = (
    "import runpy, sys; sys.modules['openai'] = sys.modules['anthropic'] = None; "
    f"sys.argv[0] = {str(LOOP)!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
)
HOURS = "How many hours do 5 days have?"


def agent(*words: str, start: tuple[str, ...] = (str(LOOP),), **environment: str) -> list[str]:
    """Run it; return the lines that it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "ANTHROPIC_"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", *start, *words],
        env={**kept, "NO_PROXY": "127.0.0.1", **environment},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()


def test_the_scripted_model_needs_no_package_and_goes_on_when_a_service_crashes() -> None:
    lines = agent(start=("-c", WITHOUT_PACKAGES))
    assert lines[0] == "8 tools of 4 servers, and a scripted model."
    hours, crash = (
        lines.index("> How many hours do 5 days have?"),
        lines.index("> And the weather in London? What is a circuit breaker?"),
    )
    assert lines[hours + 1 : hours + 4] == [
        '  math__multiply {"a": 5, "b": 24}',
        "    -> 120",
        "5 days have 120 hours.",
    ]
    assert "Berlin: 9 C, light rain, wind 18 km/h." in lines[crash - 4]
    assert lines[crash + 2].startswith("    -> Error: server 'weather' cannot be reached")
    assert lines[-1].endswith(
        "A circuit breaker rejects calls to a failing server at once, and tries again after a break."
    )


def test_ones_own_configuration_and_questions_take_the_place_of_the_demo(tmp_path: Path) -> None:
    config = write(tmp_path, {"math": server("math"), "gone": MISSING})
    lines = agent(config, HOURS, "Anything else?")
    assert lines[0] == "3 tools of 2 servers, and a scripted model."
    assert lines[-4:] == ["5 days have 120 hours.", "", "> Anything else?", "That is not in my script."]


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_a_real_client_loops_until_the_model_has_its_answer(api: str, tmp_path: Path) -> None:
    config = write(tmp_path, {"math": server("math"), "gone": MISSING})
    steps = (
        [("math__multiply", {"a": 5, "b": 24}), ("gone__anything", {"x": 1})],
        [("math__add", {"a": 120, "b": 1})],
        "120, and one more is 121.",
    )
    with ScriptedModel(*steps) as model:
        settings = {
            "openai": {
                "OPENAI_API_KEY": "none",
                "OPENAI_BASE_URL": f"{model.origin}/v1",
                "OPENAI_MODEL": "my-model",
            },
            "anthropic": {
                "ANTHROPIC_API_KEY": "none",
                "ANTHROPIC_BASE_URL": model.origin,
                "ANTHROPIC_MODEL": "my-model",
            },
        }
        lines = agent(config, HOURS, **settings[api])
        assert model.left == 0
        assert model.requests[0]["model"] == "my-model"
        assert model.tools == ["math__add", "math__multiply", "math__sum_of_primes"]
        first, gone, second = model.told
    assert (first, second) == ("120", "121")
    assert gone.startswith("Error: ")
    assert lines[0] == "3 tools of 2 servers, and my-model."
    assert '  math__multiply {"a": 5, "b": 24}' in lines
    assert lines[-1] == "120, and one more is 121."


def test_a_model_that_refuses_is_shown_with_what_it_says(tmp_path: Path) -> None:
    config = write(tmp_path, {"math": server("math")})
    with ScriptedModel(Refusal("I cannot help with that.")) as model:
        lines = agent(config, HOURS, OPENAI_API_KEY="none", OPENAI_BASE_URL=f"{model.origin}/v1")
    assert lines[-1] == "I cannot help with that."


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_a_model_that_goes_in_circles_is_left_after_some_rounds(api: str, tmp_path: Path) -> None:
    config = write(tmp_path, {"math": server("math")})
    with ScriptedModel(*[[("math__add", {"a": 1, "b": 1})]] * 8) as model:
        url = {"openai": f"{model.origin}/v1", "anthropic": model.origin}[api]
        lines = agent(config, HOURS, **{f"{api.upper()}_API_KEY": "none", f"{api.upper()}_BASE_URL": url})
        assert model.left == 0
    assert lines[-1] == "(too many rounds)"
