"""What runs, for a job's summary and as checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlship.report import blocks
from mlship.report.checklist import Check, Checklist
from mlship.types import Status

Document = dict[str, Any]


def markdown(documents: list[Document], nothing: str, traffic: Callable[[Document], str]) -> str:
    """One section a model: what is wrong first, then who gets the traffic, then the servers."""
    if not documents:
        return blocks.sentence(nothing)
    return blocks.joined(*(_section(document, traffic) for document in documents))


def _section(document: Document, traffic: Callable[[Document], str]) -> str:
    view = document["rollout"]
    rollout = f"rollout of version {view['candidate_version']}: {view['reason']}" if view else ""
    servers = [
        (row["name"], row["version"], row["role"] or "-", row["state"], row["detail"]) for row in document["servers"]
    ]
    return blocks.joined(
        blocks.heading(_status(document), f"{document['model']} {document['endpoint'] or ''}"),
        blocks.sentence(_said(document, traffic)),
        blocks.sentence(rollout),
        blocks.table(("server", "version", "role", "state", ""), servers),
    )


def checklist(documents: list[Document], nothing: str, traffic: Callable[[Document], str]) -> Checklist:
    """One check a model, and a warning for each program of it that does not run."""
    checks = []
    for document in documents:
        checks.append(Check(document["model"], "serves", _status(document), _said(document, traffic)))
        for name, runs in document["programs"].items():
            if not runs and name != "router":
                text = f"the {name} does not run"
                checks.append(Check(document["model"], name, Status.PASSED, text, warning=True))
    faulty = [document["model"] for document in documents if document["fault"]]
    status = Status.ERROR if faulty else Status.PASSED
    models = ", ".join(document["model"] for document in documents)
    summary = f"not all of it could be read: {', '.join(faulty)}" if faulty else models or nothing
    return Checklist("status", models, status, summary, tuple(checks))


def _status(document: Document) -> Status:
    return Status.ERROR if document["fault"] else Status.PASSED


def _said(document: Document, traffic: Callable[[Document], str]) -> str:
    if document["fault"]:
        return str(document["fault"])
    return traffic(document) if document["endpoint"] else "nothing runs"
