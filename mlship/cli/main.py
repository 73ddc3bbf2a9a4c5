"""The door: the options of every command, and the boundary where an error becomes one message and one exit code."""

from __future__ import annotations

import io
import os
import signal
import sys
from itertools import islice, pairwise
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from mlship.cli import common, telling
from mlship.cli.failing import MISUSE, is_help, misused, tell_failure
from mlship.cli.table import Commands, Interrupted, NobodyReads
from mlship.errors import Exit, MlshipError, StateError, UsageError
from mlship.home import Home

#: Options of every command, which people write before its name or after it.
_ANYWHERE = ("-q", "--quiet", "-v", "--verbose", "--debug")


class Front(Commands):
    """The group of all commands; it also finds its own options behind a command's name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line."""
        _one_format(args)
        return super().parse_args(ctx, _in_front(args))


def _in_front(args: list[str]) -> list[str]:
    """The command line with the options of every command before its name; what follows `--` is no option."""
    end = args.index("--") if "--" in args else len(args)
    ours: list[str] = []
    others: list[str] = []
    rest = iter(args[:end])
    for arg in rest:
        (ours if arg in _ANYWHERE or arg.startswith("--home=") else others).append(arg)
        if arg == "--home":
            ours += [others.pop(), *islice(rest, 1)]
    return [*ours, *others, *args[end:]]


def _one_format(args: list[str]) -> None:
    """Stdout has one format: whoever asks for two would lose one of them without a word."""
    end = args.index("--") if "--" in args else len(args)
    told = [other for one, other in pairwise(args[:end]) if one == "--format"]
    told += [arg.partition("=")[2] for arg in args[:end] if arg.startswith("--format=")]
    if len(set(told)) > 1:
        raise UsageError(
            f"--format was given more than once: {' and '.join(dict.fromkeys(told))}",
            hint="keep one for stdout; `--report KIND=FILE` writes the others to files, where a command has it",
        )


_HELP = """Take a model from an MLflow registry to live traffic, and back, by one promotion policy.

The policy is a YAML file beside your code: what a model must prove, and how it is let onto traffic. From a registered
model to traffic and back:

\b
Examples:
  mlship init flight-delay      # draft a policy from what the champion does
  mlship validate               # is it well written? offline, at once
  mlship plan mlship.yaml       # what would happen now? nothing is changed
  mlship evaluate mlship.yaml   # does the candidate prove what is asked?
  mlship ship mlship.yaml       # prove it all, then let it on step by step
  mlship status                 # what runs where?
  mlship rollback flight-delay  # back to the previous champion, now

`mlship demo` plays all of it on real data; `mlship doctor` finds what is missing here. Each command's --help has
examples.
"""

app = typer.Typer(
    name="mlship",
    cls=Front,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich would take a tenth of a second
    context_settings={"help_option_names": ["-h", "--help"]},
    help=_HELP,
    epilog=(
        "Exit codes: 0 passed; 1 a gate failed; 2 usage or invalid policy; 3 could not evaluate; "
        "4 inconclusive or paused; 5 rolled back; 130 interrupted. "
        "The options above may stand after the command's name, too. "
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
        typer.Option(
            help="State directory; default: MLSHIP_HOME, else the nearest .mlship/ upwards, else a new one here.",
            metavar="DIR",
        ),
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
    telling.begin()
    _open_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names from a policy on a terminal that only knows ASCII
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = app(prog_name="mlship", standalone_mode=False)
        sys.stdout.flush()
        _end(code if isinstance(code, int) else 0)
    except MISUSE as error:
        if is_help(error):
            common.err().print(str(error), markup=False)
            sys.exit(int(Exit.USAGE))
        _fail(misused(error))
    except MlshipError as error:
        if debug:
            raise
        _fail(error)
    except (KeyboardInterrupt, Interrupted, typer.Abort):
        _say("mlship: interrupted")
        tell_failure("interrupted", Exit.INTERRUPTED, "interrupted")
        sys.exit(int(Exit.INTERRUPTED))
    except (BrokenPipeError, NobodyReads):
        # Nobody knows the verdict, so it is neither a pass nor a failed gate.
        _to_nowhere(1)
        _fail(StateError("nobody reads stdout any more", hint="let the next command of the pipe read all of it"))
    except Exception as error:
        if debug:
            raise
        if (full := _unwritable(error)) is not None:
            _fail(full)
        _fail(
            MlshipError(
                f"internal error: {type(error).__name__}: {error}",
                hint="run the same command with --debug and report what it prints",
            )
        )


def _end(code: int) -> NoReturn:
    """End with a verdict's exit code. A report that could not be written takes the place of a pass, and of no other."""
    for trouble in telling.troubles():
        _say(f"mlship: {trouble}")
    sys.exit(code or (int(telling.troubles()[0].exit_code) if telling.troubles() else 0))


def _fail(error: MlshipError) -> NoReturn:
    """Tell an error to a person and, where one was asked for, to a machine; end with its exit code."""
    for each in (*telling.troubles(), error):
        _say(f"mlship: {each}")
    tell_failure("error", error.exit_code, error.what, error.hint)
    sys.exit(int(error.exit_code))


def _say(text: str) -> None:
    """Write to stderr what neither a terminal nor a runner obeys.

    Where that cannot be, the exit code is all that is left, and is not lost to a second error.
    """
    try:
        common.err().print(telling.shown(text), markup=False)
        sys.stderr.flush()
    except OSError:
        _to_nowhere(2)


def _unwritable(error: Exception) -> StateError | None:
    """The error of a stdout that takes nothing, such as a file on a full disk; None when it is something else."""
    if not isinstance(error, OSError) or error.filename is not None:
        return None
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        _to_nowhere(1)
        hint = "free space, or send it elsewhere; what was to be done has been done"
        return StateError(f"stdout cannot be written: {error.strerror or error}", hint=hint)
    return None


def _to_nowhere(descriptor: int) -> None:
    """Let what is still to be written to a stream vanish, or Python would try again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _open_streams() -> None:
    """A stream that was closed by the caller leads nowhere, or the first file that is opened would take its place."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            found = os.open(os.devnull, os.O_RDWR)
            if found != descriptor:
                os.dup2(found, descriptor)
                os.close(found)
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for the process's life


def _terminate(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt
