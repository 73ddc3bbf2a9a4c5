"""`--report KIND=FILE`: an evaluation written to files, beside what goes to stdout."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.errors import StateError, UsageError

if TYPE_CHECKING:
    from mlship.types import Evaluation

#: Kinds that can be written, as `mlship.report.KINDS` has them; named here so that a wrong one costs no import.
KINDS = ("html", "markdown", "json", "text")


class ReportFormat(StrEnum):
    """How an evaluation is written to stdout."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


OutputOption = Annotated[ReportFormat, typer.Option("--format", help="How to write the result to stdout.")]
ReportsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--report",
        metavar="KIND=FILE",
        help="Also write html=FILE, markdown=FILE, json=FILE or text=FILE; repeatable.",
    ),
]


def destinations(wanted: Sequence[str]) -> dict[Path, str]:
    """The kind of each file that was asked for.

    Raises ``UsageError`` before anything is evaluated: an unknown kind, or a directory that is not there.
    """
    found: dict[Path, str] = {}
    for each in wanted:
        kind, equals, name = each.partition("=")
        if not equals or kind not in KINDS or not name:
            raise UsageError(
                f"--report {each}: not KIND=FILE", hint=f"such as --report html=report.html; kinds: {', '.join(KINDS)}"
            )
        path = Path(name)
        if not path.parent.is_dir():
            raise UsageError(f"--report {each}: there is no directory {path.parent}", hint=f"mkdir -p {path.parent}")
        if path.is_dir():
            raise UsageError(f"--report {each}: {path} is a directory", hint="name a file in it")
        found[path] = kind
    return found


def write(evaluation: Evaluation, files: dict[Path, str]) -> None:
    """Write each report whole or not at all. Raises ``StateError`` when a file cannot be written."""
    from mlship.report import render

    for path, kind in files.items():
        report = render(evaluation, kind)
        text = report if isinstance(report, str) else json.dumps(report, indent=2, allow_nan=False)
        try:
            _put(path, text.rstrip("\n") + "\n")
        except OSError as error:
            raise StateError(
                f"the report cannot be written: {error.strerror or error}",
                where=str(path),
                hint="the evaluation itself is kept: see its MLflow run",
            ) from error


def _put(path: Path, text: str) -> None:
    """Replace a file in one step; write through a link, and into what is no file, such as a device or a pipe."""
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
