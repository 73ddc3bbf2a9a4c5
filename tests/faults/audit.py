"""What the data plane itself knows of a rollout: a witness that no controller can talk into anything."""

from __future__ import annotations

from typing import Any

from mlship.rollout import journal, machine
from mlship.rollout import state as states
from mlship.types import Routes
from tests.fakes.engine import FakeEngine
from tests.fakes.rollout import MODEL, Stage


class AuditedEngine(FakeEngine):
    """Counts what each route really sent to the canary while a controller watched, and what got no answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.watched = True
        """Whether a controller is alive."""
        self.sent: dict[tuple[float, float, bool], int] = {}
        """Requests (or copies) that the canary got, by (weight, mirror, testers), while watched."""
        self.seconds: dict[tuple[float, float, bool], float] = {}
        """Seconds that each route held, while watched."""
        self.homeless = 0
        """Requests that were given to a server that does not exist any more."""

    def _advance(self) -> None:
        since, routes, known = self._simulated, self._routes, len(self.history)
        super()._advance()
        if not self.watched:
            return
        switches = self.history[known:]
        for end, following in [*switches, (self._simulated, routes)]:
            if routes is not None:
                self.seconds[_key(routes)] = self.seconds.get(_key(routes), 0.0) + max(0.0, end - since)
            since, routes = end, following

    def _count(self, name: str, requests: int, at: float) -> None:
        process = self._processes.get(name)
        if process is None or process.stopped:
            self.homeless += requests
            return
        routes = self._routes
        if self.watched and routes is not None and name == routes.canary and not _copies_only(routes):
            self.sent[_key(routes)] = self.sent.get(_key(routes), 0) + requests
        super()._count(name, requests, at)

    def _copy(self, stable: str, canary: str, copies: int, at: float) -> None:
        if self.watched and self._routes is not None:
            self.sent[_key(self._routes)] = self.sent.get(_key(self._routes), 0) + copies
        super()._copy(stable, canary, copies, at)


def credited_no_more_than_sent(stage: Stage) -> None:
    """No bake is credited twice: over all steps of one kind of traffic, no more than was sent while watched."""
    engine = stage.engine
    assert isinstance(engine, AuditedEngine)
    current = journal.current(stage.home, MODEL)
    assert current is not None
    story = journal.story(current)
    credited: dict[tuple[float, float, bool], tuple[float, int]] = {}
    for step, (_, seconds, requests) in zip(story.plan.steps, machine.entered(story.state), strict=False):
        key = _key(story.plan.routes(step))
        before = credited.get(key, (0.0, 0))
        credited[key] = (before[0] + seconds, before[1] + requests)
    for key, (seconds, requests) in credited.items():
        assert requests <= engine.sent.get(key, 0), f"{requests} credited at {key}, {engine.sent.get(key, 0)} sent"
        held = engine.seconds.get(key, 0.0)
        assert seconds <= held + 1e-3, f"{seconds} s credited at {key}, held for {held} s"


def nobody_homeless(stage: Stage) -> bool:
    """Whether every request was given to a server that exists."""
    assert isinstance(stage.engine, AuditedEngine)
    return stage.engine.homeless == 0


def weight_never_rose_against_evidence(stage: Stage) -> None:
    """In every record of the journal: where the evidence was against, the wanted weight is not above the one before."""
    from mlship.rollout import judge

    current = journal.current(stage.home, MODEL)
    assert current is not None
    weight, phase = 0.0, states.Phase.PREPARING
    for record in journal.records(current):
        if "state" not in record:
            continue
        state, evidence = states.from_json(record["state"]), judge.from_json(record["evidence"])
        if evidence.total >= machine.AGAINST and phase is not states.Phase.PROMOTING:
            assert state.weight <= weight, f"rose to {state.weight} with evidence {evidence.total} against"
        if evidence.total >= evidence.limit:
            assert state.outcome is not states.Outcome.PROMOTED, "a convicted candidate was promoted"
        weight, phase = state.weight, state.phase


def _copies_only(routes: Routes) -> bool:
    """A bake of such a step counts the copies."""
    return routes.mirror > 0 and routes.weight == 0 and routes.testers is None


def _key(routes: Routes) -> tuple[float, float, bool]:
    return (round(routes.weight, 6), round(routes.mirror, 6), routes.testers is not None)
