"""How every command tells its result: `--format` on stdout, and `--report KIND=FILE` beside it."""

from __future__ import annotations

import json
import os
import re
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
    show: Callable[[], None] | None = None
    """How a person at a terminal gets to see the text, where that is more than its letters."""


#: What the command was asked to write, and has not written yet.
_awaited: dict[Path, str] = {}
#: Whether the command has written its one result to stdout.
_has_told: list[bool] = []
#: What kept a report, a summary or an output from being written: a command's verdict is not lost to it.
_troubles: list[StateError] = []


def begin() -> None:
    """A command begins: it owes nobody anything yet, and has told nothing."""
    _awaited.clear()
    _has_told.clear()
    _troubles.clear()


def awaited() -> dict[Path, str]:
    """The reports that were asked for and are not written yet."""
    return dict(_awaited)


def troubles() -> tuple[StateError, ...]:
    """What could not be written beside the result so far; who ends the command says it, and fails when it passed."""
    return tuple(_troubles)


def has_told() -> bool:
    """Whether stdout has the result already."""
    return bool(_has_told)


def emit_json(document: Any) -> None:
    """Write one JSON document to stdout, and nothing else there."""
    _has_told.append(True)
    sys.stdout.write(json.dumps(document, indent=2, sort_keys=False, default=str, allow_nan=False) + "\n")


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


def kinds_of(*, page: bool = True, load: bool = False) -> tuple[str, ...]:
    """The kinds that a command can write, by whether it has an HTML page, and whether it sends load."""
    without = ([] if page else ["html"]) + ([] if load else ["gitlab-performance"])
    return tuple(kind for kind in KINDS if kind not in without)


def _reports(*, page: bool = True, load: bool = False) -> Any:
    """The option of a command that can write these kinds: its help names no other."""
    kinds = ", ".join(kinds_of(page=page, load=load))
    told = f"Also write the result to a file; repeatable. KIND is one of {kinds}."
    return typer.Option("--report", metavar="KIND=FILE", help=told)


#: Of a command with a page; of one without; and of one that sends load as well.
ReportsOption = Annotated[list[str] | None, _reports()]
PagelessReportsOption = Annotated[list[str] | None, _reports(page=False)]
LoadReportsOption = Annotated[list[str] | None, _reports(load=True)]


def destinations(wanted: Sequence[str] | None, *, page: bool = True, load: bool = False) -> dict[Path, str]:
    """The kind of each file that was asked for; they are owed from now on, also when the command fails.

    Parameters
    ----------
    page
        Whether the command has an HTML page.
    load
        Whether the command sends load: without any, there is no load performance.

    Raises ``UsageError`` before anything is done: an unknown kind, a directory that is not there, a file that the
    command line names for something else.
    """
    kinds = kinds_of(page=page, load=load)
    without = tuple(kind for kind in KINDS if kind not in kinds)
    found: dict[Path, str] = {}
    named = _named() if wanted else set()
    for each in wanted or ():
        kind, equals, name = each.partition("=")
        if kind in without and name:
            has = "has no page" if kind == "html" else "sends no load: `mlship latency` and `mlship ship` do"
            raise UsageError(f"--report {each}: this command {has}", hint=f"kinds: {', '.join(kinds)}")
        if not equals or kind not in kinds or not name:
            raise UsageError(
                f"--report {each}: not KIND=FILE", hint=f"such as --report {kinds[0]}=report; kinds: {', '.join(kinds)}"
            )
        path = Path(name)
        if not path.parent.is_dir():
            raise UsageError(f"--report {each}: there is no directory {path.parent}", hint=f"mkdir -p {path.parent}")
        if path.is_dir():
            raise UsageError(f"--report {each}: {path} is a directory", hint="name a file in it")
        if path.resolve() in named:
            what = f"--report {each}: this command reads or writes {path} itself"
            raise UsageError(what, hint="name another file; the report would take its place")
        other = next((one for one in found if one.resolve() == path.resolve()), path)
        if found.setdefault(other, kind) != kind:
            raise UsageError(f"--report {each}: {path} is named for {found[other]} already", hint="name another file")
    _awaited.clear()
    _awaited.update(found)
    return found


def _named() -> set[Path]:
    """The files that the command line names as arguments or values of options, and the policy of this directory, which
    is read where none is named; `REV:PATH`, as git writes it, names a file too.

    It is read off the command line itself, so that no command can forget to tell of an option of its own.
    """
    words = [word.partition("=")[2] if word.startswith("--") else word for word in sys.argv[1:]]
    words += [word.rpartition(":")[2] for word in words]
    looks = [word for word in words if word and "\0" not in word]
    names = {word for word in looks if "." in word or "/" in word or os.path.isfile(word)}  # noqa: PTH113 - a sentence is
    # no file either, and Path.is_file() fails for a long one
    return {Path(os.path.realpath(name)) for name in names | {"mlship.yaml"}}


def tell(told: Told, fmt: Format, files: Mapping[Path, str] | None = None) -> None:
    """Write a result to stdout and to the files that were asked for; the files first, so that stdout has the last word.

    What cannot be written is one of the `troubles`; what was to be told is on stdout all the same.
    """
    write(told, files or {})
    if fmt is Format.JSON:
        emit_json(told.document())
    elif fmt is Format.GITHUB:
        to_github(told, files or {})
    elif fmt is Format.TEXT:
        put(told.text(), told.show)
    else:
        put(told.markdown())


