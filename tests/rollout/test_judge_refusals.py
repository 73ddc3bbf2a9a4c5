"""Refusals: a canary that answers 4xx where stable does not goes back, and callers' own mistakes send nobody back."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlship.errors import Exit
from mlship.rollout import journal, judge
from mlship.rollout.judge import Evidence, Guards
from mlship.rollout.plan import PlanStep
from mlship.rollout.scene import Window, _window
from mlship.types import LATENCY_BOUNDS_MS, ArmWindow, Observation, Predictions
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import PLAN, Stage

GUARDS = Guards(errors=1.25, timeouts=1.25, refusals=1.25, latency=1.25)
HISTORY = tuple(1000 if index == 15 else 0 for index in range(len(LATENCY_BOUNDS_MS) + 1))


def arm(requests: int, refused: int = 0, errors: int = 0) -> ArmWindow:
    """A window, all of it fast."""
    latency = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    latency[15], latency[-1] = requests - errors, errors
    return ArmWindow(requests, errors, tuple(latency), served=requests, refused=refused)


def seen(
    *looks: tuple[ArmWindow, ArmWindow], guards: Guards = GUARDS, weight: float = 0.1, mirror: float = 0.0
) -> Evidence:
    """The evidence after looks at (canary, stable)."""
    evidence = judge.begin(guards, HISTORY, stages=4)
    for at, (canary, stable) in enumerate(looks, 1000):
        evidence = judge.update(evidence, Observation(at, at + 1, weight, stable, canary, mirror=mirror))
    return evidence


def signal(evidence: Evidence, name: str) -> judge.Signal:
    return next(one for one in evidence.signals if one.name == name)


@pytest.mark.parametrize(
    ("weight", "wrong", "enough"), [(0.01, 0.0, 5), (0.05, 0.0, 6), (0.2, 0.0, 9), (0.5, 0.0, 20), (0.05, 0.1, 10)]
)
def test_a_canary_that_refuses_everything_convicts_itself_in_the_first_look(
    weight: float, wrong: float, enough: int
) -> None:
    def convicted(requests: int) -> Evidence:
        others = round(requests * (1 - weight) / weight)
        return seen((arm(requests, requests), arm(others, round(wrong * others))), weight=weight)

    evidence = convicted(enough)
    assert evidence.total >= evidence.limit > convicted(enough - 1).total
    against = f"against {100 * wrong:.1f} %"
    assert judge.accusation(evidence) == f"refused 100.0 % of {enough} (4xx) {against}"
    assert judge.sentence(evidence).startswith(f"refused 100.0 % of {enough} (4xx) {against}, evidence ")


def test_callers_mistakes_on_both_arms_send_no_healthy_canary_back() -> None:
    """A tenth of the requests is wrong, at times (a caller gone mad) most of them; 300 rollouts, none goes back."""
    random, highest = np.random.default_rng(400), 0.0
    for _ in range(300):
        evidence = judge.begin(Guards(refusals=1.25), (), 3)
        for step, weight in enumerate((0.05, 0.25, 0.5)):
            evidence = judge.restart(evidence)
            for at in range(12):
                wrong = 0.8 if random.random() < 0.05 else 0.1
                canary, stable = int(random.poisson(250 * weight)), int(random.poisson(250 * (1 - weight)))
                arms = tuple(ArmWindow(n, served=n, refused=int(random.binomial(n, wrong))) for n in (stable, canary))
                now = 1000.0 + 12 * step + at
                evidence = judge.update(evidence, Observation(now, now + 1, weight, arms[0], arms[1]))
                highest = max(highest, evidence.total)
    assert highest < 100


def test_a_canary_that_mends_what_fails_does_not_seem_to_refuse_more() -> None:
    """Stable fails in half of its requests, before it could call any of them wrong."""
    evidence = seen(*[(arm(100, 10), arm(900, 45, errors=450))] * 60)
    assert signal(evidence, "refusals").stable == (60 * 45, 60 * 450)
    assert evidence.total < 1


def test_what_was_refused_proves_nothing() -> None:
    certified = replace(GUARDS, refusals=None, certify=(("errors", 3.0), ("latency", 3.0)), negligible=0.01)
    refused = seen(*[(arm(100, 100), arm(900))] * 40, guards=certified)
    assert [proof.canary for proof in refused.proofs] == [(0, 0), (0, 0)]
    assert judge.unproved(refused).startswith("errors: not yet proved")
    half = seen(*[(arm(100, 50), arm(900, 450))] * 40, guards=certified)
    assert half.proofs[0].canary == (0, 40 * 50)
    assert half.proofs[0].stable == (0, 40 * 450)
    assert judge.unproved(half) == ""


def test_no_arm_is_fast_because_it_refuses() -> None:
    evidence = seen(*[(arm(100, 60), arm(900, 90))] * 3)
    assert signal(evidence, "latency").canary[1] == 2 * 40, "the first look is the cold start"
    assert signal(evidence, "latency").stable[1] == 2 * 810


def test_predictions_are_not_missing_where_requests_were_refused() -> None:
    def told(window: ArmWindow) -> ArmWindow:
        return replace(window, predictions=Predictions(classes={"a": window.requests - window.refused}))

    guards = replace(GUARDS, refusals=None, predictions=1.5)
    evidence = seen(*[(told(arm(100, 60)), told(arm(900, 30)))] * 40, guards=guards)
    assert judge.objections(evidence) == ()
    silent = seen(*[(replace(told(arm(100)), predictions=Predictions()), told(arm(900)))] * 40, guards=guards)
    assert judge.objections(silent) == ("telemetry",)


def test_telemetry_that_pauses_says_what_is_missing_even_when_nothing_else_was_seen() -> None:
    """Without a route by weight, requests are not compared; predictions are."""
    stable = replace(arm(900), predictions=Predictions(classes={"a": 900}))
    silent = replace(arm(100), predictions=Predictions())
    evidence = judge.begin(GUARDS)
    for at in range(1000, 1010):
        evidence = judge.update(evidence, Observation(at, at + 1, 0.0, stable, silent))
    assert judge.objections(evidence) == ("telemetry",)
    assert signal(evidence, "telemetry").canary == (0, 0)
    assert judge.say(evidence, "telemetry") == (
        "telemetry: predictions are missing from one arm, so the evidence is incomplete"
    )


def test_a_rollout_of_an_earlier_version_goes_on_with_what_it_began_with() -> None:
    """Its plan says nothing of refusals, so nothing more is bet than was shared out at its start."""
    written = json.loads(json.dumps(dataclasses.asdict(replace(GUARDS, refusals=None))))
    del written["refusals"]
    guards = Guards.from_json(written)
    assert guards == replace(GUARDS, refusals=None)
    evidence = judge.from_json(judge.to_json(seen((arm(10), arm(90)), guards=guards)))
    after = judge.update(evidence, Observation(1001, 1002, 0.1, arm(900, 5), arm(100, 100)))
    assert "refusals" not in after.shares
    assert sum(one.budget for one in after.signals) == pytest.approx(1.0)


def test_a_record_keeps_what_was_refused_and_those_of_earlier_versions_are_read() -> None:
    both = Observation(1000.0, 1001.0, 0.1, arm(90, 4), arm(10))
    document = json.loads(json.dumps(journal.window(both)))
    assert [len(document[name]) for name in ("stable", "canary")] == [5, 4]
    assert _window(document) == Window(
        1.0, replace(both.stable, served=0), replace(both.canary, served=0), (), users=False
    )


@pytest.mark.parametrize(
    ("steps", "sticky"),
    [
        ((PlanStep(0.2, 20.0, 50), PlanStep(0.5, 20.0, 50)), ""),
        ((PlanStep(0.0, 20.0, 50, mirror=0.5), PlanStep(0.5, 20.0, 50)), ""),
        ((PlanStep(0.2, 20.0, 50), PlanStep(0.5, 20.0, 50)), "header:x-user"),
    ],
    ids=["requests", "copies", "users"],
)
def test_a_rollout_of_such_a_canary_goes_back_at_its_first_look(
    tmp_path: Path, steps: tuple[PlanStep, ...], sticky: str
) -> None:
    stage = Stage(tmp_path, v1=Behaviour(refuses=0.003), v2=Behaviour(refuses=1.0))
    stage.plan = replace(PLAN, steps=steps, guards=GUARDS, sticky=sticky)
    stage.serve_stable()
    result = stage.run()
    assert (result.verdict, result.exit_code) == ("rolled_back", Exit.ROLLED_BACK)
    assert result.reason.startswith("refused 100.0 % of ")
    assert [seconds for _, seconds, _ in result.steps] == [1.0], "at the first look"
