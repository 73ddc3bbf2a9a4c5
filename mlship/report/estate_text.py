"""Every model as text, Markdown, JSON and a checklist; what is overdue by whose it is. Pure."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import Any

from mlship.exhibits import Table
from mlship.report import blocks, cells, grids
from mlship.report import estate_words as words
from mlship.report.checklist import Check, Checklist, Figure
from mlship.report.markdown import MARKS as COMMENT_MARKS
from mlship.report.monitor_json import finite, incident
from mlship.report.monitor_text import wrapped
from mlship.report.monitor_words import incident as stands
from mlship.report.monitor_words import subject
from mlship.report.times import iso
from mlship.report.words import MARKS
from mlship.types import Status
from mlship.types.estate import Estate, ModelSeen
from mlship.types.monitoring import Incident

_WIDTH, _NARROWEST, _WHOLE = 118, 60, 100_000
_HEAD = (
    "",
    "model",
    "state",
    "champion",
    "age",
    "nearest to its limit",
    "watched",
    "owner",
    "review by",
    "last verdict",
)
#: Names of models without a policy that text shows.
_NAMES = 40


def text(estate: Estate, columns: int | None = None) -> str:
    """For a terminal; `columns` is its width, None: each row of the table is whole, so that grep sees all of it."""
    width = _WIDTH if columns is None else max(_NARROWEST, min(_WIDTH, columns))
    lines = [cells.plain(words.summary(estate))] if columns is None else wrapped(words.summary(estate), width, "")
    for fault in estate.faults:
        lines += [*wrapped(fault, width, "! ", "  ")]
    if estate.models:
        rows = tuple(tuple(row) for row in _rows(estate, MARKS))
        lines += ["", *grids.lines(Table("models", _HEAD, rows), _WHOLE if columns is None else width, len(rows))[1:]]
    for team, found in groupby(estate.overdue, key=words.whose):
        lines += ["", *wrapped(f"overdue, of {team}", width, "")]
        lines += [
            line for one in found for line in wrapped(f"{one.model}: {words.overdue(one)}", width, "  ", "      ")
        ]
    if estate.incidents:
        lines += ["", "open incidents"]
    for each in estate.incidents:
        lines += wrapped(_incident(each), width, "  ✗ ", "      ")
        lines += wrapped(stands(each), width, "      ")
    lines += _listed("orphans", [words.orphan(one) for one in estate.orphans], width)
    lines += _listed("policies that are broken", [f"{one.path}: {one.fault}" for one in estate.broken], width)
    if estate.without:
        names = ", ".join(estate.without[:_NAMES])
        more = f" and {len(estate.without) - _NAMES} more" if len(estate.without) > _NAMES else ""
        lines += ["", *wrapped(f"registered, without a policy: {names}{more}", width, "", "  ")]
    return "\n".join(lines)


def markdown(estate: Estate) -> str:
    """For a job's summary, an issue, a chat."""
    rows = _rows(estate, COMMENT_MARKS)
    due = [(words.whose(one), one.model, words.overdue(one)) for one in estate.overdue]
    open_ones = [(one.model, subject(one.kind, one.subject), one.sentence, stands(one)) for one in estate.incidents]
    return blocks.joined(
        blocks.heading(words.verdict(estate), "Models"),
        blocks.sentence(f"{words.summary(estate)}."),
        blocks.bullets([f"could not be read: {fault}" for fault in estate.faults]),
        blocks.table(_HEAD, rows),
        _titled("Overdue", blocks.table(("whose", "model", "what"), due)),
        _titled("Open incidents", blocks.table(("model", "subject", "what", "when"), open_ones)),
        _titled("Orphans", blocks.bullets([words.orphan(one) for one in estate.orphans])),
        _titled("Broken policies", blocks.bullets([f"{one.path}: {one.fault}" for one in estate.broken])),
        blocks.sentence(f"Registered, without a policy: {', '.join(estate.without)}." if estate.without else ""),
    )


def document(estate: Estate) -> dict[str, Any]:
    """As JSON says it; times are Unix seconds, `time` is text. Fields are only ever added to."""
    found: dict[str, Any] = finite(
        {
            "at": estate.at,
            "time": iso(estate.at),
            "summary": words.summary(estate),
            "whole": not estate.faults,
            "faults": estate.faults,
            "registries": [asdict(one) | {"fault": one.fault or None} for one in estate.registries],
            "models": [_model(one) for one in estate.models],
            "overdue": [asdict(one) for one in estate.overdue],
            "incidents": [{"model": one.model, **incident(one)} for one in estate.incidents],
            "orphans": [asdict(one) | {"policy": one.policy or None} for one in estate.orphans],
            "without_policy": estate.without,
            "broken_policies": [{"path": one.path, "fault": one.fault} for one in estate.broken],
        }
    )
    return found


