"""A checklist for a step of a GitHub workflow: annotations, and what the runner reads as summary and outputs.

Source of the forms and limits: docs.github.com, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from uuid import uuid4

from mlship.report.checklist import Check, Checklist, complete, worst_first
from mlship.report.plain import one_line, plain
from mlship.types import Status

#: A step shows so many annotations of each kind, and drops the rest without a word.
MOST = 10
#: A step's summary of more than 1 MiB is not shown at all; in bytes, with room to spare.
SUMMARY_BYTES = 1024 * 1024 - 4096
#: An annotation of more is cut by GitHub in mid-word.
_LONGEST = 4000

_COMMANDS = {Status.FAILED: "error", Status.ERROR: "error", Status.INCONCLUSIVE: "warning"}


def commands(checklist: Checklist) -> list[str]:
    """A workflow command for each finding, the worst first; the last one of a kind counts those that find no place.

    Where nothing was found, one that tells the verdict.
    """
    found: dict[str, list[Check]] = {"error": [], "warning": []}
    for check in worst_first(complete(checklist)):
        command = _COMMANDS.get(check.status, "warning" if check.warning else "")
        if command:
            found[command].append(check)
    lines = [line for command, checks in found.items() for line in _lines(command, checks, checklist)]
    return lines or [_command("notice", {"title": f"mlship {checklist.command}"}, checklist.summary)]


def _lines(command: str, checks: list[Check], checklist: Checklist) -> Iterator[str]:
    fits = checks if len(checks) <= MOST else checks[: MOST - 1]
    for check in fits:
        place: dict[str, str | int] = {"file": check.file or checklist.file, "line": check.line, "col": check.column}
        title = one_line(f"{check.group} {check.name}")
        text = f"{check.reason}\nnext: {check.hint}" if check.hint else check.reason
        yield _command(command, {**place, "title": f"mlship {checklist.command}: {title}"}, text)
    if len(checks) > len(fits):
        others = ", ".join(one_line(f"{check.group} {check.name}") for check in checks[len(fits) :])
        yield _command(
            command, {"title": f"mlship {checklist.command}"}, f"and {len(checks) - len(fits)} more: {others}"
        )


def _command(name: str, properties: Mapping[str, str | int], message: str) -> str:
    told = {key: one_line(str(value)) for key, value in properties.items() if value}
    named = ",".join(f"{key}={_escaped(value, part=True)}" for key, value in told.items() if value)
    text = plain(message) or "see the result"
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    return f"::{name} {named}::{_escaped(short)}" if named else f"::{name}::{_escaped(short)}"


def quoted(text: str) -> list[str]:
    """Lines for the log in which nothing is taken for a command, whatever names and reasons they hold."""
    end = f"mlship-{uuid4()}"
    return [f"::stop-commands::{end}", text.rstrip("\n"), f"::{end}::"]


def _escaped(value: str, *, part: bool = False) -> str:
    """As workflow commands want it."""
    for char, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), *(((":", "%3A"), (",", "%2C")) if part else ())):
        value = value.replace(char, code)
    return value


def summary(markdown: str, written: int = 0, where: str = "") -> str:
    """What is added to the step's summary: all of it, or its beginning and where the rest is.

    Parameters
    ----------
    written
        Bytes that the summary has already.
    where
        The report's file or the address of the run's artifacts.
    """
    room = SUMMARY_BYTES - written
    if len(markdown.encode()) + 1 <= room:
        return markdown.rstrip("\n") + "\n"
    note = f"\n\n*Cut: a summary holds 1 MiB. All of it: {where or 'the reports among the artifacts of this run'}*\n"
    kept = markdown.encode()[: max(0, room - len(note.encode()) - 1)].decode(errors="ignore")
    kept = kept[: kept.rfind("\n")] if "\n" in kept else ""
    return kept + note if len(note.encode()) < room else ""


def outputs(values: Mapping[str, str]) -> str:
    """Lines for the file of step outputs, each value between delimiters that it cannot contain."""
    lines = []
    for name, value in values.items():
        delimiter = f"mlship-{uuid4()}"
        lines.append(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")
    return "".join(lines)
