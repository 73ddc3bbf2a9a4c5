"""What watchers see of a rollout: moments, from its controller or from its journal, and a tape of the last ones. Pure.

The foreground view of `mlship rollout` and `mlship watch` draw the same tape, and need not know where it came from.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from mlship.rollout import judge, state
from mlship.rollout.judge import Evidence
from mlship.rollout.plan import Plan, PlanStep
from mlship.rollout.state import Phase, RolloutState
from mlship.rollout.watch import Look
from mlship.stats import histogram
from mlship.types import LATENCY_BOUNDS_MS, ArmWindow, VerdictKind

#: Looks that a tape keeps: what sparklines and the arms' figures are made of.
LOOKS = 120
#: What a sentence says when hooks are asked (`stages.py` writes it).
_ASKING = "asking the hooks "


@dataclass(frozen=True, slots=True)
class Window:
    """What both arms did between two looks."""

    seconds: float
    stable: ArmWindow
    canary: ArmWindow
    missing: tuple[str, ...] = ()
    """Arms whose counters could not be read."""
    users: bool = False
    """Counted are users, not requests."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One look as it was told: when, what was seen, what was decided."""

    at: float
    kind: VerdictKind
    reason: str
    """The sentence of the moment."""
    state: RolloutState
    evidence: Evidence | None
    window: Window | None = None
    """None when nothing was observed."""

    @property
    def ended(self) -> bool:
        """The command that drove it has ended, or is about to: it is over, or was paused as inconclusive."""
        return self.state.outcome is not None and (self.state.final or self.state.phase is Phase.PAUSED)

    @property
    def asking(self) -> str:
        """The hooks that are waited for, as `after step 2`; empty when none are."""
        return self.reason.partition(_ASKING)[2]


@dataclass(frozen=True, slots=True)
class Point:
    """One look on the tape."""

    step: int
    window: Window
    evidence: float
    """The e-value of the whole rollout."""


def of_look(look: Look) -> Moment:
    """The moment that a controller shows to its own terminal."""
    seen, window = look.observation, None
    if seen is not None:
        window = Window(seen.ended - seen.started, seen.stable, seen.canary, seen.missing, seen.users)
    verdict = look.decision.verdict
    return Moment(look.at, verdict.kind, verdict.reason, look.decision.state, look.evidence, window)


def of_record(record: dict[str, Any]) -> Moment | None:
    """The moment that a record of a journal tells; None for a record without a state, or with one that is damaged."""
    try:
        return Moment(
            at=float(record["at"]),
            kind=VerdictKind(record["verdict"]),
            reason=str(record["reason"]),
            state=state.from_json(record["state"]),
            evidence=judge.from_json(record["evidence"]),
            window=_window(record["window"]) if "window" in record else None,
        )
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        return None


class Tape:
    """The last looks of one rollout, and the present moment; constant in size."""

    def __init__(self, plan: Plan, looks: int = LOOKS) -> None:
        self.plan = plan
        self.now: Moment | None = None
        self.points: deque[Point] = deque(maxlen=looks)

    def add(self, moment: Moment) -> None:
        """One more look. What it saw belongs to the step before its decision."""
        before, self.now = self.now or moment, moment
        if moment.window is not None:
            total = moment.evidence.total if moment.evidence is not None else 1.0
            self.points.append(Point(before.state.step, moment.window, total))

    @property
    def step(self) -> PlanStep | None:
        """The step that traffic is at; None before the first and after the last."""
        now = self.now
        if now is None or now.state.phase not in (Phase.STEPPING, Phase.PAUSED):
            return None
        return self.plan.steps[now.state.step] if now.state.step < len(self.plan.steps) else None

    def arms(self) -> Window | None:
        """What both arms did at the latest step, summed over the looks of it that are on the tape; None without."""
        if not self.points:
            return None
        mine = [point.window for point in self.points if point.step == self.points[-1].step]
        total = mine[0]
        for window in mine[1:]:
            total = Window(
                total.seconds + window.seconds,
                _plus(total.stable, window.stable),
                _plus(total.canary, window.canary),
                window.missing,
                window.users,
            )
        return total


def milliseconds(arm: ArmWindow, share: float) -> float | None:
    """A quantile of an arm's latency; None without counts, infinite above the last bound."""
    return histogram.quantile(arm.latency, LATENCY_BOUNDS_MS, share)


def _plus(left: ArmWindow, right: ArmWindow) -> ArmWindow:
    return ArmWindow(
        left.requests + right.requests,
        left.errors + right.errors,
        histogram.add(left.latency, right.latency),
        left.timeouts + right.timeouts,
        refused=left.refused + right.refused,
    )


def _window(document: dict[str, Any]) -> Window:
    return Window(
        float(document["seconds"]),
        _arm(document["stable"]),
        _arm(document["canary"]),
        tuple(map(str, document.get("missing", ()))),
        bool(document.get("users", False)),
    )


def _arm(document: list[Any]) -> ArmWindow:
    requests, errors, timeouts, counts, *refused = document  # none are not written, nor are those of earlier versions
    latency = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    for bucket, count in counts:
        latency[bucket] = int(count)
    return ArmWindow(
        int(requests), int(errors), tuple(latency) if counts else (), int(timeouts), refused=int(sum(refused))
    )
