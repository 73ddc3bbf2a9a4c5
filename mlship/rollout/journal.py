"""The journal of a rollout: one file of JSON lines, written before acting and after; everything carries on from it.

Kinds of records: `plan` (the first), `look` (nothing to do), `intent` (about to act), `outcome` (done), `note`. All but
`plan` and `note` carry the machine's state and the judge's evidence: the last of them is all that one needs to know.
Looks and intents also carry what the arms did since the look before (`window`), for those who watch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import StateError
from mlship.home import Home
from mlship.rollout import lines
from mlship.rollout.views import RolloutView, latest

if TYPE_CHECKING:  # `status` reads views of a journal, and needs none of these to start
    from mlship.rollout.judge import Evidence
    from mlship.rollout.plan import Plan
    from mlship.rollout.state import RolloutState
    from mlship.types import ArmWindow, Observation, Verdict

__all__ = ["Journal", "RolloutView", "Story", "begin", "current", "latest", "plan_document", "records", "story"]


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that is needed to carry a rollout on."""

    plan: Plan
    state: RolloutState
    evidence: Evidence | None
    """None when it stopped before the first look."""


class Journal:
    """One rollout's journal, open for appending. Nobody but the holder of the model's lock writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def append(self, kind: str, at: float, *, sync: bool = True, **fields: Any) -> None:
        """Write one record; with `sync` it is on disk when this returns, without it it survives the process only.

        Raises ``StateError`` when the disk is full or the file is not writable.
        """
        document = json.dumps({"at": at, "kind": kind, **fields}, allow_nan=False, separators=(",", ":"))
        try:
            if self._descriptor is None:
                self._descriptor = self._open()
            data = lines.seal(document.encode("ascii"))
            while data:  # a short write is finished, or fails with the reason
                data = data[os.write(self._descriptor, data) :]
            if sync:
                os.fsync(self._descriptor)
        except OSError as error:
            raise lines.unusable(self.path, error) from error

    def look(  # a record is its fields
        self,
        kind: str,
        at: float,
        verdict: Verdict,
        state: RolloutState,
        evidence: Evidence,
        *,
        sync: bool = True,
        observation: Observation | None = None,
        **fields: Any,
    ) -> None:
        """Write a look or an intent, with everything that is needed to carry on, and what was observed meanwhile."""
        from mlship.rollout import judge
        from mlship.rollout import state as states

        if observation is not None:
            fields["window"] = window(observation)
        self.append(
            kind,
            at,
            sync=sync,
            verdict=verdict.kind.value,
            reason=verdict.reason,
            shares=verdict.shares,
            state=states.to_json(state),
            evidence=judge.to_json(evidence),
            **fields,
        )

    def sync(self) -> None:
        """Bring everything written so far to disk."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        tail = lines.tail(self.path)
        if tail and lines.parse(tail):  # only its end is missing
            os.write(descriptor, b"\n")
        elif tail:  # a crash has cut this line short; what else cannot be read later on was damaged by other hands
            os.ftruncate(descriptor, os.fstat(descriptor).st_size - len(tail))
        return descriptor


def begin(home: Home, plan: Plan, at: float) -> Journal:
    """A new rollout's journal: the plan is on disk, and the `current` pointer names it, when this returns."""
    from mlship.rollout import plan as plans

    directory = home.ensure(home.rollouts(plan.model))
    journal = Journal(directory / f"{plan.rollout_id}.jsonl")
    journal.append("plan", at, plan=plans.to_json(plan))
    pointer = directory / "current"
    fresh = pointer.with_suffix(".new")
    try:
        fresh.write_text(plan.rollout_id + "\n", encoding="ascii")
        fresh.replace(pointer)
    except OSError as error:
        raise lines.unusable(pointer, error) from error
    return journal


def current(home: Home, model: str) -> Journal | None:
    """The journal of the model's latest rollout; None when there was none."""
    path = lines.latest(home, model)
    return Journal(path) if path is not None else None


def story(journal: Journal) -> Story:
    """What the journal knows, for carrying on.

    A line that a crash has cut short is passed over. Raises ``StateError`` when the first record is not a plan, or
    was written by another version of mlship, or when the latest record was damaged: it may have been the verdict.
    """
    from mlship.rollout import judge
    from mlship.rollout import plan as plans
    from mlship.rollout import state as states

    document, (last, damaged) = lines.plan(journal.path), lines.last(journal.path)
    tail = lines.tail(journal.path)
    if damaged > (bool(tail) and lines.parse(tail) is None):
        raise StateError(
            "the journal of the latest rollout is damaged: its latest record cannot be read",
            where=str(journal.path),
            hint="move it and `current` beside it away; the traffic stays as it is, and `mlship status` shows it",
        )
    try:
        plan = plans.from_json(document)
        if last is None:
            return Story(plan, states.RolloutState(), None)
        return Story(plan, states.from_json(last["state"]), judge.from_json(last["evidence"]))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise StateError(
            "the journal of the latest rollout is damaged, or another version of mlship has written it "
            f"({type(error).__name__}: {error})",
            where=str(journal.path),
            hint="carry on with that version; or move it and `current` beside it away: the traffic stays as it is",
        ) from error


def records(journal: Journal) -> Iterator[dict[str, Any]]:
    """Every record that can be read, oldest first."""
    return lines.records(journal.path)


def plan_document(journal: Journal) -> dict[str, Any]:
    """The plan of a rollout, as it was written down.

    Raises ``StateError`` when the first record is not a plan.
    """
    return lines.plan(journal.path)


def window(observation: Observation) -> dict[str, Any]:
    """What one look saw, as a record keeps it; an arm is
    [requests, errors, timeouts, [[bucket, requests], ...], refused], without the last where none were refused."""
    document: dict[str, Any] = {
        "seconds": round(observation.ended - observation.started, 3),
        "stable": _arm(observation.stable),
        "canary": _arm(observation.canary),
    }
    if observation.missing:
        document["missing"] = list(observation.missing)
    if observation.users:
        document["users"] = True
    return document


def _arm(arm: ArmWindow) -> list[Any]:
    counts = [[bucket, count] for bucket, count in enumerate(arm.latency) if count]
    return [arm.requests, arm.errors, arm.timeouts, counts, *([arm.refused] if arm.refused else [])]
