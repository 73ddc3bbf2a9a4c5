"""How every command tells its result: `--format` on stdout, and `--report KIND=FILE` beside it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlship.errors import StateError, UsageError
from mlship.types import Status

if TYPE_CHECKING:
    from mlship.report.checklist import Checklist


class Format(StrEnum):
    """How a result is written to stdout."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    GITHUB = "github"


FormatOption = Annotated[
    Format,
    typer.Option(
        "--format",
        help="How to write the result to stdout; github: annotations, and the job's summary and outputs.",
    ),
]


@dataclass(frozen=True, slots=True)
class Told:
    """One result, in every way in which it can be written; each is made when it is asked for."""

    text: Callable[[], str]
    document: Callable[[], Any]
    """For `json.dump`: JSON's own types only."""
    markdown: Callable[[], str]
    checklist: Callable[[], Checklist]
    html: Callable[[], str] | None = None
    """None: this command has no page."""
    outputs: Mapping[str, str] | None = None
    """What a step of a GitHub workflow may read besides `verdict` and `failed-gates`, which the checklist tells."""


#: Kinds of reports that every result can be written as.
KINDS = (
    "html",
    "markdown",
    "json",
    "text",
    "junit",
    "sarif",
    "gitlab-codequality",
    "gitlab-metrics",
    "gitlab-performance",
)
ReportsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--report", metavar="KIND=FILE", help=f"Also write it to a file; repeatable. Kinds: {', '.join(KINDS)}."
    ),
]


def destinations(wanted: Sequence[str] | None, *, page: bool = True) -> dict[Path, str]:
    """The kind of each file that was asked for.

    Parameters
    ----------
    page
        Whether the command has an HTML page.

    Raises ``UsageError`` before anything is done: an unknown kind, or a directory that is not there.
    """
    kinds = KINDS if page else tuple(kind for kind in KINDS if kind != "html")
    found: dict[Path, str] = {}
    for each in wanted or ():
        kind, equals, name = each.partition("=")
        if not equals or kind not in kinds or not name:
            raise UsageError(
                f"--report {each}: not KIND=FILE", hint=f"such as --report {kinds[0]}=report; kinds: {', '.join(kinds)}"
            )
        path = Path(name)
        if not path.parent.is_dir():
            raise UsageError(f"--report {each}: there is no directory {path.parent}", hint=f"mkdir -p {path.parent}")
        if path.is_dir():
            raise UsageError(f"--report {each}: {path} is a directory", hint="name a file in it")
        if found.setdefault(path, kind) != kind:
            raise UsageError(f"--report {each}: {path} is named for {found[path]} already", hint="name another file")
    return found


def tell(told: Told, fmt: Format, files: Mapping[Path, str] | None = None) -> None:
    """Write a result to stdout and to the files that were asked for; the files first, so that stdout has the last word.

    Raises ``StateError`` when a file cannot be written; what was to be told is on stdout all the same.
    """
    from mlship.cli.common import emit_json

    trouble = None
    try:
        write(told, files or {})
    except StateError as error:
        trouble = error
    if fmt is Format.JSON:
        emit_json(told.document())
    elif fmt is Format.GITHUB:
        _to_github(told, files or {})
    else:
        put(told.text() if fmt is Format.TEXT else told.markdown())
    if trouble is not None:
        raise trouble


def put(text: str) -> None:
    """Write text to stdout; marks become `?` where a terminal cannot show them."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write((text.rstrip("\n") + "\n").encode(encoding, "replace").decode(encoding))


def write(told: Told, files: Mapping[Path, str]) -> None:
    """Write each report whole or not at all. Raises ``StateError`` when a file cannot be written."""
    for path, kind in files.items():
        try:
            _replace(path, render(told, kind).rstrip("\n") + "\n")
        except OSError as error:
            raise StateError(
                f"the report cannot be written: {error.strerror or error}",
                where=str(path),
                hint="free space or permissions; what was to be reported has been done, and is kept",
            ) from error


def render(told: Told, kind: str) -> str:
    """A result as one kind of report; the kind is one of ``KINDS``, and there is a page when it is html."""
    from mlship.report import gitlab, junit, sarif

    if kind == "json":
        return json.dumps(told.document(), indent=2, default=str, allow_nan=False)
    if kind == "html" and told.html is not None:
        return told.html()
    if kind in ("text", "markdown"):
        return told.text() if kind == "text" else told.markdown()
    renderers = {
        "junit": junit.render,
        "sarif": sarif.render,
        "gitlab-codequality": gitlab.code_quality,
        "gitlab-metrics": gitlab.metrics,
        "gitlab-performance": gitlab.load_performance,
    }
    return renderers[kind](told.checklist())


def _to_github(told: Told, files: Mapping[Path, str]) -> None:
    """Annotations and text to the step's log, Markdown to its summary, and its outputs; Markdown to the log where no
    runner asks for a summary.
    """
    from mlship.report import github

    checklist = told.checklist()
    page = next((str(path) for kind in ("html", "markdown", "json") for path, one in files.items() if one == kind), "")
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    put("\n".join([*github.commands(checklist), told.text() if summary else told.markdown()]))
    if summary:
        before = Path(summary).stat().st_size if Path(summary).exists() else 0
        _append(summary, github.summary(told.markdown(), before, page))
    if path := os.environ.get("GITHUB_OUTPUT"):
        failed = dict.fromkeys(check.group for check in checklist.checks if check.status is Status.FAILED)
        values = {"verdict": str(checklist.status), "failed-gates": ",".join(failed), "report-path": page}
        _append(path, github.outputs({**values, **(told.outputs or {})}))


def _append(path: str, text: str) -> None:
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        hint = "GITHUB_STEP_SUMMARY and GITHUB_OUTPUT name files of the runner"
        raise StateError(f"cannot be written: {error.strerror or error}", where=path, hint=hint) from error


def _replace(path: Path, text: str) -> None:
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
