"""What of a model is overdue: its review, a newer version, a pass of the monitor, an approval, a training. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from mlship.estate.known import Known
from mlship.policy.schema import Policy
from mlship.report.figures import things
from mlship.report.times import span
from mlship.types.estate import ModelSeen, Overdue

#: The monitor is late when it was not run for so many windows, and for at least so many seconds.
WINDOWS, LATE = 3, 3600.0
#: Seconds from a retraining that was asked for to the new version: longer is overdue.
TRAINING = 86400.0


def overdue(seen: ModelSeen, known: Known, policy: Policy | None, now: float) -> tuple[Overdue, ...]:
    """Everything that should have happened by now."""

    def due(kind: Any, sentence: str, since: float | None) -> Overdue:
        return Overdue(seen.model, kind, sentence, since, seen.team, seen.contact)

    found: list[Overdue] = []
    if policy is not None and policy.owner.review_by is not None:
        found += _review(policy.owner.review_by, now, due)
    if policy is not None and policy.monitor is not None and seen.champion is not None:
        found += _age(seen, policy.monitor.max_age, now, due)
        found += _monitor(seen, policy.monitor.window, now, due)
    view = (known.running or {}).get("rollout")
    if isinstance(view, Mapping):
        found += _waiting(view, seen.model, due)
    found += _training(known, now, due)
    return tuple(found)


def _review(by: date, now: float, due: Any) -> list[Overdue]:
    left = (by - datetime.fromtimestamp(now, UTC).date()).days
    if left >= 0:
        return []
    since = datetime(by.year, by.month, by.day, tzinfo=UTC).timestamp()
    said = f"the review was due on {by.isoformat()}, {things(-left, 'day')} ago: review the model, then move the date"
    return [due("review", said, since)]


def _age(seen: ModelSeen, most: float | None, now: float, due: Any) -> list[Overdue]:
    if most is None or seen.age is None or now - seen.age <= most:
        return []
    old, allowed = span(now - seen.age), span(most)
    said = f"version {seen.champion} is {old} old, and may be {allowed} (monitor.max_age): train a new one"
    return [due("age", said, seen.age + most)]


def _monitor(seen: ModelSeen, window: float, now: float, due: Any) -> list[Overdue]:
    allowed = max(WINDOWS * window, LATE)
    if seen.looked is None:
        said = f"nobody watches it: `mlship monitor {seen.policy}` has never been run here"
        return [due("monitor", said, seen.promoted)]
    if now - seen.looked <= allowed:
        return []
    quiet, windows = span(now - seen.looked), span(window)
    said = f"not watched for {quiet}, with windows of {windows}: is what runs `mlship monitor {seen.policy}` dead?"
    return [due("monitor", said, seen.looked + allowed)]


def _waiting(view: Mapping[str, Any], model: str, due: Any) -> list[Overdue]:
    """An approval that somebody has to give, or a pause that somebody has to end."""
    of = f"the rollout of version {view.get('candidate_version')}"
    at = view.get("at")
    since = float(at) if isinstance(at, int | float) else None
    if view.get("phase") == "paused":
        return [
            due("paused", f"{of} is paused: `mlship resume {model}` goes on, `mlship abort {model}` ends it", since)
        ]
    if view.get("phase") == "stepping" and view.get("kind") == "approve":
        return [due("approval", f"{of} waits for an approval: `mlship promote {model}` gives it", None)]
    return []


def _training(known: Known, now: float, due: Any) -> list[Overdue]:
    """A training that was asked for, and no version has come of it."""
    kept = known.watched
    newest = known.registered.newest_at if known.registered else None
    if kept.refused:
        return [due("retraining", f"no retraining could be started: {kept.refused}", None)]
    if kept.asked is None or now - kept.asked <= TRAINING or not known.reached:
        return []
    if newest is not None and newest > kept.asked:
        return []
    said = f"a retraining was asked for {span(now - kept.asked)} ago, and no version has been registered since"
    return [due("retraining", said, kept.asked + TRAINING)]
