"""One pass of `mlship monitor` as one JSON document; `docs/reference/json.md` tells the fields, only ever added to."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import Any

from mlship.report import monitor_words as words
from mlship.report.monitor_seen import ColumnSeen, FigureSeen, Line, Seen
from mlship.report.times import iso
from mlship.types.monitoring import Finding, Incident

#: Days that a trace has.
_DAYS = 56


def document(seen: Seen) -> dict[str, Any]:
    """JSON's own types only; a number that is not finite is null. Times are Unix seconds, `time` is text."""
    found: dict[str, Any] = finite(
        {
            "model": seen.model,
            "version": seen.version,
            "policy": seen.policy,
            "status": str(seen.status),
            "summary": words.summary(seen),
            "at": seen.at,
            "time": iso(seen.at),
            "before": seen.before,
            "since": seen.since,
            "until": seen.until,
            "windows": seen.windows,
            "judged_windows": seen.judged,
            "rows": seen.rows,
            "age_seconds": seen.age,
            "threshold": seen.threshold,
            "false_alarms": seen.false_alarms,
            "label_coverage": seen.coverage,
            "findings": [_finding(one) for one in words.findings(seen.findings)],
            "incidents": [incident(one) for one in seen.incidents],
            "events": [{"what": one.what, "at": one.at, "incident": one.incident.id} for one in seen.events],
            "troubles": [asdict(one) for one in seen.troubles],
            "features": [_column(one) for one in seen.features],
            "predictions": _column(seen.predictions),
            "scores": _column(seen.scores),
            "performance": [_figure(one) for one in seen.figures],
            "slices": [_figure(one) for one in seen.slices],
            "coverage_over_time": _line(seen.covered),
            "traffic_over_time": _line(seen.traffic),
            "sources": [asdict(one) for one in seen.sources],
            "baseline": _baseline(seen),
            "examples": [asdict(one) for one in seen.examples],
            "done": [asdict(one) for one in seen.done],
        }
    )
    return found


def incident(one: Incident) -> dict[str, Any]:
    """An incident, open or resolved."""
    return {
        "id": one.id,
        "kind": one.kind,
        "subject": one.subject,
        "version": one.version,
        "opened": one.opened,
        "since": one.since,
        "severity": one.worst,
        "sentence": one.sentence,
        "detail": one.detail or None,
        "quiet": one.quiet,
        "resolved": one.resolved,
    }


def traces(seen: Seen) -> dict[str, Any]:
    """Figures by day of the last weeks, for `mlship status --all`: the PSI of the predictions, and of the first metric
    that has a limit the realised values. The monitor keeps them as the document `traces` of its store.
    """
    limits = {one.subject: words.bound(one.limit) for one in seen.findings if one.what == "psi"}
    drift = seen.predictions or seen.scores
    figure = next((one for one in [*(f for f in seen.figures if f.limit), *seen.figures] if one.line), None)
    found: dict[str, Any] = {}
    if drift is not None and drift.line is not None:
        found["drift"] = _trace(f"PSI of {drift.name}", drift.line, limits.get(drift.name))
    if figure is not None and figure.line is not None:
        found["performance"] = _trace(figure.name, figure.line, words.bound(figure.limit))
    read: dict[str, Any] = finite(found)
    return read


def _trace(name: str, line: Line, limit: float | None) -> dict[str, Any]:
    return {"name": name, "at": line.at[-_DAYS:], "value": line.value[-_DAYS:], "limit": limit}


def finite(value: Any) -> Any:
    """The same with lists for tuples, and null for every number that is not finite."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, list | tuple) else value


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "subject": one.subject,
        "figure": one.what,
        "value": one.value,
        "low": one.low,
        "high": one.high,
        "limit": one.limit,
        "over": one.over,
        "evidence": one.evidence,
        "alarm": one.alarm,
        "breach": one.breach,
        "severity": one.severity,
        "since": one.since,
        "baseline": one.expected,
        "rows": one.n,
        "sentence": one.sentence,
    }


def _column(one: ColumnSeen | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "name": one.name,
        "kind": one.kind,
        "rows": one.rows,
        "psi": one.psi,
        "wasserstein": one.wasserstein,
        "missing": one.missing,
        "missing_baseline": one.missing_then,
        "unseen": one.unseen,
        "evidence": one.evidence,
        "since": one.since,
        "over": one.over,
        "breach": one.breach,
        "sentence": one.sentence or None,
        "shares": [{"bin": each.name, "baseline": each.then, "now": each.now} for each in one.shares],
        "over_time": _line(one.line),
    }


def _figure(one: FigureSeen) -> dict[str, Any]:
    return {
        "name": one.name,
        "limit": one.limit or None,
        "baseline": one.then,
        "realised": one.realised,
        "low": one.low,
        "high": one.high,
        "labels": one.rows,
        "estimated": one.estimated,
        "estimated_low": one.estimated_low,
        "estimated_high": one.estimated_high,
        "not_estimated": one.why_not or None,
        "evidence": one.evidence,
        "since": one.since,
        "breach": one.breach,
        "sentence": one.sentence or None,
        "over_time": _line(one.line),
        "estimated_over_time": _line(one.estimate),
    }


def _baseline(seen: Seen) -> dict[str, Any] | None:
    base = seen.baseline
    return None if base is None else {**asdict(base), "why_not": dict(base.why_not)}


def _line(line: Line | None) -> dict[str, Any] | None:
    return None if line is None else asdict(line)
