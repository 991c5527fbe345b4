"""`recloser chaos run`: from words on the command line to a run, a report and an exit code."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import shlex
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import typer

from recloser.cli import exits, output
from recloser.cli.chaos.live import Live
from recloser.config import FILES, ConfigurationError, Mistake, Settings, find, load
from recloser.testing.scenario import RefusedError, Run, Scenario, judge, load_scenario, run_scenario
from recloser.testing.scenario.load import NothingToCallError
from recloser.testing.scenario.report import document, page
from recloser.testing.scenario.shipped import find_scenario
from recloser.testing.scenario.verdicts import Verdict

BROKE: Final = 1
_SUFFIXES: Final = (".html", ".json")
_SIGNS: Final = {"held": ("held", "green"), "broke": ("BROKE", "bold red"), "unseen": ("not seen", "yellow")}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was asked for on the command line."""

    scenario: str
    config: Path | None
    seed: int | None
    reports: Sequence[Path]
    duration: float | None
    target: Literal["router", "raw"]
    kill: bool
    as_json: bool

    def words(self, seed: int) -> str:
        """Return the command that repeats the run."""
        words = ["recloser", "chaos", "run", self.scenario, "--seed", str(seed)]
        words += [] if self.config is None else ["--config", str(self.config)]
        words += [] if self.duration is None else ["--duration", f"{self.duration:g}"]
        words += [] if self.target == "router" else ["--target", self.target]
        words += ["--allow-kill"] if self.kill else []
        return shlex.join(words)


async def run_wanted(wanted: Wanted) -> int:
    """Run what was asked for, write the reports, say what came out, and return the exit code.

    Raises:
        ConfigurationError: the scenario or the configuration has mistakes, or strikes what it may not.
        typer.BadParameter: a report cannot be written there, or the duration is no number of seconds.
    """
    for path in wanted.reports:
        _check_place(path)
    if wanted.duration is not None and not math.isfinite(wanted.duration):
        raise typer.BadParameter(f"--duration: {wanted.duration} is no number of seconds.")
    scenario = load_scenario(find_scenario(wanted.scenario))
    settings = _settings(wanted, scenario)
    if wanted.duration is not None:
        scenario = scenario.scaled(wanted.duration)
    seed = secrets.randbelow(2**31) if wanted.seed is None else wanted.seed
    run = await _run(wanted, scenario, settings, seed)
    if isinstance(run, int):
        return run
    verdicts = judge(run)
    told = document(run, verdicts, command=wanted.words(seed))
    # The reports before the words: whatever hears these, or does not, those are there.
    written = [_write(told, path) for path in wanted.reports]
    if wanted.as_json:
        output.document(told)
    _say(told, verdicts)
    for path, why in zip(wanted.reports, written, strict=True):
        if why is None:
            output.note(f"Report: {path}")
        else:
            output.complain(f"the report {path} could not be written: {why}.")
    output.note(f"{_summary(told)} Repeat it with: {told['command']}")
    if run.interrupted:
        return exits.INTERRUPTED
    if told["verdict"] != "held":
        return BROKE
    return exits.USAGE if any(written) else exits.OK


async def _run(wanted: Wanted, scenario: Scenario, settings: Settings | None, seed: int) -> Run | int:
    """Return what was seen, or the exit code where there is nothing to be told.

    Raises:
        ConfigurationError: something of the scenario may not be done, or cannot.
    """
    stop = asyncio.Event()
    try:
        with _interruptible(stop), Live(scenario, target=wanted.target) as live:
            return await run_scenario(
                scenario,
                seed=seed,
                settings=settings,
                target=wanted.target,
                kill=wanted.kill,
                watch=live.show,
                stop=stop,
            )
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        output.complain("ended at once, without a report.")
        return exits.INTERRUPTED
    except RefusedError as error:
        file = None if settings is None else str(settings.source)
        lines = str(error).splitlines()
        raise ConfigurationError(
            [Mistake(file=file, path="recloser.servers", message=line) for line in lines]
        ) from error
    except NothingToCallError as error:
        if not error.unavailable:
            raise ConfigurationError([Mistake(file=scenario.source, path="", message=str(error))]) from error
        output.complain(f"{error}.")
        return exits.worst(error.unavailable.values())
    except ValueError as error:
        raise ConfigurationError([Mistake(file=scenario.source, path="", message=str(error))]) from error
    except ChildProcessError as error:
        output.complain(str(error))
        return exits.CRITICAL


