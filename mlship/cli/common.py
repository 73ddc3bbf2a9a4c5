"""What all commands share: output formats, the two consoles, and the one boundary that turns errors into exit codes."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from mlship.home import Home

if TYPE_CHECKING:
    from rich.console import Console


class Format(StrEnum):
    """How results are written to stdout."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Context:
    """Options given before the command's name."""

    home: Home
    debug: bool


FormatOption = Annotated[Format, typer.Option("--format", help="How to write the result to stdout.")]
PolicyArgument = Annotated[Path, typer.Argument(help="The promotion policy (YAML).", metavar="POLICY")]
ModelArgument = Annotated[str, typer.Argument(help="Name of the registered model.", metavar="MODEL")]


def context(ctx: typer.Context) -> Context:
    """The options that were given before the command's name."""
    found = ctx.find_object(Context)
    return found if found is not None else Context(Home.find(), debug=False)


def out() -> Console:
    """Where results go: stdout."""
    from rich.console import Console  # a command that prints plain lines starts faster without

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def err() -> Console:
    """Where progress and logs go: stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


#: Whether this command has written its one JSON document.
_emitted: list[bool] = []


def emit_json(document: Any) -> None:
    """Write one JSON document to stdout, and nothing else there."""
    _emitted.append(True)
    sys.stdout.write(json.dumps(document, indent=2, sort_keys=False, default=str, allow_nan=False) + "\n")


def emit_failure(verdict: str, code: int, reason: str, hint: str = "") -> None:
    """The JSON document of a command that was asked for one and failed before it could write its own."""
    wanted = any(a == "--format=json" or (a, b) == ("--format", "json") for a, b in pairwise([*sys.argv, ""]))
    if wanted and not _emitted:
        emit_json({"verdict": verdict, "exit_code": int(code), "reason": reason, "hint": hint})


def leave(code: int) -> NoReturn:
    """End the command with a documented exit code."""
    raise typer.Exit(int(code))
