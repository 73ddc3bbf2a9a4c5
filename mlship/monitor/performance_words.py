"""What is said of a figure of live performance: how far, since when, on how many labels, and what it was. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from mlship.monitor.limits import VALUE, Asked
from mlship.monitor.words import day
from mlship.policy.monitor import Monitor
from mlship.report.figures import count, number, share
from mlship.types.monitoring import Baseline, Finding


@dataclass(frozen=True, slots=True)
class Told:
    """A finding, and what it rests on."""

    finding: Finding
    asked: Asked
    rows: int
    """Of the period."""
    labelled: int
    until: float | None
    """End of its last day; None: there is none."""
    spread: bool
    """Whether it is known how the figure varies from day to day."""
    why: str = ""
    """Why an estimate may, or may not, be believed."""


def realised(told: Told, baseline: Baseline, monitor: Monitor) -> str:
    """One sentence about a figure of labelled rows."""
    if told.finding.value is None:
        return f"{_name(told)} is not known: {_no_labels(told, monitor)}"
    since = told.finding.since
    when = f"since {day(since, monitor.zone)}" if since is not None else _last(told, monitor)
    said = f"{_name(told)} is {_figure(told.finding)} {when}, {_verdict(told)} ({_basis(told, baseline)})"
    if not told.spread:
        said += "; how it varies from day to day is not known yet, so nothing is held beyond chance"
    return said


def estimated(told: Told, monitor: Monitor) -> str:
    """One sentence about an estimate, or why there is none."""
    finding = told.finding
    if finding.value is None:
        return f"{_name(told)} is not estimated: {told.why or _no_labels(told, monitor)}"
    if told.labelled:
        why = told.why or "all labels are there"
        return f"{_name(told)} is not estimated: {why}; realised {number(finding.value)}, {_verdict(told)}"
    since = f"since {day(finding.since, monitor.zone)}" if finding.since is not None else "of the days without labels"
    then = f"; it was {number(finding.expected)} in the evaluation" if finding.expected is not None else ""
    rows = f"{count(told.rows)} rows{then}"
    return f"{_name(told)} is estimated at {_figure(finding)} {since}, {_verdict(told)} ({rows}; {told.why})"


def _name(told: Told) -> str:
    return "value per 1,000 predictions" if told.asked.metric == VALUE else told.asked.subject


def _figure(finding: Finding) -> str:
    if finding.low is None or finding.high is None:
        return number(finding.value)
    return f"{number(finding.value)} [{number(finding.low)}, {number(finding.high)}]"


def _verdict(told: Told) -> str:
    side = "above" if told.asked.sign > 0 else "below"
    bound = number(told.asked.bound)
    return f"{side} the limit of {bound}" if told.asked.over(told.finding.value) else f"within the limit of {bound}"


def _basis(told: Told, baseline: Baseline) -> str:
    labels = f"{count(told.labelled)} labelled rows, {share(told.labelled / told.rows if told.rows else None)} of all"
    then = baseline.performance.get(told.asked.metric)
    if then is None:
        return labels
    return f"{labels}; it was {number(then.value)} in the evaluation"


def _last(told: Told, monitor: Monitor) -> str:
    return (
        "in the last days with labels" if told.until is None else f"in the days until {day(told.until, monitor.zone)}"
    )


def _no_labels(told: Told, monitor: Monitor) -> str:
    if told.until is None:
        return "no day has all its labels yet" if monitor.delay else "no labels have come"
    return "the labels that came are too few for it"
