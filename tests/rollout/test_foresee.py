"""What is foretold of a rollout is what the judge then sees; and the warnings carry the numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlship.policy.load import examine
from mlship.rollout import judge
from mlship.rollout.foresee import Sight, Traffic, foresee
from mlship.rollout.judge import Guards
from mlship.rollout.outlook import lint
from mlship.rollout.plan import PlanStep, StepKind
from mlship.types import ArmWindow, Observation

GUARDS = Guards(errors=1.25, timeouts=1.25, latency=1.25, certify=(("errors", 3.0),), negligible=0.01)
STEPS = (PlanStep(0.05, 300, 0), PlanStep(0.25, 300, 0))


def sight(sights: tuple[Sight, ...], signal: str) -> float:
    found = next(one.least for one in sights if one.signal == signal)
    assert found is not None
    return found


def convicted(rate: float, *, looks: int = 30, runs: int = 60) -> float:
    """Share of first stages (5 % of 50/s for 5 min, looks of 10 s) in which the judge convicts on errors alone."""
    random = np.random.default_rng(4)
    hits = 0
    for _ in range(runs):
        evidence = judge.begin(GUARDS, stages=len(STEPS))
        for look in range(looks):
            canary = int(random.binomial(500, 0.05))
            stable = ArmWindow(500 - canary, int(random.binomial(500 - canary, 0.005)))
            seen = ArmWindow(canary, int(random.binomial(canary, rate)))
            evidence = judge.update(evidence, Observation(look * 10.0, look * 10.0 + 10, 0.05, stable, seen))
            if evidence.total >= evidence.limit:
                hits += 1
                break
    return hits / runs


def test_the_judge_itself_sees_what_was_foretold_within_a_fifth() -> None:
    """With the shares of the budget, the stakes of the stages and the margins that it really begins with."""
    least = sight(foresee(GUARDS, STEPS, Traffic(50.0)).stages[0].sights, "errors")
    assert convicted(least * 1.2) >= 0.8
    assert convicted(least / 1.2) < 0.8


def test_a_stage_has_the_requests_and_the_time_that_its_traffic_takes() -> None:
    steps = (
        PlanStep(0.0, 0, 1000, StepKind.MIRROR, mirror=0.5),
        PlanStep(0.0, 0, 20, StepKind.TESTERS, testers=("x-canary", "1")),
        PlanStep(0.01, 600, 0),
        PlanStep(0.01, 0, 0, StepKind.APPROVE, within=3600),
        PlanStep(0.5, 60, 6000),
    )
    stages = foresee(GUARDS, steps, Traffic(50.0)).stages
    assert [stage.requests for stage in stages] == [1000, 0, 300, 0, 6000]
    assert [stage.seconds for stage in stages] == [40, None, 600, None, 240]
    assert [bool(stage.sights) for stage in stages] == [True, False, True, False, True]
    assert {one.signal for one in stages[0].sights} == {"errors"}, "copies have no latency of their own"


def test_without_a_rate_only_what_the_bakes_ask_for_is_known() -> None:
    found = foresee(GUARDS, (PlanStep(0.1, 60, 0), PlanStep(0.5, 60, 5000)), Traffic(None))
    assert [stage.requests for stage in found.stages] == [None, 5000]
    assert [stage.seconds for stage in found.stages] == [60, None]
    assert found.whole.requests is None
    assert sight(found.stages[1].sights, "errors") < 0.02


def test_a_time_without_a_rate_may_bring_more_than_is_asked_for() -> None:
    found = foresee(GUARDS, (PlanStep(0.1, 60, 500), PlanStep(0.5, 0, 5000)), Traffic(None))
    assert [(stage.requests, stage.more) for stage in found.stages] == [(500, True), (5000, False)]
    assert (found.whole.requests, found.whole.more) == (5500, True)


def test_a_stage_still_has_what_earlier_stages_have_left_of_the_bets() -> None:
    """At 5/s a healthy canary costs the bets of the first stages next to nothing; at 500/s all that they had."""
    alone = PlanStep(0.25, 300, 0)
    few, many = (
        foresee(GUARDS, (PlanStep(0.05, 300, 0), alone), traffic).stages[1]
        for traffic in (Traffic(5.0), Traffic(500.0))
    )
    late = replace(GUARDS, false_rollback=0.01 * judge.stage_shares(2)[1])
    few_alone, many_alone = (foresee(late, (alone,), Traffic(rate)).stages[0] for rate in (5.0, 500.0))
    assert sight(few.sights, "errors") < 0.95 * sight(few_alone.sights, "errors")
    assert sight(many.sights, "errors") == pytest.approx(sight(many_alone.sights, "errors"), rel=0.05)


def test_latency_leaves_the_cold_start_out() -> None:
    steps = (PlanStep(0.05, 0, judge.COLD_START), PlanStep(0.25, 0, 1000))
    first, second = foresee(GUARDS, steps, Traffic(None)).stages
    assert next(one.least for one in first.sights if one.signal == "latency") is None
    warm = foresee(GUARDS, (PlanStep(0.25, 0, 1000 + judge.COLD_START),), Traffic(None)).stages[0]
    assert sight(second.sights, "latency") >= sight(warm.sights, "latency")


def test_at_all_of_the_traffic_there_is_nothing_to_compare_with() -> None:
    found = foresee(replace(GUARDS, negligible=0.0), (PlanStep(1.0, 600, 0),), Traffic(500.0))
    assert [one.least for one in found.stages[0].sights] == [None, None]
    assert math.isinf(found.certificates[0].requests)


def test_without_a_weight_nothing_is_ever_proved() -> None:
    steps = (PlanStep(0.0, 0, 20, StepKind.TESTERS, testers=("x-canary", "1")),)
    assert math.isinf(foresee(GUARDS, steps, Traffic(500.0)).certificates[0].requests)


def test_more_traffic_sees_less_and_all_stages_see_more_than_each() -> None:
    little, much = (foresee(GUARDS, STEPS, Traffic(rate)) for rate in (50.0, 500.0))
    for signal in ("errors", "latency"):
        assert sight(much.whole.sights, signal) < sight(little.whole.sights, signal)
        assert sight(little.whole.sights, signal) < min(sight(stage.sights, signal) for stage in little.stages)


def test_a_certificate_says_what_the_bakes_do_not_bring() -> None:
    short, long = (foresee(GUARDS, STEPS, Traffic(rate)).certificates[0] for rate in (1.0, 500.0))
    assert short.requests == pytest.approx(short.stretch + 15 + 75)
    assert short.seconds == pytest.approx(short.stretch / 0.25)
    assert long.stretch == 0
    assert 1000 < long.requests < 2500
    never = replace(GUARDS, certify=(("errors", 1.01),), negligible=0.0)
    assert foresee(never, STEPS, Traffic(50.0)).certificates[0].requests > 1e6


def test_the_certificate_is_there_after_about_as_many_requests() -> None:
    """The median of healthy rollouts at 25 %, against what was foretold."""
    guards, steps = replace(GUARDS, negligible=0.0), (PlanStep(0.25, 0, 10_000),)
    foretold = foresee(guards, steps, Traffic(None)).certificates[0].requests
    random, ended = np.random.default_rng(2), []
    for _ in range(25):
        evidence, total = judge.begin(guards), 0
        while judge.unproved(evidence):
            stable = ArmWindow(300, int(random.binomial(300, 0.005)))
            seen = ArmWindow(100, int(random.binomial(100, 0.005)))
            evidence = judge.update(evidence, Observation(total * 1.0, total + 1.0, 0.25, stable, seen))
            total += 100
        ended.append(total)
    assert sorted(ended)[12] == pytest.approx(foretold, rel=0.25)


def test_agreement_and_labels_have_numbers_of_their_own() -> None:
    guards = Guards(errors=1.25, agreement=0.9, labels=1.1, certify=(("labels", 1.5),), negligible=0.01)
    steps = (PlanStep(0.0, 0, 1000, StepKind.MIRROR, mirror=1.0), PlanStep(0.1, 60, 0))
    found = foresee(guards, steps, Traffic(50.0))
    assert 0.1 < sight(found.stages[0].sights, "agreement") < 0.2
    assert found.labels is not None
    assert 500 < found.labels < 20_000
    assert math.isfinite(found.certificates[0].requests)
    assert found.certificates[0].seconds is None, "nobody knows how many labels come"


POLICY = """version: 1
model: flight-delay
owner: {{team: flight-ops, contact: flight-ops@example.com}}
data: {{evaluation: {{path: july.csv, target: late}}}}
gates: {{metrics: {{recall: {{min: 0.6}}}}}}
rollout:
{text}
"""


def warned(directory: Path, text: str) -> list[str]:
    (directory / "july.csv").write_text("late,distance\n1,100\n")
    (directory / "mlship.yaml").write_text(POLICY.format(text=text))
    checked = examine(directory / "mlship.yaml", also=lint)
    assert checked.loaded is not None
    return [f"{fault.line}: {fault.what}; {fault.hint}" for fault in checked.faults]


def test_a_stage_that_sees_too_little_is_a_warning_with_the_numbers(tmp_path: Path) -> None:
    (found,) = warned(tmp_path, "  rate: 50/s\n  steps:\n    - {weight: 1%, bake: {for: 5m}}\n  certify: null")
    assert found.startswith(
        "9: 1% of 50/s for 5m is 150 canary requests: it cannot reliably see less than errors 0.5% -> "
    )
    assert "requests would show 0.5% -> 5%: " in found
    assert found.endswith("m at this rate")


def test_a_stage_that_sees_nothing_says_so(tmp_path: Path) -> None:
    text = "  rate: 1/s\n  steps:\n    - {weight: 1%, bake: {requests: 1}}\n  certify: null"
    (found,) = warned(tmp_path, text)
    assert "1 request at 1%: it cannot see anything, not even a canary that fails every request" in found


def test_a_stage_that_watches_latency_only_is_told_too(tmp_path: Path) -> None:
    text = (
        "  steps:\n    - {weight: 1%, bake: {requests: 50}}\n  certify: null\n  guard: {errors: null, timeouts: null}"
    )
    (found,) = warned(tmp_path, text)
    assert found.startswith("8: 50 requests at 1%: it cannot ")
    assert "requests would show 1% -> 10%" in found


def test_all_of_the_traffic_is_a_warning(tmp_path: Path) -> None:
    found = warned(tmp_path, "  steps:\n    - {weight: 100%, bake: {requests: 5000}}\n  certify: {errors: 3x}")
    assert found[0].startswith("8: 100% leaves stable no requests: this step compares the canary with nothing; end")


def test_a_stage_that_takes_longer_than_its_deadline_is_a_warning(tmp_path: Path) -> None:
    text = "  rate: 1/s\n  steps:\n    - {weight: 1%, bake: {requests: 5000}}\n  certify: null"
    (found,) = warned(tmp_path, text)
    assert "5,000 requests take 5.8d at 1/s: longer than progress_deadline" in found


def test_a_certificate_that_the_bakes_do_not_bring_is_told(tmp_path: Path) -> None:
    text = "  rate: 50/s\n  steps:\n    - {weight: 50%, bake: {for: 2m}}\n  certify: {errors: 1.5x}"
    (found,) = warned(tmp_path, text)
    assert found.startswith("10: errors below 1.5x stable's takes about ")
    assert "the last step will stretch to about " in found
    (found,) = warned(tmp_path, text + "\n  progress_deadline: 3m")
    assert "longer than progress_deadline" in found


def test_without_a_rate_nothing_is_told_and_with_enough_nothing_is_wrong(tmp_path: Path) -> None:
    steps = "  steps:\n    - {weight: 1%, bake: {for: 5m}}\n    - {weight: 50%, bake: {for: 20m}}"
    assert warned(tmp_path, steps) == []
    (found,) = warned(tmp_path, "  steps:\n    - {weight: 10%, bake: {for: 5s, requests: 30000000}}")
    assert "30,000,000 requests within progress_deadline, 24h, take 3,470/s of all callers: fewer, and it will" in found
    assert warned(tmp_path, f"  rate: 2000/s\n{steps}") == []
