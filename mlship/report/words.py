"""The phrases that all reports share: what was judged, what came out, and how one result's figures are written."""

from __future__ import annotations

from collections.abc import Sequence

from mlship.report import figures
from mlship.types import SEVERITY, Evaluation, GateResult, Measurement, Status

MARKS = {
    Status.PASSED: "✓",
    Status.FAILED: "✗",
    Status.INCONCLUSIVE: "?",
    Status.ERROR: "!",
    Status.SKIPPED: "-",
}


def worst_first(results: Sequence[GateResult]) -> list[GateResult]:
    """Failed, error, inconclusive, passed, skipped; in the order of the policy within each."""
    order = [status for status in reversed(SEVERITY) if status is not Status.SKIPPED] + [Status.SKIPPED]
    return sorted(results, key=lambda result: order.index(result.status))


def subject(evaluation: Evaluation) -> str:
    """Which version was judged, and against which: `flight-delay 2 (champion 1)`."""
    champion = evaluation.candidate.champion
    against = f"champion {champion.version}" if champion else "no champion yet"
    return f"{evaluation.candidate.model} {evaluation.candidate.version.version} ({against})"


def summary(evaluation: Evaluation) -> str:
    """The verdict in one line, with what decided it: `FAILED  flight-delay 3 (champion 1): 1 of 9 rules failed: ...`"""
    return f"{evaluation.status.upper()}  {subject(evaluation)}: {outcome(evaluation)}"


def outcome(evaluation: Evaluation) -> str:
    """What decided the verdict: `1 of 9 rules failed, 2 skipped: leakage unavailable`."""
    results = evaluation.results
    status = evaluation.status
    same = [result for result in results if result.status is status]
    judged = [result for result in results if result.status is not Status.SKIPPED]
    skipped = len(results) - len(judged)
    besides = f", {skipped} skipped" if skipped else ""
    if status is Status.PASSED:
        return f"all {figures.things(len(judged), 'rule')} passed{besides}"
    word = {Status.ERROR: "could not be judged"}.get(status, str(status))
    named = [f"{result.gate} {result.rule}" for result in same]
    what = f"{len(same)} of {figures.things(len(judged), 'rule')}" if judged else "no rule was judged; nothing"
    return f"{what} {word}{besides}: {figures.listed(named)}" if same else f"{what} was measured"


def aside(evaluation: Evaluation) -> str:
    """What a reader must know of a partial evaluation; empty for a full one."""
    return f"This evaluation lets nobody onto traffic: {evaluation.partial}." if evaluation.partial else ""


def measured(result: GateResult) -> str:
    """The value with its interval, in the unit of the limit: `0.763 [0.751, 0.775]`."""
    found = result.measured
    if found is None or found.value is None:
        return "-"
    ends = f" [{_figure(found.low, result)}, {_figure(found.high, result)}]" if found.low is not None else ""
    return f"{_figure(found.value, result)}{ends}"


def champion(result: GateResult) -> str:
    """The champion's value, in the unit of the limit."""
    return _figure(_value(result.champion), result)


def _value(found: Measurement | None) -> float | None:
    return found.value if found else None


def _figure(value: float | None, result: GateResult) -> str:
    as_share = "%" in result.limit or (result.measured is not None and "share" in result.measured.metric)
    return figures.share(value) if as_share else figures.number(value)
