"""Files of policy tests, run one after the other, and how the outcome is told."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.cli.policy.revisions import from_file
from mlship.cli.policy.subjects import InvalidPolicy
from mlship.cli.policy.subjects import read as read_policy
from mlship.cli.telling import Told
from mlship.errors import Exit, MlshipError
from mlship.gates.trial import Rule, rules
from mlship.gates.trials import Bench, Outcome
from mlship.policy import trial_file
from mlship.policy.faults import Fault
from mlship.types import Status, worst

if TYPE_CHECKING:
    from mlship.report.checklist import Check, Checklist


@dataclass(frozen=True, slots=True)
class FileResult:
    """One file: what came of its tests, or why they could not be run."""

    file: str
    policy: str
    outcomes: tuple[Outcome, ...] = ()
    faults: tuple[Fault, ...] = ()


def run(files: Sequence[Path]) -> Result:
    """Every test of every file; a file that is not valid does not keep the others from being run."""
    return Result(tuple(_run(file) for file in files))


def _run(file: Path) -> FileResult:
    found = trial_file.read(file)
    if isinstance(found, list):
        return FileResult(str(file), "", faults=tuple(found))
    policy = Path(os.path.normpath(found.policy))
    try:
        subject = read_policy(from_file(str(policy)))
    except InvalidPolicy as error:
        return FileResult(str(file), str(policy), faults=error.faults)
    except MlshipError as error:
        what = f"the policy cannot be used: {error.where}: {error.what}"
        return FileResult(str(file), str(policy), faults=(found.source.fault(found.policy_spot, what, error.hint),))
    bench = Bench.of(subject.policy, lambda relative: policy.absolute().parent / Path(relative).expanduser())
    done = [bench.run(one, found.source) for one in found.trials]
    faults = dict.fromkeys(fault for one in done if isinstance(one, list) for fault in one)
    outcomes = tuple(one for one in done if isinstance(one, Outcome))
    return FileResult(str(file), str(policy), outcomes, tuple(faults))


@dataclass(frozen=True, slots=True)
class Result:
    """All files, in every way in which they are told."""

    files: tuple[FileResult, ...]

    @property
    def exit_code(self) -> Exit:
        """2 where a file is not valid, 1 where a test came out otherwise than expected."""
        if any(file.faults for file in self.files):
            return Exit.USAGE
        failed = any(outcome.differences for file in self.files for outcome in file.outcomes)
        return Exit.GATE_FAILED if failed else Exit.PASSED

    @property
    def summary(self) -> str:
        """How many of which."""
        outcomes = [outcome for file in self.files for outcome in file.outcomes]
        failed = sum(bool(outcome.differences) for outcome in outcomes)
        faults = sum(len(file.faults) for file in self.files)
        told = [f"{len(outcomes) - failed} as expected"]
        told += [f"{failed} not"] if failed else []
        told += [f"{faults} fault{'s' * (faults != 1)} in the files"] if faults else []
        return ", ".join(told)

    def told(self) -> Told:
        """For the formats and reports that every command has."""
        return Told(self.text, self.document, self.markdown, self.checklist)

    def text(self) -> str:
        """One line a test, and below it what came out otherwise; no name can begin a line of its own."""
        from mlship.report.cells import plain

        lines = []
        for file in self.files:
            lines += [str(replace(fault, file=plain(fault.file))) for fault in file.faults]
            for outcome in file.outcomes:
                mark = "x" if outcome.differences else "+"
                lines.append(f"{mark} {plain(file.file)}:{outcome.trial.spot.line}: {plain(outcome.trial.name)}")
                lines += [f"    {plain(line)}" for line in _sentences(outcome)]
        return "\n".join([*lines, f"policy tests: {self.summary}"])

    def document(self) -> dict[str, Any]:
        """For `--format json`."""
        return {
            "passed": self.exit_code is Exit.PASSED,
            "files": [
                {
                    "file": file.file,
                    "policy": file.policy,
                    "faults": [{"file": fault.file, **fault.as_dict()} for fault in file.faults],
                    "tests": [_document(outcome) for outcome in file.outcomes],
                }
                for file in self.files
            ],
        }

    def markdown(self) -> str:
        """A list of all tests, the failed ones with what came out otherwise."""
        from mlship.report.blocks import code, sentence

        lines = [f"**Policy tests: {self.summary}**"]
        for file in self.files:
            lines += ["", code(file.file) + (f" (policy {code(file.policy)})" if file.policy else ""), ""]
            lines += [
                f"- not valid: {code(f'{fault.file}:{fault.line}:{fault.col}')} {sentence(fault.what)}"
                for fault in file.faults
            ]
            for outcome in file.outcomes:
                came = "**not as expected**" if outcome.differences else "as expected"
                lines.append(f"- {came}: {sentence(outcome.trial.name)}")
                lines += [f"  - {sentence(line)}" for line in _sentences(outcome)]
        return "\n".join(lines)

    def checklist(self) -> Checklist:
        """A check a test, and a check a fault, at their lines."""
        from mlship.report.checklist import Checklist

        checks = tuple(check for file in self.files for check in _checks(file))
        status = Status.PASSED if self.exit_code is Exit.PASSED else worst([check.status for check in checks])
        first = self.files[0].file
        return Checklist(
            "policy test", ", ".join(file.file for file in self.files), status, self.summary, checks, first
        )


def _sentences(outcome: Outcome) -> list[str]:
    return [f"{one.what}: expected {one.expected}, is {one.found} ({one.reason})" for one in outcome.differences]


def _document(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.trial.name,
        "line": outcome.trial.spot.line,
        "passed": not outcome.differences,
        "verdict": str(outcome.verdict),
        "rollout": outcome.looked[0] if outcome.looked else None,
        "differences": [
            {"what": one.what, "expected": str(one.expected), "found": str(one.found), "reason": one.reason}
            for one in outcome.differences
        ],
        "results": [
            {
                "gate": result.gate,
                "rule": result.rule,
                "status": str(result.status),
                "limit": result.limit,
                "reason": result.reason,
            }
            for result in outcome.results
        ],
    }


def _checks(file: FileResult) -> list[Check]:
    from mlship.report.checklist import Check

    checks = [
        Check(file.file, "file", Status.ERROR, fault.what, fault.hint, fault.file, fault.line, fault.col)
        for fault in file.faults
    ]
    for outcome in file.outcomes:
        reason = "; ".join(_sentences(outcome)) or "everything came out as expected"
        status = Status.FAILED if outcome.differences else Status.PASSED
        at = outcome.trial.spot
        checks.append(
            Check(file.file, outcome.trial.name, status, reason, file=file.file, line=at.line, column=at.column)
        )
    return checks


def drafted(policy: Path) -> str:
    """A file of tests for a policy: every rule with a figure that just keeps its limit.

    Raises ``MlshipError`` when the policy cannot be used.
    """
    subject = read_policy(from_file(str(policy)))
    asked = rules(subject.policy)
    given = []
    for gate in dict.fromkeys(rule.gate for rule in asked):
        given.append(f"  {gate}:")
        given += [f"    {_key(rule.name)}: {_figure(rule)}" for rule in asked if rule.gate == gate]
    return "\n".join(
        [
            f"# Tests of {policy.name}: `mlship policy test`. Every figure here just keeps its limit.",
            f"policy: {_key(policy.name)}",
            *(["given:", *given] if given else []),
            "tests:",
            "  - name: what just keeps every limit is let through",
            "    expect: {verdict: passed}" if given else "    expect: {verdict: inconclusive}",
            "",
        ]
    )


def _figure(rule: Rule) -> str:
    """A figure on the limit, with an interval of no width."""
    value = _written(rule)
    return f"{{value: {value}, low: {value}, high: {value}}}"


def _written(rule: Rule) -> str:
    from mlship.policy import units

    limit = rule.limit
    if limit.share:
        return units.format_percent(limit.value)
    if limit.unit in (" ms", " s"):
        return units.format_duration(limit.value / (1000 if limit.unit == " ms" else 1))
    if limit.unit == " MB":
        return units.format_size(round(limit.value * 1e6))
    return f"{limit.value:.10f}".rstrip("0").rstrip(".") + ("x" if limit.unit == "x" else "")


def _key(text: str) -> str:
    """A key, or a value, that is no plain word in quotes."""
    return text if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_ ./-]*", text) else '"' + text.replace('"', '\\"') + '"'
