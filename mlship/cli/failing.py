"""What a command that failed tells instead of its result: in the format and the reports that it was asked for."""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

import typer

from mlship.cli.table import COMMANDS
from mlship.errors import MlshipError, UsageError
from mlship.types import Status

#: What typer raises for a command line that it does not understand. Its own name has moved between versions of typer.
MISUSE: type[Exception] = typer.BadParameter.__mro__[2]
#: What typer says of what was probably meant, in two ways.
_MEANT = re.compile(r"\.? Did you mean (?P<one>.*)\?$| \(Possible options: (?P<other>.*)\)$")
#: Words of the libraries below that help nobody.
_NOISE = (("Value error, ", ""), ("Input should be ", "must be "), ("Got unexpected extra", "unexpected"))


def misused(error: Exception) -> MlshipError:
    """What typer says of a command line, in the form of every other error."""
    message = str(getattr(error, "format_message", error.__str__)())
    context = getattr(error, "ctx", None)
    for noise, better in _NOISE:
        message = message.replace(noise, better)
    meant = _MEANT.search(message)
    what = message[: meant.start()] if meant else message.rstrip(".")
    names = re.findall(r"[\w-]+", (meant["one"] or meant["other"]) if meant else "")
    nearest = get_close_matches(re.findall(r"[\w-]+", what)[-1], names, 1, 0.0) if names else []
    guess = f"did you mean '{nearest[0]}'? " if nearest else ""
    what = what[:1].lower() + what[1:]
    if context is None:
        where = next((word for word in sys.argv[1:] if word in COMMANDS), "")
        return UsageError(what, where=where, hint=f"{guess}`mlship {where or 'COMMAND'} --help` tells more")
    usage = " ".join(context.get_usage().removeprefix("Usage: ").split())
    where = context.command_path.partition(" ")[2]
    return UsageError(what, where=where, hint=f"{guess}`{context.command_path} --help` tells more: {usage}")


def is_help(error: Exception) -> bool:
    """Whether typer only wants help to be shown, since a group was called without a command."""
    return type(error).__name__ == "NoArgsIsHelpError"


def tell_failure(verdict: str, code: int, reason: str, hint: str = "") -> None:
    """Write a failure to stdout where a machine reads it, and to the reports; nothing once there is a result.

    A test report that is missing says less than one with an error in it. Never raises: the failure itself is told.
    """
    from mlship.cli import telling

    document = {"verdict": verdict, "exit_code": int(code), "reason": reason, "hint": hint}
    told = _told(document)
    try:
        telling.write(told, {path: kind for path, kind in telling.awaited().items() if kind != "html"})
        if telling.has_told():
            return
        wanted = _format()
        if wanted == "json":
            telling.emit_json(document)
        elif wanted == "github":
            telling.to_github(told, {})
    except (MlshipError, OSError):
        return


def _format() -> str:
    """What `--format` asks for: it may be needed before the command line is understood."""
    found = "text"
    for one, other in pairwise([*sys.argv, ""]):
        if one == "--format":
            found = other
        elif one.startswith("--format="):
            found = one.partition("=")[2]
    return found


def _told(document: dict[str, Any]) -> Any:
    from mlship.cli.telling import Told
    from mlship.report.checklist import Check, Checklist

    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "mlship")
    reason, hint = str(document["reason"]), str(document["hint"])
    text = f"{document['verdict']}: {reason}" + (f"\n  next: {hint}" if hint else "")

    def checklist() -> Checklist:
        check = Check(command, "error", Status.ERROR, reason, hint)
        return Checklist(command, "", Status.ERROR, text.splitlines()[0], (check,))

    def markdown() -> str:
        from mlship.report.markdown import safe

        return f"### ⚠️ mlship {safe(command, 100)}: {safe(text, 3000)}"

    return Told(lambda: text, lambda: document, markdown, checklist, outputs={"verdict": str(document["verdict"])})
