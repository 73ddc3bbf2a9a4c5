"""What the monitor remembers of a model here, read from its store; nothing is changed, and no registry is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlship.errors import MlshipError
from mlship.estate.known import Watched
from mlship.home import Home
from mlship.monitor import store
from mlship.monitor.acting.delivery import Delivery
from mlship.types.estate import Trace

#: The document of the store that holds figures by day: `{name: {"at": [...], "value": [...], "limit": ...}}`, such as
#: `drift` (the PSI of the predictions) and `performance`; `report.monitor_json.traces` makes it of a pass.
TRACES = "traces"
#: The document of the store that holds the path of the policy that the last pass ran by.
POLICY = "policy"
#: Resolved incidents that are told.
_PAST = 20


def watched(home: Home, model: str) -> Watched:
    """All of it; a fault where the file cannot be read."""
    try:
        kept = store.reading(home, model)
        if kept is None:
            return Watched()
        with kept:
            last, champion, traces = kept.last(), kept.champion(), kept.memory(TRACES)
            asked, refused = _training(kept.deliveries())
            return Watched(
                at=last.at if last else None,
                verdict=last.verdict if last else "",
                summary=last.summary if last else "",
                findings=kept.findings(),
                open=kept.open(),
                past=kept.past(_PAST),
                troubles=kept.troubles(),
                champion=champion.version if champion else None,
                since=champion.since if champion else None,
                asked=asked,
                refused=refused,
                drift=_trace(traces, "drift"),
                performance=_trace(traces, "performance"),
            )
    except MlshipError as error:
        return Watched(fault=str(error))


def policy(home: Home, model: str) -> str:
    """Path of the policy that the last pass ran by; empty when there was none, or it cannot be told."""
    try:
        kept = store.reading(home, model)
        if kept is None:
            return ""
        with kept:
            found = kept.memory(POLICY)
            return found if isinstance(found, str) else ""
    except MlshipError:
        return ""


def _training(deliveries: Sequence[Delivery]) -> tuple[float | None, str]:
    """When a training was last taken; and what came of the last one, where it was given up since."""
    asked: float | None = None
    refused = ""
    for one in deliveries:
        if one.action != "retrain":
            continue
        if one.state == "done":
            asked, refused = one.ended or one.made, ""
        elif one.state == "failed":
            refused = one.said or "it was given up"
    return asked, refused


def _trace(document: Any, name: str) -> Trace | None:
    """One figure over time; None where it is not there, or is none."""
    found = document.get(name) if isinstance(document, Mapping) else None
    if not isinstance(found, Mapping):
        return None
    at, value, limit = found.get("at"), found.get("value"), found.get("limit")
    if not isinstance(at, list) or not isinstance(value, list) or len(at) != len(value) or not at:
        return None
    numbers = [float(one) for one in at if isinstance(one, int | float)]
    if len(numbers) != len(at):
        return None
    values = tuple(float(one) if isinstance(one, int | float) else None for one in value)
    bound = float(limit) if isinstance(limit, int | float) else None
    return Trace(str(found.get("name", name)), tuple(numbers), values, bound)
