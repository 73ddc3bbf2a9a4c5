"""What a drill showed, for a job's summary and as checks; written from its JSON document."""

from __future__ import annotations

from typing import Any

from mlship.report import blocks
from mlship.report.checklist import Check, Checklist, Figure
from mlship.types import Status


def markdown(document: dict[str, Any], status: Status) -> str:
    """The verdict first, then what callers got before, during and after."""
    rows = [
        (name, f"{phase['requests']:,}", f"{phase['failed']:,}", _ms(phase["p50_ms"]), _ms(phase["slowest_ms"]))
        for name, phase in document["phases"].items()
    ]
    return blocks.joined(
        blocks.heading(status, f"{document['model']}: drill {status}"),
        blocks.sentence(document["reason"]),
        blocks.sentence(f"Promised: {document['promise']} (fallback: {document['fallback']})."),
        blocks.table(("", "requests", "failed", "p50", "slowest"), rows),
    )


def checklist(document: dict[str, Any], status: Status, policy: str) -> Checklist:
    """One check: whether callers got what the policy promises."""
    figures = [
        Figure("mlship_drill_requests", phase[what], (("phase", name), ("what", what)))
        for name, phase in document["phases"].items()
        for what in ("requests", "failed")
    ]
    if document["recovered_seconds"] is not None:
        figures.append(Figure("mlship_drill_recovered_seconds", document["recovered_seconds"]))
    check = Check("drill", "promise", status, document["reason"], limit=document["promise"])
    ids = tuple((name, str(document[name])) for name in ("model", "arm", "fault", "fallback"))
    title = f"{document['model']} {document['fault']} {document['arm']}"
    return Checklist(
        "drill", title, status, document["reason"], (check,), file=policy, figures=tuple(figures), properties=ids
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
