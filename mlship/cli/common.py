"""What all commands share: the options before their name, the consoles, and how much is said."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from mlship.cli.completion import models, policies
from mlship.cli.telling import emit_json
from mlship.errors import UsageError
from mlship.home import Home

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "DEFAULT_POLICY",
    "AnyModelArgument",
    "Context",
    "Loudness",
    "ModelArgument",
    "PolicyArgument",
    "a_model",
    "a_policy",
    "a_rate",
    "columns",
    "context",
    "drawn",
    "emit_json",
    "err",
    "leave",
    "loudness",
    "out",
    "set_loudness",
    "steps",
]


@dataclass(frozen=True, slots=True)
class Context:
    """Options given before the command's name."""

    home: Home
    debug: bool


class Loudness(IntEnum):
    """How much is said on stderr while a command runs. Errors, warnings and questions are said in any case."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


def a_model(value: str | None) -> str | None:
    """What is given as a model's name, unless it is a file or an address: then the name that was meant is told.

    Raises ``UsageError``.
    """
    if value is None:
        return None
    named = _POLICYS.search(_head(value)) if value.endswith((".yaml", ".yml")) else None
    model = named["model"].decode() if named else ""
    if named or "/" in value or ":" in value:  # MLflow allows neither of the two in a name
        what = "a policy" if named else "a path or an address"
        hint = f"say `{model}`, as the policy does" if model else "`mlship status` lists the models that run"
        raise UsageError(f"{what}, where the name of a registered model is wanted", where=value, hint=hint)
    if not value.strip():
        raise UsageError("the model's name is empty", hint="is a variable of the script not set?")
    return value


def a_rate(text: str | None) -> float | None:
    """Requests per second that `--rate` says; None without it. Raises ``UsageError`` for what is no rate, or zero."""
    from mlship.policy.units import UnitError, parse_rate

    if text is None:
        return None
    try:
        found = parse_rate(text)
    except UnitError as error:
        raise UsageError(f"--rate: {error.what}", hint=error.hint) from None
    if found <= 0:
        raise UsageError("--rate: there must be requests", hint="such as 50/s")
    return found


_POLICYS = re.compile(rb"""^model\s*:\s*["']?(?P<model>[\w. -]*\w)""", re.MULTILINE)


def _head(file: str) -> bytes:
    """How a file begins; nothing where it cannot be read."""
    try:
        with Path(file).open("rb") as opened:
            return opened.read(8192)
    except OSError:
        return b""


#: The policy where none is named.
DEFAULT_POLICY = Path("mlship.yaml")
#: Commands that change traffic: which policy was taken where none was named is said, for it may be another's.
_MOVING = ("ship", "rollout", "endpoint", "drill")


def a_policy(ctx: typer.Context, param: typer.CallbackParam, value: Path) -> Path:
    """The policy that is named, else the one of this directory. Raises ``UsageError`` where there is neither."""
    source = ctx.get_parameter_source(param.name or "")
    if ctx.resilient_parsing or source is None or source.name != "DEFAULT":
        return value
    if not value.exists():
        hint = f"name the policy: mlship {ctx.info_name} path/to/policy.yaml; `mlship init` drafts one"
        raise UsageError(f"there is no {value} here", hint=hint)
    if ctx.info_name in _MOVING:
        steps().print(f"mlship: the policy is {value}, for none was named", markup=False)
    return value


PolicyArgument = Annotated[
    Path,
    typer.Argument(
        help=f"The promotion policy (YAML); default: {DEFAULT_POLICY} in this directory.",
        metavar="POLICY",
        default_factory=lambda: DEFAULT_POLICY,
        show_default=False,
        autocompletion=policies,
        callback=a_policy,
    ),
]
ModelArgument = Annotated[
    str, typer.Argument(help="Name of the registered model.", metavar="MODEL", autocompletion=models, callback=a_model)
]


AnyModelArgument = Annotated[
    str | None,
    typer.Argument(
        help="Only this registered model; default: all of them.",
        metavar="MODEL",
        show_default=False,
        autocompletion=models,
        callback=a_model,
    ),
]


def context(ctx: typer.Context) -> Context:
    """The options that were given before the command's name."""
    found = ctx.find_object(Context)
    return found if found is not None else Context(Home.find(), debug=False)


_loudness = [Loudness.NORMAL]


def loudness() -> Loudness:
    """What was asked for by `--quiet` or `--verbose`."""
    return _loudness[0]


def set_loudness(wanted: Loudness) -> None:
    """Let it hold for the rest of this process."""
    _loudness[0] = wanted


def out() -> Console:
    """Where results go: stdout."""
    from rich.console import Console  # a command that prints plain lines starts faster without

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def err() -> Console:
    """Where errors, warnings and questions go: stderr, always."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def steps() -> Console:
    """Where progress goes: stderr, unless nobody wants to see it."""
    console = err()
    console.quiet = loudness() is Loudness.QUIET
    return console


def drawn(console: Console) -> bool:
    """Whether a picture that moves can be drawn on stderr: a terminal that can go back a line, and has an eye on it.

    Colours that are asked for by FORCE_COLOR make no terminal of a log.
    """
    moves = console.is_terminal and not console.is_dumb_terminal and sys.stderr.isatty()
    return moves and loudness() is Loudness.NORMAL


def columns(*, terminal: bool = True) -> int | None:
    """The width that a result is wrapped to: what COLUMNS says, else the terminal's; None where nobody says.

    Parameters
    ----------
    terminal
        Whether the result goes to one; a report in a file does not.
    """
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    return os.get_terminal_size(sys.stdout.fileno()).columns if terminal and sys.stdout.isatty() else None


def leave(code: int) -> NoReturn:
    """End the command with a documented exit code."""
    raise typer.Exit(int(code))
