"""The journal of a rollout: one file of JSON lines, written before acting and after; everything carries on from it.

Kinds of records: `plan` (the first), `look` (nothing to do), `intent` (about to act), `outcome` (done), `note`. All but
`plan` and `note` carry the machine's state and the judge's evidence: the last of them is all that one needs to know.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import StateError
from mlship.home import Home
from mlship.rollout import lock

if TYPE_CHECKING:  # `status` reads views of a journal, and needs none of these to start
    from mlship.rollout.judge import Evidence
    from mlship.rollout.plan import Plan
    from mlship.rollout.state import RolloutState
    from mlship.types import Verdict

#: Bytes of the end of a journal that hold its last records with certainty.
_TAIL = 256 * 1024


@dataclass(frozen=True, slots=True)
class RolloutView:
    """Where a rollout stands, as its journal tells it; for `status` and for people."""

    rollout_id: str
    model: str
    candidate_version: str
    champion_version: str | None
    phase: str
    """preparing | stepping | paused | promoting | rolling_back | done"""
    outcome: str | None
    """promoted | rolled_back | aborted | paused; None while it is open."""
    step: int
    """Index of the present step."""
    steps: int
    weight: float
    """The canary's share that is wanted now."""
    reason: str
    """The sentence of the last look."""
    at: float
    """Unix time of the last record."""
    running: bool
    """A controller is alive."""
    evidence: dict[str, float] = field(default_factory=dict)
    """Each signal's e-value."""


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
        line = json.dumps({"at": at, "kind": kind, **fields}, allow_nan=False, separators=(",", ":")) + "\n"
        try:
            if self._descriptor is None:
                self._descriptor = self._open()
            data = line.encode("ascii")
            while data:  # a short write is finished, or fails with the reason
                data = data[os.write(self._descriptor, data) :]
            if sync:
                os.fsync(self._descriptor)
        except OSError as error:
            raise _unusable(self.path, error) from error

    def look(  # a record is its fields
        self,
        kind: str,
        at: float,
        verdict: Verdict,
        state: RolloutState,
        evidence: Evidence,
        *,
        sync: bool = True,
        **fields: Any,
    ) -> None:
        """Write a look or an intent, with everything that is needed to carry on."""
        from mlship.rollout import judge
        from mlship.rollout import state as states

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
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")  # the line that a crash cut short stays alone, and readers pass over it
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
        raise _unusable(pointer, error) from error
    return journal


def current(home: Home, model: str) -> Journal | None:
    """The journal of the model's latest rollout; None when there was none."""
    directory = home.rollouts(model)
    try:
        rollout_id = (directory / "current").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(directory / "current", error) from error
    path = directory / f"{rollout_id}.jsonl"
    return Journal(path) if rollout_id and path.exists() else None


def story(journal: Journal) -> Story:
    """What the journal knows, for carrying on.

    Raises ``StateError`` when its first record is not a plan.
    """
    from mlship.rollout import judge
    from mlship.rollout import plan as plans
    from mlship.rollout import state as states

    plan = plans.from_json(_plan(journal.path))
    last = _last(journal.path)
    if last is None:
        return Story(plan, states.RolloutState(), None)
    return Story(plan, states.from_json(last["state"]), judge.from_json(last["evidence"]))


def latest(home: Home, model: str) -> RolloutView | None:
    """Where the model's latest rollout stands; None when there was none."""
    journal = current(home, model)
    if journal is None:
        return None
    plan, last = _plan(journal.path), _last(journal.path)
    state: dict[str, Any] = last["state"] if last else {}
    return RolloutView(
        rollout_id=plan["rollout_id"],
        model=model,
        candidate_version=plan["canary"]["version"],
        champion_version=plan["stable"]["version"] if plan["stable"] else None,
        phase=state.get("phase", "preparing"),
        outcome=state.get("outcome"),
        step=state.get("step", 0),
        steps=len(plan["steps"]),
        weight=state.get("weight", 0.0),
        reason=(state.get("reason") or last["reason"]) if last else "starting",
        at=last["at"] if last else journal.path.stat().st_mtime,
        running=lock.holder(home.rollouts(model)) is not None,
        evidence=last["shares"] if last else {},
    )


def records(journal: Journal) -> Iterator[dict[str, Any]]:
    """Every whole record, oldest first."""
    with journal.path.open("rb") as lines:
        yield from filter(None, map(_parse, lines))


def plan_document(journal: Journal) -> dict[str, Any]:
    """The plan of a rollout, as it was written down.

    Raises ``StateError`` when the first record is not a plan.
    """
    return _plan(journal.path)


def _plan(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as lines:
            first = _parse(lines.readline())
    except OSError as error:
        raise _unusable(path, error) from error
    if first is None or "plan" not in first:
        raise StateError(
            "the journal of the latest rollout is damaged: it does not begin with a plan",
            where=str(path),
            hint="move the file away; the traffic stays as it is, and `mlship status` shows it",
        )
    plan: dict[str, Any] = first["plan"]
    return plan


def _last(path: Path) -> dict[str, Any] | None:
    """The last record that carries a state."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL))
            lines = file.read().splitlines()
    except OSError as error:
        raise _unusable(path, error) from error
    return next((record for line in reversed(lines) if (record := _parse(line)) and "state" in record), None)


def _parse(line: bytes) -> dict[str, Any] | None:
    """A record; None for a line that a crash has cut short."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _unusable(path: Path, error: OSError) -> StateError:
    return StateError(
        f"cannot use the rollout's journal: {error.strerror or error}",
        where=str(path),
        hint="free space or permissions, then run the same command again: it carries on",
    )
