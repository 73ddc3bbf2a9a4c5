"""A few of the random rollouts under random faults; two hundred by `python -m tests.faults.random_run`."""

from __future__ import annotations

import math

import pytest

from mlship.rollout import stages
from mlship.rollout.hands import Hands
from tests.faults import random_run


def test_random_rollouts_under_random_faults_keep_every_promise() -> None:
    told: list[str] = []
    tally = random_run.rollouts(10, 7, told.append)
    assert tally.broken == [], "\n".join(told)
    assert sum(tally.faults.values()) >= 10, "there were faults to survive"
    assert {"promoted", "rolled_back"} <= set(tally.ends)


@pytest.mark.parametrize("mistake", ["credits twice", "leaves servers", "convicts nobody"])
def test_a_planted_mistake_is_found(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    """The run is worth something only if it finds what it is there for."""
    if mistake == "credits twice":
        credit = stages.credit

        def twice(*args, **kwargs):  # type: ignore[no-untyped-def]  # whatever it takes
            return credit(credit(*args, **kwargs), *args[1:], **kwargs)

        monkeypatch.setattr("mlship.rollout.machine.credit", twice)
    elif mistake == "leaves servers":
        monkeypatch.setattr(Hands, "retire", lambda self, outcome, reason: self.record(outcome.value, "2", "1", reason))
    else:
        monkeypatch.setattr("mlship.rollout.machine._verdict", lambda *_: None)
        monkeypatch.setattr("mlship.rollout.waiting.AGAINST", math.inf)
    assert random_run.rollouts(25, 3, first=True).broken
