"""Every model as one HTML file that people keep open: a row each, what is overdue and whose, the incidents. Pure."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from mlship.report import estate_words as words
from mlship.report import figures
from mlship.report import monitor_words as told
from mlship.report.page import page
from mlship.report.spark import spark
from mlship.report.times import moment
from mlship.report.words import MARKS
from mlship.types import Status
from mlship.types.estate import Estate, ModelSeen, Trace
from mlship.types.monitoring import Incident

if TYPE_CHECKING:
    from markupsafe import Markup

#: What a sparkline of drift takes in, at least.
_USUAL = (0.0, 0.1)
_WORDS = {
    Status.PASSED: "in order",
    Status.FAILED: "incidents open",
    Status.ERROR: "not the whole picture",
    Status.INCONCLUSIVE: "overdue",
}


def render(estate: Estate) -> str:
    """The file's content."""
    anchors = {one.model: f"model-{number + 1}" for number, one in enumerate(estate.models)}
    status = words.verdict(estate)
    return page("estate.html").render(
        estate=estate,
        status=str(status),
        word=_WORDS[status],
        marks={str(one): mark for one, mark in MARKS.items()},
        summary=_sentence(words.summary(estate)),
        faults=estate.faults,
        facts=_facts(estate),
        rows=[_row(estate, one, anchors[one.model]) for one in _ordered(estate)],
        overdue=[
            (whose, [(one.model, anchors[one.model], words.DUE[one.kind], words.overdue(one)) for one in found])
            for whose, found in groupby(estate.overdue, key=words.whose)
        ],
        incidents=[_incident(one, anchors.get(one.model, "")) for one in estate.incidents],
        past=[_incident(one, anchors[model.model]) for model in estate.models for one in model.past],
        orphans=[(one.kind, words.orphan(one)) for one in estate.orphans],
    )


def _facts(estate: Estate) -> list[tuple[str, str]]:
    return [
        ("looked at", moment(estate.at)),
        ("models", figures.count(len(estate.models))),
        ("incidents", figures.count(len(estate.incidents))),
        ("overdue", figures.count(len(estate.overdue))),
        ("orphans", figures.count(len(estate.orphans))),
    ]


def _ordered(estate: Estate) -> list[ModelSeen]:
    """What asks for a person first; by name within."""
    order = (Status.FAILED, Status.ERROR, Status.INCONCLUSIVE, Status.PASSED)
    return sorted(estate.models, key=lambda one: (order.index(words.state(one)), one.model))


def _row(estate: Estate, one: ModelSeen, anchor: str) -> dict[str, Any]:
    now = estate.at
    return {
        "anchor": anchor,
        "status": str(words.state(one)),
        "word": words.word(one),
        "model": one.model,
        "policy": one.policy,
        "champion": words.champion(one),
        "age": words.age(one, now),
        "team": one.team or "nobody",
        "contact": one.contact,
        "review": one.review_by or "-",
        "late": [each.kind for each in one.overdue],
        "drift": words.drift(one),
        "beyond": one.worst is not None and one.worst.over,
        "spark": _spark(one.drift, around=_USUAL),
        "performance": _spark(one.performance),
        "performance_name": one.performance.name if one.performance else "",
        "verdict": words.decided(one, now),
        "verdict_status": one.verdict.status if one.verdict else "",
        "looked": words.looked(one, now),
        "serving": words.serving(one),
        "rollout": one.rollout,
        "fault": one.fault,
        "troubles": [f"{each.source}: {each.what}" for each in one.troubles],
    }


def _spark(trace: Trace | None, around: tuple[float, ...] = ()) -> Markup | str:
    return spark(trace.value, f"{trace.name} over the last weeks", trace.limit, around=around) if trace else ""


def _incident(one: Incident, anchor: str) -> dict[str, Any]:
    return {
        "model": one.model,
        "version": one.version,
        "anchor": anchor,
        "subject": told.subject(one.kind, one.subject),
        "sentence": one.sentence,
        "when": told.incident(one),
        "severity": one.worst,
    }


def _sentence(said: str) -> str:
    return f"{said[:1].upper()}{said[1:]}."