def checklist(estate: Estate, *, strict: bool = False) -> Checklist:
    """A check for each model that is fine, and for each thing that is open, overdue or missing: failed with `strict`,
    else a warning.
    """
    waits = Status.FAILED if strict else Status.PASSED
    checks = [Check(one.model, "model", Status.PASSED, _fine(one)) for one in estate.models if _is_fine(one)]
    checks += [
        Check(one.model, one.kind, waits, words.overdue(one), words.whose(one), warning=True) for one in estate.overdue
    ]
    checks += [
        Check(
            one.model, f"{subject(one.kind, one.subject)} incident", waits, one.sentence, warning=True, kind="incident"
        )
        for one in estate.incidents
    ]
    checks += [Check(one.model, one.kind, waits, one.sentence, file=one.policy, warning=True) for one in estate.orphans]
    checks += [
        Check("policies", one.path, waits, one.fault, f"mlship validate {one.path}", file=one.path, warning=True)
        for one in estate.broken
    ]
    checks += [Check("read", "fault", Status.ERROR, fault, kind="fault") for fault in estate.faults]
    figures = (
        Figure("mlship_models", len(estate.models)),
        Figure("mlship_incidents_open", len(estate.incidents)),
        Figure("mlship_overdue", len(estate.overdue)),
        Figure("mlship_orphans", len(estate.orphans)),
    )
    status = words.status(estate, strict=strict)
    return Checklist(
        "status", "all models", status, words.summary(estate), tuple(checks), started=estate.at, figures=figures
    )


def outputs(estate: Estate) -> dict[str, str]:
    """What a step of a GitHub workflow may read."""
    return {"incidents": str(len(estate.incidents)), "overdue": str(len(estate.overdue))}


def _rows(estate: Estate, marks: Any) -> list[list[str]]:
    now = estate.at
    return [
        [
            marks[words.state(one)],
            one.model,
            words.word(one),
            words.champion(one),
            words.age(one, now),
            words.drift(one),
            words.looked(one, now),
            words.owner(one),
            one.review_by or "-",
            words.decided(one, now),
        ]
        for one in estate.models
    ]


def _model(one: ModelSeen) -> dict[str, Any]:
    return {
        "model": one.model,
        "policy": one.policy or None,
        "other_policies": one.others,
        "team": one.team or None,
        "contact": one.contact or None,
        "runbook": one.runbook or None,
        "review_by": one.review_by or None,
        "registry": one.registry or None,
        "registered": one.registered,
        "champion": one.champion,
        "champion_told_by": one.told_by or None,
        "champion_registered_at": one.made,
        "champion_promoted_at": one.promoted,
        "serving": one.serving,
        "endpoint": one.endpoint or None,
        "rollout": one.rollout or None,
        "verdict": None if one.verdict is None else asdict(one.verdict),
        "state": words.word(one),
        "monitored": one.monitored,
        "looked_at": one.looked,
        "looked_verdict": one.looked_verdict or None,
        "looked_summary": one.looked_summary or None,
        "worst": None
        if one.worst is None
        else {
            "kind": one.worst.kind,
            "subject": one.worst.subject,
            "figure": one.worst.what,
            "value": one.worst.value,
            "limit": one.worst.limit,
            "of_limit": one.strain,
            "breach": one.worst.breach,
            "sentence": one.worst.sentence,
        },
        "incidents": [incident(each) for each in one.incidents],
        "overdue": [each.kind for each in one.overdue],
        "orphan": one.orphan.kind if one.orphan else None,
        "troubles": [asdict(each) for each in one.troubles],
        "drift_over_time": None if one.drift is None else asdict(one.drift),
        "performance_over_time": None if one.performance is None else asdict(one.performance),
        "fault": one.fault or None,
    }


def _is_fine(one: ModelSeen) -> bool:
    return words.state(one) is Status.PASSED


def _fine(one: ModelSeen) -> str:
    return f"champion {words.champion(one)}, of {words.owner(one)}; {words.drift(one)}"


def _incident(one: Incident) -> str:
    return f"{one.model} {one.version}, {subject(one.kind, one.subject)}: {one.sentence}"


def _titled(title: str, block: str) -> str:
    return f"**{title}**\n\n{block}" if block else ""


def _listed(title: str, lines: list[str], width: int) -> list[str]:
    return ["", title, *(line for one in lines for line in wrapped(one, width, "  - ", "    "))] if lines else []
