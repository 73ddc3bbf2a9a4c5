"""The evaluation as one JSON document, for machines; its shape is documented in `docs/reference/evaluation-json.md`."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite
from typing import Any

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
    }


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
    return value if value is not None and isfinite(value) else None
