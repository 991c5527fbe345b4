"""The commands under one name, and the one place where a failure becomes a sentence and an exit code."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Final, cast

import typer

from recloser.cli import exits, output
from recloser.cli.call import Usage, call
from recloser.cli.chaos import chaos
from recloser.cli.check import check
from recloser.cli.demo import demo
from recloser.cli.observing import VERBOSE
from recloser.cli.tools import tools
from recloser.cli.top import top
from recloser.config import ConfigurationError
from recloser.telemetry import Configured, configure

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, invoke_without_command=True)
app.command()(demo)
app.command()(tools)
app.command(cls=Usage)(call)
app.command()(check)
app.command()(top)
app.add_typer(chaos, name="chaos")

# typer brings its own copy of click, or uses the one that is installed, by version: its public error knows which.
USAGE_ERROR: Final = cast(
    "type[typer.BadParameter]", next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
)


def _show_version(wanted: bool) -> None:
    if wanted:
        output.data(f"recloser {version('recloser')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show on stderr what is logged.")] = False,
) -> None:
    """Keep an agent working when its MCP servers do not."""
    del version  # its callback has done all
    if verbose:
        VERBOSE.set(True)
        context.call_on_close(_show_log().shutdown)
    if context.invoked_subcommand is None:
        output.data(context.get_help())


def _show_log() -> Configured:
    """Show what is logged while no configuration is known: before a command has read its own, and after it."""
    environ = {**os.environ, "OTEL_SDK_DISABLED": "true"}
    return configure(logs="auto", environ=environ, set_global=False, whole_process=True)


def run(argv: Sequence[str] | None) -> int:
    """Run one command and return its exit code; a failure is a sentence on stderr, never a traceback."""
    VERBOSE.set(False)
    command = typer.main.get_command(app)
    try:
        code = command.main(args=None if argv is None else list(argv), prog_name="recloser", standalone_mode=False)
    except USAGE_ERROR as error:
        error.show()
        return exits.USAGE
    except ConfigurationError as error:
        output.refuse(error)
        return exits.CONFIGURATION
    except (KeyboardInterrupt, typer.Abort):
        return exits.INTERRUPTED
    except Exception as error:
        # The boundary: a person gets a sentence, whatever it was.
        if VERBOSE.get():
            with _show_log():
                logging.getLogger("recloser").exception("failed")
        output.complain(f"recloser itself failed: {type(error).__name__}: {error}. Run it again with --verbose.")
        return exits.CRITICAL
    return code if isinstance(code, int) else exits.OK
