"""What a command has checked, in the one shape that JUnit, SARIF, GitLab and GitHub's annotations are written from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise

from mlship.exhibits import Curves, Series
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
    kind: str = ""
    """What it is one of, where many of a kind are told apart by what they say, such as `fault`; empty: there is one of
    this group and name."""


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


def complete(checklist: Checklist) -> tuple[Check, ...]:
    """All checks, and the verdict itself as one more where none of them tells it: nothing that was not passed may look
    as if it were, for a reader who sees the checks alone.
    """
    said = any(check.status is checklist.status for check in checklist.checks)
    if said or checklist.status in (Status.PASSED, Status.SKIPPED):
        return checklist.checks
    verdict = Check(checklist.command, "verdict", checklist.status, checklist.summary)
    return (verdict, *checklist.checks)


def fingerprints(checklist: Checklist, checks: Sequence[Check]) -> list[str]:
    """What names each check in every run, in 32 hex digits: not its figures, its line, or the order of the others."""
    seen: dict[tuple[str, ...], int] = {}
    found = []
    for check in checks:
        key = (checklist.command, check.file or checklist.file, check.group, check.name)
        if check.kind:
            key = (*key[:2], check.kind, check.reason)
        seen[key] = nth = seen.get(key, 0) + 1
        text = "\0".join([*key, str(nth)] if nth > 1 else key)
        found.append(sha256(text.encode(errors="replace")).hexdigest()[:32])
    return found


def worst_first(checks: Sequence[Check]) -> list[Check]:
    """Failed, error, inconclusive, passed with a warning, passed, skipped; in the given order within each."""
    order = [status for status in reversed(SEVERITY) if status is not Status.SKIPPED] + [Status.SKIPPED]
    return sorted(checks, key=lambda check: (order.index(check.status), not check.warning))


def of_evaluation(
    evaluation: Evaluation,
    *,
    command: str = "evaluate",
    policy: str = "",
    place: Callable[[str, str], tuple[int, int]] | None = None,
    rate: float | None = None,
) -> Checklist:
    """Every rule of an evaluation.

    Parameters
    ----------
    policy
        The policy's path as it was given: where findings are shown.
    place
        Line and column of a gate's rule in it, 1-based; (0, 0) where none is known.
    rate
        Requests per second that the candidate was asked, where it was.
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
        "partial": evaluation.partial,
    }
    results = evaluation.results
    places = [place(result.gate, result.rule) if place is not None else (0, 0) for result in results]
    return Checklist(
        command,
        words.subject(evaluation),
        evaluation.status,
        words.summary(evaluation),
        tuple(_check(result, *spot) for result, spot in zip(results, places, strict=True)),
        file=policy,
        started=evaluation.started,
        seconds=evaluation.seconds,
        figures=(*(found for result in results for found in _figures(result)), *_load(results, rate)),
        properties=tuple((name, value) for name, value in ids.items() if value),
    )


def _check(result: GateResult, line: int, column: int) -> Check:
    measured = words.measured(result)
    return Check(
        result.gate,
        result.rule,
        result.status,
        result.reason,
        line=line,
        column=column,
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


def _load(results: Sequence[GateResult], rate: float | None) -> list[Figure]:
    """What the load of the latency budget showed of both arms; nothing where none was sent."""
    found = []
    for result in results:
        if result.gate != "latency":
            continue
        for exhibit in result.exhibits:
            if isinstance(exhibit, Curves) and exhibit.x.startswith("nines"):
                found += [figure for series in exhibit.series for figure in _quantiles(series)]
        if result.rule == "errors":
            for arm, seen in (("candidate", result.measured), ("champion", result.champion)):
                if seen is not None and seen.value is not None and seen.n:
                    labels = (("arm", arm),)
                    found.append(Figure("mlship_load_requests", seen.n, labels))
                    found.append(Figure("mlship_load_failed_share", seen.value, labels))
                    if rate is not None:
                        found.append(Figure("mlship_load_requests_per_second", rate, labels))
    return found


def _quantiles(series: Series) -> list[Figure]:
    """Seconds within which a share of the requests was answered, read off a curve over its nines, in milliseconds."""
    found = []
    for share in (0.5, 0.9, 0.95, 0.99):
        at = -math.log10(1 - share)
        for (x0, y0), (x1, y1) in pairwise(zip(series.x, series.y, strict=True)):
            if x0 <= at <= x1 and x1 > x0:
                value = (y0 + (y1 - y0) * (at - x0) / (x1 - x0)) / 1000
                found.append(Figure("mlship_load_seconds", value, (("arm", series.name), ("quantile", f"{share:g}"))))
                break
    return found
