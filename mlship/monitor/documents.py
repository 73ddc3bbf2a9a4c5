"""Tallies, findings, incidents and deliveries as JSON documents, and back; light, for `mlship status` reads them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from mlship.monitor.acting.delivery import Delivery
from mlship.types.monitoring import Finding, Incident, IncidentEvent, Labelled, Tally, Trouble


def dumps(document: Any) -> str:
    """Compact JSON in ASCII; numbers that are none (NaN) are kept as Python writes them."""
    return json.dumps(document, separators=(",", ":"))


def of(value: Finding | Incident | IncidentEvent | Delivery | Trouble) -> dict[str, Any]:
    """A document that the function of the value's name reads back as an equal value."""
    return asdict(value)


def of_tally(value: Tally) -> dict[str, Any]:
    """One window as a document; `asdict` would look at every single count, of which a pass has millions."""
    return {
        "start": value.start,
        "seconds": value.seconds,
        "rows": value.rows,
        "features": dict(value.features),
        "answers": value.answers,
        "scores": value.scores,
        "labelled": None if value.labelled is None else _of_labelled(value.labelled),
        "slice": value.slice,
        "sampled": value.sampled,
    }


def tally(document: dict[str, Any]) -> Tally:
    """One window."""
    labelled, answers, scores = document["labelled"], document["answers"], document["scores"]
    return Tally(
        **{
            **document,
            "features": {name: tuple(counts) for name, counts in document["features"].items()},
            "answers": None if answers is None else tuple(answers),
            "scores": None if scores is None else tuple(scores),
            "labelled": None if labelled is None else _labelled(labelled),
        }
    )


def finding(document: dict[str, Any]) -> Finding:
    """One finding."""
    return Finding(**document)


def incident(document: dict[str, Any]) -> Incident:
    """One incident."""
    return Incident(**document)


def event(document: dict[str, Any]) -> IncidentEvent:
    """One event, with its incident as it was then."""
    return IncidentEvent(**{**document, "incident": incident(document["incident"])})


def delivery(document: dict[str, Any]) -> Delivery:
    """One delivery."""
    return Delivery(**document)


def trouble(document: dict[str, Any]) -> Trouble:
    """One trouble."""
    return Trouble(**document)


def _of_labelled(value: Labelled) -> dict[str, Any]:
    return {"rows": value.rows, "scored": value.scored, "answered": value.answered, "errors": value.errors}


def _labelled(document: dict[str, Any]) -> Labelled:
    rows, total, absolute, squared = document["errors"]
    return Labelled(
        document["rows"],
        tuple(tuple(counts) for counts in document["scored"]),
        tuple(tuple(counts) for counts in document["answered"]),
        (rows, total, absolute, squared),
    )
