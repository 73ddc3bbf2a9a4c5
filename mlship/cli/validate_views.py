"""The faults of policies, for a job's summary and as checks at their lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.policy.faults import Severity
from mlship.report import blocks
from mlship.report.checklist import Check, Checklist
from mlship.report.figures import things
from mlship.types import Status

if TYPE_CHECKING:
    from mlship.policy.faults import Fault
    from mlship.policy.load import Checked

Results = Sequence[tuple[Path, "Checked"]]


def markdown(results: Results) -> str:
    """One section a file: valid or not, and its faults in the order of the file."""
    sections = []
    for path, checked in results:
        status, said = _verdict(checked)
        rows = [(f"{one.line}:{one.col}", str(one.severity), one.what, one.hint) for one in checked.faults]
        sections += [
            blocks.heading(status, f"{path}: {said}"),
            blocks.table(("place", "severity", "what", "how to mend it"), rows),
        ]
    return blocks.joined(*sections)


def checklist(results: Results) -> Checklist:
    """A check for each fault, and one for each file that has no error."""
    checks = []
    for path, checked in results:
        checks += [_check(path, fault) for fault in checked.faults]
        if checked.loaded is not None:
            checks.append(Check(str(path), "valid", Status.PASSED, f"digest {checked.loaded.digest}", file=str(path)))
    bad = [str(path) for path, checked in results if checked.loaded is None]
    status = Status.FAILED if bad else Status.PASSED
    title = ", ".join(str(path) for path, _ in results)
    count = things(len(results), "policy", "policies")
    summary = f"{len(bad)} of {count} invalid: {', '.join(bad)}" if bad else f"{count} valid"
    return Checklist("validate", title, status, summary, tuple(checks))


def _verdict(checked: Checked) -> tuple[Status, str]:
    errors = sum(fault.severity is Severity.ERROR for fault in checked.faults)
    if checked.loaded is None:
        return Status.FAILED, things(errors, "fault")
    warnings = len(checked.faults)
    return Status.PASSED, "valid" + (f", {things(warnings, 'warning')}" if warnings else "")


def _check(path: Path, fault: Fault) -> Check:
    error = fault.severity is Severity.ERROR
    return Check(
        str(path),
        f"{fault.line}:{fault.col}",
        Status.FAILED if error else Status.PASSED,
        fault.what,
        fault.hint,
        file=fault.file,
        line=fault.line,
        column=fault.col,
        warning=not error,
        kind="fault" if error else "warning",
    )
