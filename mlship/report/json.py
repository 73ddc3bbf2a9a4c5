"""The evaluation as one JSON document, for machines; its shape is documented in `docs/reference/evaluation-json.md`."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite
from typing import Any

from mlship.exhibits import Cell, Curves, Exhibit, Heat, Series, Table
from mlship.report.cells import builtin
from mlship.report.words import summary, worst_first
from mlship.types import Evaluation, GateResult, Measurement, ModelVersion


def render(evaluation: Evaluation) -> dict[str, Any]:
    """The document; fields are only ever added to it. A number that is not finite is null."""
    candidate = evaluation.candidate
    return {
        "evaluation_id": evaluation.id,
        "model": candidate.model,
        "status": str(evaluation.status),
        "summary": summary(evaluation),
        "candidate": _version(candidate.version),
        "champion": _version(candidate.champion) if candidate.champion else None,
        "policy_digest": evaluation.policy_digest,
        "data_digest": evaluation.data_digest or None,
        "reference_digest": evaluation.reference_digest,
        "recent_digest": evaluation.recent_digest,
        "partial": evaluation.partial or None,
        "run_id": evaluation.run_id,
        "started_at": datetime.fromtimestamp(evaluation.started, UTC).isoformat(timespec="milliseconds"),
        "who": evaluation.who or None,
        "seconds": round(evaluation.seconds, 3),
        "results": [_result(result) for result in worst_first(evaluation.results)],
    }


def _version(version: ModelVersion) -> dict[str, Any]:
    return {"version": version.version, "digest": version.digest, "run_id": version.run_id}


def _result(result: GateResult) -> dict[str, Any]:
    return {
        "gate": result.gate,
        "rule": result.rule,
        "status": str(result.status),
        "limit": result.limit,
        "measured": _measurement(result.measured),
        "champion": _measurement(result.champion),
        "reason": result.reason,
        "exhibits": [_exhibit(exhibit) for exhibit in result.exhibits],
    }


def _exhibit(exhibit: Exhibit) -> dict[str, Any]:
    """What a report shows beside the figures, with its kind."""
    match exhibit:
        case Table():
            rows = [[_cell(value) for value in row] for row in exhibit.rows]
            said = {"columns": list(exhibit.columns), "rows": rows, "shares": list(exhibit.shares)}
        case Curves():
            marked = exhibit.marked and {"at": _finite(exhibit.marked[0]), "name": exhibit.marked[1]}
            series = [_series(each) for each in exhibit.series]
            said = {"x": exhibit.x, "y": exhibit.y, "series": series, "diagonal": exhibit.diagonal, "marked": marked}
        case Heat():
            values = [list(map(_finite, row)) for row in exhibit.values]
            said = {"x": list(exhibit.x), "y": list(exhibit.y), "values": values}
            said |= {"limit": _finite(exhibit.limit), "shares": exhibit.shares}
    return {"kind": type(exhibit).__name__.lower(), "title": exhibit.title, "note": exhibit.note, **said}


def _cell(value: Cell) -> Cell:
    value = builtin(value)
    return _finite(value) if isinstance(value, float) else value


def _series(series: Series) -> dict[str, Any]:
    lines = {"x": series.x, "y": series.y, "low": series.low, "high": series.high}
    return {"name": series.name, **{key: list(map(_finite, line)) for key, line in lines.items()}}


def _measurement(found: Measurement | None) -> dict[str, Any] | None:
    if found is None:
        return None
    interval = None if found.low is None or found.high is None else [_finite(found.low), _finite(found.high)]
    return {
        "metric": found.metric,
        "value": _finite(found.value),
        "interval": interval,
        "n": found.n,
        "source": found.source,
        "reason": found.reason,
    }


def _finite(value: float | None) -> float | None:
    """JSON has no nan, no infinity and no numbers of numpy."""
    if value is None or not isfinite(value):
        return None
    return float(value)
