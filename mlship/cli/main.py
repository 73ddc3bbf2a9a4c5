"""The door: the options of every command, and the boundary where an error becomes one message and one exit code."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mlship.cli import common
from mlship.cli.failing import tell_failure
from mlship.cli.table import Commands, Interrupted, NobodyReads
from mlship.errors import Exit, MlshipError, UsageError
from mlship.home import Home

#: Options of every command, which people write before its name or after it.
_ANYWHERE = ("-q", "--quiet", "-v", "--verbose", "--debug")


class Front(Commands):
    """The group of all commands; it also finds its own options behind a command's name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line."""
        return super().parse_args(ctx, _in_front(args))


def _in_front(args: list[str]) -> list[str]:
    """The command line with the options of every command before its name; what follows `--` is no option."""
    end = args.index("--") if "--" in args else len(args)
    ours = [arg for arg in args[:end] if arg in _ANYWHERE]
    return [*ours, *(arg for arg in args[:end] if arg not in _ANYWHERE), *args[end:]]


app = typer.Typer(
    name="mlship",
    cls=Front,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich would take a tenth of a second
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Take a model from an MLflow registry to live traffic, and back, by one promotion policy.",
    epilog=(
        "Exit codes: 0 passed; 1 a gate failed; 2 usage or invalid policy; 3 could not evaluate; "
        "4 inconclusive or paused; 5 rolled back; 130 interrupted. "
        "--quiet, --verbose and --debug may stand after the command's name, too. "
        "NO_COLOR and FORCE_COLOR are obeyed, and COLUMNS is the width."
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        common.out().print(f"mlship {version('mlship')}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    *,
    home: Annotated[
        Path | None,
        typer.Option(help="State directory; default: MLSHIP_HOME, else the nearest .mlship/ upwards, else here."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but the result, and what went wrong.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell each step as a line with its time, also on a terminal.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Remember the options that hold for every command."""
    del version
    if quiet and verbose:
        raise UsageError("--quiet and --verbose ask for opposites", hint="leave one of them out")
    common.set_loudness(
        common.Loudness.QUIET if quiet else common.Loudness.VERBOSE if verbose else common.Loudness.NORMAL
    )
    ctx.obj = common.Context(Home.find(home), debug)


def main() -> None:
    """Run the command line; the only place where an error meets a person."""
    debug = "--debug" in sys.argv or bool(os.environ.get("MLSHIP_DEBUG"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names from a policy on a terminal that only knows ASCII
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app(standalone_mode=True)
    except MlshipError as error:
        if debug:
            raise
        common.err().print(f"mlship: {error}", markup=False)
        tell_failure("error", error.exit_code, error.what, error.hint)
        sys.exit(int(error.exit_code))
    except (KeyboardInterrupt, Interrupted):
        common.err().print("mlship: interrupted")
        tell_failure("interrupted", Exit.INTERRUPTED, "interrupted")
        sys.exit(int(Exit.INTERRUPTED))
    except (BrokenPipeError, NobodyReads):
        # Nobody knows the verdict, so it is neither a pass nor a failed gate.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(int(Exit.UNREACHABLE))
    except Exception as error:
        if debug:
            raise
        common.err().print(
            f"mlship: internal error: {type(error).__name__}: {error}\n"
            "  next: run the same command with --debug and report what it prints",
            markup=False,
        )
        what = f"internal error: {type(error).__name__}: {error}"
        tell_failure("error", Exit.UNREACHABLE, what, "run the same command with --debug and report what it prints")
        sys.exit(int(Exit.UNREACHABLE))


def _terminate(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt
