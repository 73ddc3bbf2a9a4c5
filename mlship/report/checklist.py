"""What a command has checked, in the one shape that JUnit, SARIF, GitLab and GitHub's annotations are written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mlship.report import words
from mlship.types import SEVERITY, Evaluation, GateResult, Status


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that a machine may plot over time."""

    name: str
    """Letters, digits and underscores: `metrics_recall`, `latency_p99_seconds`."""
    value: float
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was judged: a rule of a gate, a signal of a rollout, a fault of a policy file, a policy test."""

    group: str
    """What it belongs to: a gate, a file, a step."""
    name: str
    status: Status
    reason: str
    """One sentence with the figures that decided."""
    hint: str = ""
    """The way out, where there is one."""
    file: str = ""
    """The file that is at fault, relative where the command was given it so; empty: the checklist's own."""
    line: int = 0
    """1-based; 0 when no line is known."""
    column: int = 0
    """1-based; 0 when no column is known."""
    limit: str = ""
    measured: str = ""
    """Both as a person would write them."""
    warning: bool = False
    """Worth saying at its place, though it passed."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Checklist:
    """All that one run of a command has checked, and what came out."""

    command: str
    """The command's name: `evaluate`, `policy test`."""
    title: str
    """What was checked: `flight-delay 2 (champion 1)`."""
    status: Status
    summary: str
    """The verdict in one line."""
    checks: tuple[Check, ...]
    file: str = ""
    """Where a finding without a file of its own is shown: the policy's path as it was given."""
    started: float = 0.0
    """Unix seconds; 0 when no time belongs to it."""
    seconds: float = 0.0
    figures: tuple[Figure, ...] = ()
    properties: tuple[tuple[str, str], ...] = field(default=())
    """What a reader may want to follow: ids, digests, versions."""


def worst_first(checks: Sequence[Check]) -> list[Check]:
    """Failed, error, inconclusive, passed with a warning, passed, skipped; in the given order within each."""
    order = [status for status in reversed(SEVERITY) if status is not Status.SKIPPED] + [Status.SKIPPED]
    return sorted(checks, key=lambda check: (order.index(check.status), not check.warning))


def of_evaluation(evaluation: Evaluation, *, command: str = "evaluate", policy: str = "") -> Checklist:
    """Every rule of an evaluation.

    Parameters
    ----------
    policy
        The policy's path as it was given: where findings are shown.
    """
    candidate = evaluation.candidate
    ids = {
        "model": candidate.model,
        "candidate_version": candidate.version.version,
        "champion_version": candidate.champion.version if candidate.champion else "",
        "candidate_digest": candidate.version.digest,
        "policy_digest": evaluation.policy_digest,
        "data_digest": evaluation.data_digest,
        "evaluation_id": evaluation.id,
        "run_id": evaluation.run_id or "",
    }
    return Checklist(
        command,
        words.subject(evaluation),
        evaluation.status,
        words.summary(evaluation),
        tuple(_check(result) for result in evaluation.results),
        file=policy,
        started=evaluation.started,
        seconds=evaluation.seconds,
        figures=tuple(found for result in evaluation.results for found in _figures(result)),
        properties=tuple((name, value) for name, value in ids.items() if value),
    )


def _check(result: GateResult) -> Check:
    measured = words.measured(result)
    return Check(
        result.gate,
        result.rule,
        result.status,
        result.reason,
        limit=result.limit,
        measured="" if measured == "-" else measured,
    )


def _figures(result: GateResult) -> list[Figure]:
    """What was measured of the candidate, and of the champion beside it."""
    found = []
    for arm, measurement in (("candidate", result.measured), ("champion", result.champion)):
        if measurement is not None and measurement.value is not None:
            labels = (("gate", result.gate), ("rule", result.rule), ("arm", arm))
            found.append(Figure("mlship_measured", measurement.value, labels))
    return found