def _check_place(path: Path) -> None:
    if path.suffix not in _SUFFIXES:
        raise typer.BadParameter(f"--report: {path} must end in {' or '.join(_SUFFIXES)}.")
    try:
        if not path.absolute().parent.is_dir():
            raise typer.BadParameter(f"--report: there is no directory {path.absolute().parent}.")
        fresh = not path.exists() and not path.is_symlink()
        # Opening a pipe would wait for its reader, and end what he reads.
        if fresh or not path.is_fifo():
            path.open("ab").close()
        if fresh:
            path.unlink()
    except OSError as error:
        raise typer.BadParameter(f"--report: {path} cannot be written: {error.strerror}.") from error


def _write(told: dict[str, Any], path: Path) -> str | None:
    """Write a report; return why it could not be written."""
    text = page(told) if path.suffix == ".html" else f"{output.as_json(told)}\n"
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _settings(wanted: Wanted, scenario: Scenario) -> Settings | None:
    """Return the configuration whose servers are used; None for the built-in fleet."""
    if scenario.fleet == "built-in":
        if wanted.config is None:
            return None
        message = "this scenario strikes the built-in fleet, so that --config has no place"
        hint = "for your own servers: recloser chaos run your_servers --config FILE, or recloser chaos new"
    else:
        path = wanted.config or find(Path.cwd())
        if path is not None:
            return load(path)
        message = f"this scenario needs a configuration, and there is none of {', '.join(FILES)} here"
        hint = "name one: --config FILE"
    raise ConfigurationError([Mistake(file=scenario.source, path="fleet", message=message, hint=hint)])


@contextlib.contextmanager
def _interruptible(stop: asyncio.Event) -> Iterator[None]:
    """Let the first Ctrl-C end the load, so that there is a report of what was seen, and the second one end it all."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None  # this runs in one

    def interrupted() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    # Only Unix has it, and only its main thread may; elsewhere Ctrl-C ends the run without a report.
    handled = False
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
        loop.add_signal_handler(signal.SIGINT, interrupted)
        handled = True
    try:
        yield
    finally:
        if handled:
            loop.remove_signal_handler(signal.SIGINT)


def _say(told: dict[str, Any], verdicts: Sequence[Verdict]) -> None:
    """Tell a person on stderr what came out."""
    for each, verdict in zip(told["rules"], verdicts, strict=True):
        word, style = _SIGNS[verdict.state]
        name = f"rule {verdict.rule}" if verdict.rule.isdigit() else verdict.rule
        output.note(f"{word:8}  {name:9} {each['text']}", style)
        output.note(f"{'':8}  {'':9} {verdict.evidence}", "dim")
        for case in verdict.cases:
            output.note(f"{'':8}  {'':9} - {case}")
    for note in told["notes"]:
        output.note(f"Note: {note}")


def _summary(told: dict[str, Any]) -> str:
    broke = [each["rule"] for each in told["rules"] if each["state"] == "broke"]
    unseen = [each["rule"] for each in told["rules"] if each["state"] == "unseen"]
    parts = ["Interrupted."] if told["interrupted"] else []
    if broke:
        parts.append(f"Broke: {', '.join(broke)}.")
    if unseen:
        parts.append(f"Not seen: {', '.join(unseen)}.")
    return " ".join(parts or [f"All {len(told['rules'])} held."])
