"""`mlship policy diff`: what differs between two policies, and what of it is looser or stricter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlship.cli import telling
from mlship.cli.common import DEFAULT_POLICY, leave
from mlship.cli.telling import Format, FormatOption, PagelessReportsOption, Told
from mlship.errors import Exit, UsageError

if TYPE_CHECKING:
    from mlship.policy.diff import Change
    from mlship.report.checklist import Checklist

_DEFAULT = str(DEFAULT_POLICY)


class FailOn(StrEnum):
    """Which changes end the command with 1."""

    LOOSER = "looser"
    STRICTER = "stricter"
    CHANGED = "changed"
    ANY = "any"


def diff(
    old: Annotated[
        str,
        typer.Argument(
            metavar="OLD",
            help="A policy, or REV:PATH as git writes it; alone: compare the file with what is committed (HEAD).",
            show_default=True,
        ),
    ] = _DEFAULT,
    new: Annotated[
        str | None, typer.Argument(metavar="NEW", help="A policy, or REV:PATH; `:PATH` is what is staged.")
    ] = None,
    fail_on: Annotated[
        list[FailOn] | None,
        typer.Option(
            "--fail-on",
            metavar="KIND",
            help="End with 1 when there is such a change: looser, stricter, changed or any; repeatable.",
            show_default=False,
        ),
    ] = None,
    output: FormatOption = Format.TEXT,
    reports: PagelessReportsOption = None,
) -> None:
    """Tell what differs between two policies, and what of it is looser or stricter.

    Comments, layout and the order of keys do not count; a key that is left out counts as its default. Variables of the
    environment need not be set.

    \b
    Examples:
      mlship policy diff
      mlship policy diff HEAD:mlship.yaml mlship.yaml --fail-on looser
      mlship policy diff HEAD:mlship.yaml :mlship.yaml --format markdown
    """
    from mlship.cli.policy.revisions import edited, version
    from mlship.cli.policy.subjects import read
    from mlship.policy.diff import compare

    files = telling.destinations(reports, page=False)
    if new is None and old == _DEFAULT and not Path(old).exists():
        raise UsageError(f"there is no {old} here", hint="name the policy: mlship policy diff path/to/policy.yaml")
    before, after = (version(old), version(new)) if new is not None else edited(old)
    changes = compare(read(before), read(after))
    result = _Result(before.name, after.name, after.file, tuple(changes), tuple(dict.fromkeys(fail_on or ())))
    telling.tell(result.told(), output, files)
    leave(Exit.GATE_FAILED if result.failing else Exit.PASSED)


@dataclass(frozen=True, slots=True)
class _Result:
    """The changes, in every way in which they are told."""

    old: str
    new: str
    """What the two are called."""
    file: str
    """Where findings are shown: the new policy's path."""
    changes: tuple[Change, ...]
    fail_on: tuple[FailOn, ...]

    @property
    def failing(self) -> tuple[Change, ...]:
        """Those that end the command with 1."""
        return tuple(change for change in self.changes if self._fails(change))

    def _fails(self, change: Change) -> bool:
        return FailOn.ANY in self.fail_on or change.kind.value in [one.value for one in self.fail_on]

    @property
    def summary(self) -> str:
        """How many of which kind."""
        if not self.changes:
            return "nothing that either policy says differs"
        counted = {kind: sum(change.kind == kind for change in self.changes) for kind in _KINDS}
        return ", ".join(f"{number} {kind}" for kind, number in counted.items() if number)

    def told(self) -> Told:
        """For the formats and reports that every command has."""
        return Told(self.text, self.document, self.markdown, self.checklist, outputs=self._outputs())

    def text(self) -> str:
        """One line a change, the looser ones first."""
        from mlship.report.cells import plain

        lines = [
            f"{_MARKS[one.kind]} {one.kind:<8}  {plain(one.path)}: {one.old} -> {one.new}" for one in self._ordered()
        ]
        failing = f"; failed: --fail-on {', '.join(self.fail_on)}" if self.failing else ""
        return "\n".join([*lines, f"{plain(self.old)} -> {plain(self.new)}: {self.summary}{failing}"])

    def _ordered(self) -> list[Change]:
        return sorted(self.changes, key=lambda change: _KINDS.index(change.kind))

    def document(self) -> dict[str, Any]:
        """For `--format json`."""
        return {
            "old": self.old,
            "new": self.new,
            "changes": [asdict(change) for change in self.changes],
            "counts": {kind: sum(change.kind == kind for change in self.changes) for kind in _KINDS},
            "failed": bool(self.failing),
        }

    def markdown(self) -> str:
        """A table, the looser ones first."""
        from mlship.report.blocks import code

        head = f"**Policy: {self.summary}** ({code(self.old)} -> {code(self.new)})"
        if not self.changes:
            return head
        rows = [f"| {one.kind} | {code(one.path)} | {code(one.old)} | {code(one.new)} |" for one in self._ordered()]
        return "\n".join([head, "", "| | key | old | new |", "|---|---|---|---|", *rows])

    def checklist(self) -> Checklist:
        """A check a change, at its line in the new policy."""
        from mlship.report.checklist import Check, Checklist
        from mlship.types import Status

        checks = tuple(
            Check(
                change.kind,
                change.path,
                Status.FAILED if self._fails(change) else Status.PASSED,
                f"it was {change.old}, and is {change.new}" + (f" ({change.meaning})" if change.meaning else ""),
                file=self.file,
                line=change.line,
                column=change.column,
                limit=change.old,
                measured=change.new,
                warning=change.kind == "looser" and not self._fails(change),
            )
            for change in self.changes
        )
        status = Status.FAILED if self.failing else Status.PASSED
        return Checklist("policy diff", f"{self.old} -> {self.new}", status, self.summary, checks, file=self.file)

    def _outputs(self) -> dict[str, str]:
        return {"has-changes": "true" if self.changes else "false"}


#: Worst first.
_KINDS: Sequence[str] = ("looser", "changed", "stricter")
_MARKS = {"looser": "-", "changed": "~", "stricter": "+"}
