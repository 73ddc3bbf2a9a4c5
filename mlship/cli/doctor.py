"""`mlship doctor`: every prerequisite, whether it is needed and there, and the one command that mends it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlship.cli.common import DEFAULT_POLICY, context, leave
from mlship.cli.telling import Format, FormatOption, PagelessReportsOption, Told, destinations, tell
from mlship.errors import Exit, UsageError

if TYPE_CHECKING:
    from mlship.health.verdict import Finding
    from mlship.policy.schema import Policy
    from mlship.report.checklist import Checklist

_MARKS = {"ok": "✓", "warning": "!", "missing": "✗", "not needed": "-"}


def doctor(
    ctx: typer.Context,
    policy: Annotated[
        Path | None,
        typer.Argument(metavar="POLICY", help="What is needed depends on it; default: mlship.yaml, if there is one."),
    ] = None,
    *,
    output: FormatOption = Format.TEXT,
    report: PagelessReportsOption = None,
) -> None:
    """Find what is missing on this machine, and the one command that mends each.

    Looks at Python, packages, Envoy, Docker, the registry, the state directory, the endpoint's port, secrets that the
    policy names (never at their values), proxies, and rollouts that nobody drives. Changes nothing. Every check has a
    time limit, and all run side by side.

    Exits with 0 when nothing that is needed is missing, else with 3.

    \b
    Examples:
      mlship doctor
      mlship doctor mlship.yaml --format json
    """
    from mlship.cli.status import describe
    from mlship.health.aside import side_by_side
    from mlship.health.needs import needs, references
    from mlship.health.table import checks
    from mlship.health.verdict import healthy

    files = destinations(report, page=False)
    home = context(ctx).home
    if policy is None and DEFAULT_POLICY.exists():
        policy = DEFAULT_POLICY
    if policy is not None and not policy.exists():
        raise UsageError("there is no such policy", where=str(policy), hint="mlship init drafts one")
    valid, loaded, text = _policy(policy)
    shown = str(policy) if policy else ""
    asked = checks(
        needs(loaded),
        home,
        Path.cwd(),
        named=references(text),
        policy=shown,
        describe=lambda model: describe(home, model),
    )
    findings = [*valid, *side_by_side(asked)]
    tell(_told(findings, shown), output, files)
    leave(Exit.PASSED if healthy(findings) else Exit.UNREACHABLE)


def _policy(path: Path | None) -> tuple[list[Finding], Policy | None, str]:
    """Whether the policy is valid, what it says, and its text."""
    import shlex

    from mlship.health.needs import references
    from mlship.health.verdict import Finding, State
    from mlship.policy.faults import Severity
    from mlship.policy.load import examine

    if path is None:
        what = "no policy was given: what it would not need is told as a warning"
        return [Finding("policy", "file", State.NOT_NEEDED, what, "mlship init")], None, ""
    checked = examine(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    if checked.loaded is not None:
        return (
            [Finding("policy", "file", State.OK, f"{path} is valid (model {checked.loaded.policy.model})")],
            checked.loaded.policy,
            text,
        )
    unset = {name: "0" for name in references(text) if not os.environ.get(name)}
    if unset and (guessed := examine(path, {**os.environ, **unset}).loaded) is not None:
        what = f"{path} is valid, but for variables that are not set (model {guessed.policy.model})"
        return [Finding("policy", "file", State.OK, what)], guessed.policy, text
    faults = [fault for fault in checked.faults if fault.severity is Severity.ERROR]
    what = f"{path} has {len(faults)} fault{'s' * (len(faults) != 1)}, such as: {faults[0].what}"
    return [Finding("policy", "file", State.MISSING, what, f"mlship validate {shlex.quote(str(path))}")], None, text


def _told(findings: list[Finding], policy: str) -> Told:
    return Told(
        lambda: _text(findings),
        lambda: _document(findings, policy),
        lambda: _markdown(findings),
        lambda: _checklist(findings, policy),
    )


def _summary(findings: list[Finding]) -> str:
    missing = sum(finding.state == "missing" for finding in findings)
    warnings = sum(finding.state == "warning" for finding in findings)
    if missing:
        return f"{missing} missing, {warnings} warning{'s' * (warnings != 1)}"
    return f"nothing needed is missing; {warnings} warning{'s' * (warnings != 1)}"


def _text(findings: list[Finding]) -> str:
    lines = []
    for group in dict.fromkeys(finding.group for finding in findings):
        lines.append(group)
        for one in (finding for finding in findings if finding.group == group):
            lines.append(f"  {_MARKS[one.state]} {one.name:<14} {one.state}: {one.reason}")
            if one.hint:
                lines.append(f"      {one.hint}")
    return "\n".join([*lines, _summary(findings)])


def _document(findings: list[Finding], policy: str) -> dict[str, Any]:
    from dataclasses import asdict

    from mlship.health.verdict import healthy

    return {
        "healthy": healthy(findings),
        "policy": policy or None,
        "checks": [asdict(finding) | {"state": str(finding.state)} for finding in findings],
    }


def _markdown(findings: list[Finding]) -> str:
    from mlship.report.blocks import code, sentence

    lines = [f"### {_summary(findings)}", "", "| | what | found | mend it |", "|---|---|---|---|"]
    for one in findings:
        what, found = sentence(f"{one.group}: {one.name}"), sentence(one.reason)
        lines.append(f"| {_MARKS[one.state]} {one.state} | {what} | {found} | {code(one.hint)} |")
    return "\n".join(lines)


def _checklist(findings: list[Finding], policy: str) -> Checklist:
    from mlship.health.verdict import State, healthy
    from mlship.report.checklist import Check, Checklist
    from mlship.types import Status

    meant = {State.MISSING: Status.ERROR, State.NOT_NEEDED: Status.SKIPPED}
    checks = tuple(
        Check(
            one.group,
            one.name,
            meant.get(one.state, Status.PASSED),
            one.reason,
            one.hint,
            warning=one.state is State.WARNING,
            seconds=one.seconds,
        )
        for one in findings
    )
    status = Status.PASSED if healthy(findings) else Status.ERROR
    return Checklist("doctor", "this machine", status, _summary(findings), checks, file=policy)