#: What terminals obey or use to hide text, and what some of them take for the end of a line.
_UNSHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
#: What the runner of a GitHub workflow takes for a command: a line's beginning, or the older form anywhere.
_COMMAND = re.compile(r"^(\s*:)(?=:)|#(?=#\[)", re.MULTILINE)


def shown(text: str) -> str:
    """Text of names and files from elsewhere, for people: nothing in it moves a terminal's cursor, and on a runner of
    GitHub no line of it is a command. What a terminal would obey is shown as U+FFFD.
    """
    text = _UNSHOWN.sub("\ufffd", text.replace("\r\n", "\n"))
    return _COMMAND.sub(lambda found: f"{found[0]} ", text) if os.environ.get("GITHUB_ACTIONS") else text


def put(text: str, show: Callable[[], None] | None = None) -> None:
    """Write text to stdout. A person at a terminal gets it as `show` draws it, or with lines broken between words;
    everybody else gets each line whole, and `?` for what the encoding does not have.
    """
    _has_told.append(True)
    text = shown(text)
    if show is not None and (sys.stdout.isatty() or os.environ.get("FORCE_COLOR")):
        show()
    elif sys.stdout.isatty():
        from mlship.cli.common import out

        out().print(text.rstrip("\n"), markup=False)
    else:
        plain(text)


def plain(text: str) -> None:
    """Write lines to stdout as they are; where its encoding has no such mark there is a `?`, for a letter its code."""
    _has_told.append(True)
    encoding = sys.stdout.encoding or "utf-8"
    if encoding.lower().replace("-", "") != "utf8":
        text = "".join(char if char.isalnum() else char.encode(encoding, "replace").decode(encoding) for char in text)
    sys.stdout.write(text.rstrip("\n").encode(encoding, "backslashreplace").decode(encoding) + "\n")


def write(told: Told, files: Mapping[Path, str]) -> None:
    """Write each report whole or not at all; one that cannot be written is one of the `troubles`."""
    for path, kind in files.items():
        try:
            _replace(path, render(told, kind).rstrip("\n") + "\n")
            _awaited.pop(path, None)
        except OSError as error:
            hint = "free space or permissions; what was to be reported has been done, and is kept"
            what = f"the report cannot be written: {error.strerror or error}"
            _troubles.append(StateError(what, where=str(path), hint=hint))


def render(told: Told, kind: str) -> str:
    """A result as one kind of report; the kind is one of ``KINDS``, and there is a page when it is html."""
    from mlship.report import gitlab, junit, sarif

    if kind == "json":
        return json.dumps(told.document(), indent=2, default=str, allow_nan=False)
    if kind == "html" and told.html is not None:
        return told.html()
    if kind in ("text", "markdown"):
        return shown(told.text() if kind == "text" else told.markdown())
    renderers = {
        "junit": junit.render,
        "sarif": sarif.render,
        "gitlab-codequality": gitlab.code_quality,
        "gitlab-metrics": gitlab.metrics,
        "gitlab-performance": gitlab.load_performance,
    }
    return renderers[kind](_placed(told.checklist()))


def _placed(checklist: Checklist) -> Checklist:
    """With its files as they are named from the root of the repository, where those who show findings look for them."""
    from dataclasses import replace

    here = Path.cwd()
    said = os.environ.get("GITHUB_WORKSPACE") or os.environ.get("CI_PROJECT_DIR")
    root = Path(said) if said else next((each for each in (here, *here.parents) if (each / ".git").exists()), here)

    def named(file: str) -> str:
        if not file:
            return ""
        path = Path(os.path.normpath(here / file))
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()

    checks = tuple(replace(check, file=named(check.file)) for check in checklist.checks)
    return replace(checklist, file=named(checklist.file), checks=checks)


def to_github(told: Told, files: Mapping[Path, str]) -> None:
    """Annotations and text to the step's log, Markdown to its summary, and its outputs; Markdown to the log where no
    runner asks for a summary.
    """
    from mlship.report import github

    checklist = _placed(told.checklist())
    page = next((str(path) for kind in ("html", "markdown", "json") for path, one in files.items() if one == kind), "")
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    plain("\n".join([*github.commands(checklist), *github.quoted(shown(told.text() if summary else told.markdown()))]))
    if summary:
        before = Path(summary).stat().st_size if Path(summary).exists() else 0
        _append(summary, github.summary(told.markdown(), before, page))
    if path := os.environ.get("GITHUB_OUTPUT"):
        failed = dict.fromkeys(check.group for check in checklist.checks if check.status is Status.FAILED)
        values = {"verdict": str(checklist.status), "failed-gates": ",".join(failed), "report-path": page}
        _append(path, github.outputs({**values, **(told.outputs or {})}))


def _append(path: str, text: str) -> None:
    try:
        with Path(path).open("a", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as error:
        hint = "GITHUB_STEP_SUMMARY and GITHUB_OUTPUT name files of the runner"
        _troubles.append(StateError(f"cannot be written: {error.strerror or error}", where=path, hint=hint))


def _replace(path: Path, text: str) -> None:
    """Replace a file in one step; write through a link, and into what is no file, such as a device or a pipe."""
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8", errors="replace")
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
