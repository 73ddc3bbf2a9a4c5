"""Signals beyond errors, latency and labels: what each counts, what each may do, and in which looks it says nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.rollout import judge
from mlship.rollout.judge import Evidence, Guards
from mlship.rollout.judge import latency as judge_latency
from mlship.types import LATENCY_BOUNDS_MS, ArmWindow, LabelWindow, Observation, Predictions

EVERYTHING = Guards(
    errors=1.25,
    timeouts=1.25,
    latency=1.25,
    slow=((0.5, 50.0), (0.99, 200.0)),
    predictions=1.5,
    predictions_action="rollback",
    agreement=0.98,
    labels=1.1,
    certify=(("errors", 3.0), ("latency", 3.0), ("labels", 1.5)),
    negligible=0.01,
)
HISTORY = tuple(1000 if index == 15 else 0 for index in range(len(LATENCY_BOUNDS_MS) + 1))


def arm(requests: int, errors: int = 0, *, timeouts: int = 0, slow: int = 0, served: int = 0, **told: int) -> ArmWindow:
    """A window: all fast (18 ms) but `slow` of 1.25 s; `told` are predicted classes."""
    latency = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    latency[15], latency[58], latency[-1] = requests - errors - slow, slow, errors
    outputs = Predictions(classes=told) if told else None
    return ArmWindow(requests, errors, tuple(latency), timeouts, outputs, served)


def look(
    canary: ArmWindow, stable: ArmWindow, at: float = 1000.0, *, weight: float = 0.1, **more: object
) -> Observation:
    return replace(Observation(at, at + 1.0, weight, stable, canary), **more)  # type: ignore[arg-type]  # any field


def seen(guards: Guards, *looks: Observation, stages: int = 1) -> Evidence:
    evidence = judge.begin(guards, HISTORY, stages)
    for one in looks:
        evidence = judge.update(evidence, one)
    return evidence


def signal(evidence: Evidence, name: str) -> judge.Signal:
    return next(one for one in evidence.signals if one.name == name)


def clock(start: float = 1000.0) -> Iterator[float]:
    while True:
        yield start
        start += 1.0


def test_the_budget_is_shared_out_among_those_that_may_roll_back() -> None:
    evidence = seen(EVERYTHING)
    spent = {row.name: row.share_of_budget for row in judge.rows(evidence)}
    assert math.fsum(spent.values()) == pytest.approx(1.0)
    assert spent["telemetry"] == 0
    assert min(share for name, share in spent.items() if name != "telemetry") > 0
    warns = seen(replace(EVERYTHING, predictions_action="warn", agreement_action="pause"))
    spent = {row.name: row.share_of_budget for row in judge.rows(warns)}
    assert spent["predictions"] == spent["agreement"] == 0
    assert math.fsum(spent.values()) == pytest.approx(1.0)
    assert judge.begin(Guards()).signals == ()
    assert judge.begin(Guards()).total == 1.0


def test_timeouts_convict_by_themselves() -> None:
    evidence = seen(
        replace(EVERYTHING, errors=None), *(look(arm(20, 4, timeouts=4), arm(180, 1), at) for at in range(1000, 1004))
    )
    assert evidence.total > evidence.limit
    assert judge.accusation(evidence) == "timeouts 20.0 % against 0.0 %"


def test_a_limit_in_milliseconds_is_of_the_canary_alone() -> None:
    """Stable is as slow, so nothing but the limit convicts; what a bucket cannot tell is not above it."""
    guards = Guards(slow=((0.99, 200.0),))
    slow = [look(arm(40, slow=4), arm(400, slow=40), at) for at in range(1000, 1005)]
    evidence = seen(guards, *slow)
    assert evidence.total > evidence.limit
    assert judge.accusation(evidence) == "latency limits: 10.0 % above 200 ms, 1 % allowed"
    assert signal(evidence, "latency limits").canary == (16, 160), "the first window was the cold start"
    within = seen(Guards(slow=((0.99, 1201.0),)), *slow)  # the bucket of 1000 to 1250 ms holds this limit
    assert signal(within, "latency limits").canary == (0, 160)
    assert within.total < 1


def test_the_threshold_that_carries_the_evidence_is_the_one_that_is_told() -> None:
    """A canary that is 60 ms slower, while stable's p99 is slower still."""
    bucket = {ms: judge_latency.bucket_of(ms) for ms in (8, 70, 147)}

    def latencies(fast: int, at: int) -> ArmWindow:
        counts = [0] * (len(LATENCY_BOUNDS_MS) + 1)
        counts[at], counts[bucket[147]] = fast, 2
        return ArmWindow(fast + 2, 0, tuple(counts))

    looks = [look(latencies(18, bucket[70]), latencies(98, bucket[8]), at, weight=1 / 6) for at in range(1000, 1020)]
    evidence = judge.begin(Guards(latency=1.25))
    for one in looks:
        evidence = judge.update(evidence, one)
    assert evidence.total > evidence.limit
    bounds = LATENCY_BOUNDS_MS[bucket[8]]
    assert judge.accusation(evidence) == f"latency: 100.0 % above {bounds:g} ms against 2.0 %"
    (row,) = (one for one in judge.rows(evidence) if one.name == "latency")
    assert row.canary == signal(evidence, "latency").canary == (360, 360)
    assert json.loads(json.dumps(judge.to_json(evidence))) == judge.to_json(evidence)
    assert judge.from_json(judge.to_json(evidence)) == evidence


def test_evidence_from_before_each_threshold_was_counted_is_read_and_carried_on() -> None:
    looks = [look(arm(40), arm(400), at) for at in range(1000, 1004)]
    evidence = seen(Guards(latency=1.25), *looks)
    old = judge.to_json(evidence)
    for one in old["signals"]:
        del one["counts"], one["told"]
    before = judge.from_json(old)
    assert judge.say(before, "latency") == judge.say(evidence, "latency")
    after = judge.update(before, look(arm(40), arm(400), 1004))
    assert signal(after, "latency").canary == signal(judge.update(evidence, looks[-1]), "latency").canary
    assert signal(after, "latency").log_e == signal(judge.update(evidence, looks[-1]), "latency").log_e


def test_agreement_counts_pairs_against_what_is_allowed() -> None:
    guards = Guards(agreement=0.98)
    good, bad = (
        seen(
            guards, *(look(arm(0), arm(0), at, mirror=1.0, weight=0.0, agreement=(100, n)) for at in range(1000, 1003))
        )
        for n in (2, 12)
    )
    assert good.total < 1 < good.limit <= bad.total
    assert judge.accusation(bad) == "agreement: 12.0 % differ, 2 % allowed"
    paused = seen(replace(guards, agreement_action="pause"), look(arm(0), arm(0), mirror=1.0, agreement=(300, 36)))
    assert judge.objections(paused) == ("agreement",)
    assert paused.total == 1.0


def test_latency_says_how_long_it_still_has_to_wait() -> None:
    young = judge.update(judge.begin(Guards(latency=1.25)), look(arm(5), arm(120)))
    assert judge.sentence(young).startswith(f"latency: 120 of {judge.WARM_UP} stable requests until it can be judged")
    assert judge.rows(young)[0].sentence == judge.say(young, "latency")
    cold = judge.update(young, look(arm(5), arm(120), 1001.0))
    assert judge.say(cold, "latency") == "latency: 10 of 20 canary requests until it is warm"
    assert cold.unseen == ("latency",)


def test_copies_speak_of_errors_and_predictions_but_of_neither_latency_nor_timeouts() -> None:
    copies = [
        look(arm(90, 30, a=60), arm(100, 1, timeouts=1, a=90, b=9), at, weight=0.0, mirror=1.0)
        for at in range(1000, 1006)
    ]
    evidence = seen(EVERYTHING, *copies)
    assert signal(evidence, "errors").canary == (180, 540)
    assert evidence.shares["errors"] > 100
    assert signal(evidence, "predictions").canary[1] > 0
    assert signal(evidence, "latency").canary == signal(evidence, "timeouts").canary == (0, 0)
    assert {"latency", "timeouts", "latency limits"} <= set(evidence.unseen)


def test_a_sentence_tells_of_one_signal_while_all_is_well_and_names_the_silent_ones() -> None:
    well = seen(EVERYTHING, *(look(arm(30, a=30), arm(270, a=270), at) for at in range(1000, 1003)))
    told, _, tail = judge.sentence(well).partition(" (nothing yet of ")
    assert told.startswith("errors 0.0 % against 0.0 %, evidence ")
    assert told.endswith(" of 100")
    assert tail == "agreement, labels)"


def test_a_sentence_tells_of_the_two_signals_that_weigh_most_the_heaviest_first() -> None:
    bad = seen(EVERYTHING, *(look(arm(30, 8, slow=15), arm(270), at) for at in range(1000, 1006)))
    weight = {row.name: row.e_value * row.share_of_budget for row in judge.rows(bad)}
    first, second, *_ = sorted(weight, key=lambda name: -weight[name])
    assert all(weight[name] > 1 for name in ("errors", "latency", "latency limits"))
    told = f"{judge.say(bad, first)}, {judge.say(bad, second)}, evidence {judge.number(bad.total)} of 100"
    assert judge.sentence(bad).startswith(told)
    assert judge.accusation(bad) == judge.say(bad, first)


def test_a_sentence_tells_of_a_warning_signal_only_when_it_has_something_to_say() -> None:
    warns = Guards(errors=1.25, predictions=1.5, predictions_action="warn")
    same, other = (
        seen(warns, *(look(arm(100, **told), arm(100, a=90, b=10), at, weight=0.5) for at in range(1000, 1010)))
        for told in ({"a": 90, "b": 10}, {"a": 40, "b": 60})
    )
    assert "predictions" not in judge.sentence(same)
    assert judge.sentence(other).startswith("predictions: ")


def test_chosen_testers_are_no_evidence_and_the_sentence_says_so() -> None:
    before = seen(EVERYTHING, *(look(arm(30, a=30), arm(270, a=270), at) for at in range(1000, 1003)))
    tested = judge.update(before, look(arm(50, 50, a=1), arm(200), 1003.0, weight=0.0, testers=True))
    compared = ("errors", "timeouts", "latency", "predictions", "labels", "telemetry")
    assert [signal(tested, name) for name in compared] == [signal(before, name) for name in compared]
    assert tested.proofs == before.proofs
    assert "testers: 50 of 50 requests failed (no evidence: they were chosen), evidence " in judge.sentence(tested)


def test_labels_of_requests_before_the_testers_still_count() -> None:
    window = LabelWindow(1001, (40, 20), (300, 30))
    looks = [look(arm(30), arm(270), at) for at in (1000.0, 1001.0, 1002.0)]
    testers = look(arm(9), arm(200), 1003.0, weight=0.0, testers=True, labels=(window, replace(window, second=1003)))
    assert signal(seen(EVERYTHING, *looks, testers), "labels").canary == (20, 40), "second 1003 met testers"


def test_a_clock_that_steps_back_brings_no_second_twice() -> None:
    looks = [
        look(arm(30), arm(270), 1000.0),
        look(arm(30), arm(270), 1001.0),
        look(arm(30), arm(270), 990.0, weight=0.5),
    ]
    label = tuple(LabelWindow(second, (10, 5), (90, 9)) for second in (989, 990, 991, 995, 1001, 1002))
    evidence = seen(EVERYTHING, *looks, look(arm(30), arm(270), 991.0, weight=0.5, labels=label))
    assert signal(evidence, "labels").canary == (0, 0)
    later = judge.update(
        evidence, look(arm(30), arm(270), 992.0, weight=0.5, labels=(LabelWindow(1003, (10, 5), (9, 1)),))
    )
    assert signal(later, "labels").canary == (5, 10)


def predicting(random: np.random.Generator, canary: tuple[float, ...], guards: Guards, looks: int = 60) -> Evidence:
    evidence, times = judge.begin(guards, HISTORY), clock()
    for _ in range(looks):
        told = [
            dict(zip("abc", map(int, random.multinomial(n, p)), strict=True))
            for n, p in ((40, canary), (360, (0.7, 0.2, 0.1)))
        ]
        evidence = judge.update(evidence, look(arm(40, **told[0]), arm(360, **told[1]), next(times)))
    return evidence


@pytest.mark.parametrize("action", ["rollback", "pause", "warn"])
def test_other_predictions_than_stable_s_do_what_the_policy_says(action: str) -> None:
    guards = Guards(errors=1.25, predictions=1.5, predictions_action=action)
    evidence = predicting(np.random.default_rng(1), (0.5, 0.2, 0.3), guards)
    assert evidence.shares["predictions"] > evidence.limit
    said = judge.say(evidence, "predictions")
    assert said.startswith("predictions: 3")
    assert "'c' against 9." in said or "'c' against 10." in said
    assert (evidence.total >= evidence.limit) is (action == "rollback")
    assert judge.objections(evidence) == (("predictions",) if action == "pause" else ())
    assert [text.startswith(said) for text in judge.warnings(evidence)] == [True] * (action == "warn")


def test_predictions_within_the_margin_are_no_evidence() -> None:
    guards = Guards(predictions=1.5, predictions_action="rollback")
    alike = predicting(np.random.default_rng(2), (0.7, 0.2, 0.1), guards)
    tolerated = predicting(np.random.default_rng(3), (0.66, 0.2, 0.14), guards)
    assert alike.total < 1
    assert tolerated.total < 1


def test_a_class_that_stable_never_gives_is_seen() -> None:
    guards = Guards(predictions=1.5, predictions_action="rollback")
    looks = [look(arm(40, a=30, new=10), arm(360, a=360), at) for at in range(1000, 1006)]
    evidence = seen(guards, *looks)
    assert evidence.total > evidence.limit
    assert "other classes against 0.0 %" in judge.accusation(evidence)


def test_scores_are_compared_beyond_stable_s_own_quantiles() -> None:
    random = np.random.default_rng(7)

    def told(n: int, shift: int) -> Predictions:
        buckets, counts = np.unique(random.normal(20 + shift, 5, n).astype(int), return_counts=True)
        return Predictions(scores=dict(zip(map(int, buckets), map(int, counts), strict=True)))

    def final(shift: int) -> Evidence:
        evidence, times = judge.begin(Guards(predictions=1.5, predictions_action="rollback"), HISTORY), clock()
        for _ in range(40):
            arms = [replace(arm(n), predictions=told(n, s)) for n, s in ((40, shift), (360, 0))]
            evidence = judge.update(evidence, look(arms[0], arms[1], next(times)))
        return evidence

    assert final(0).total < 1
    shifted = final(6)
    assert shifted.total > shifted.limit
    assert "quantile against" in judge.accusation(shifted)


def test_predictions_wait_for_stable_s_first_ones() -> None:
    young = seen(Guards(predictions=1.5, predictions_action="rollback"), look(arm(9, a=9), arm(91, a=91)))
    assert judge.say(young, "predictions") == "predictions: 91 of 200 stable predictions until it can be judged"
    assert young.unseen == ("predictions",)
    assert judge.update(young, look(arm(9), arm(91), 1001.0)).total == 1.0, "without any told, nothing happens"


def test_rows_that_come_together_count_as_what_they_are() -> None:
    """Ten rows a request, all alike: the same shares say a nineteenth as much, in nats."""
    guards = Guards(predictions=1.0, predictions_action="rollback")

    def final(rows: int) -> float:
        looks = [
            look(arm(40, a=20 * rows, b=20 * rows), arm(360, a=270 * rows, b=90 * rows), at) for at in range(1000, 1009)
        ]
        return math.log(seen(guards, *looks).total)

    assert final(10) < final(1)
    assert seen(guards, look(arm(40, a=400), arm(360, a=3600))).units.rows_per_request == pytest.approx(19.0)


@pytest.mark.parametrize(("sizes", "inflation"), [("even", 5.0), ("geometric", 9.0)])
def test_the_windows_tell_how_unevenly_rows_come_together(sizes: str, inflation: float) -> None:
    """Requests of five rows: E[s^2] / E[s] is 5 when all are alike, and 2 * 5 - 1 when they are geometric."""
    random = np.random.default_rng(9)
    evidence, times = judge.begin(Guards(predictions=1.5), HISTORY), clock()
    for _ in range(400):
        requests = [int(n) for n in random.multinomial(100, (0.2, 0.8))]
        rows = [int(random.geometric(0.2, n).sum()) if sizes == "geometric" else 5 * n for n in requests]
        arms = [arm(n, a=told) for n, told in zip(requests, rows, strict=True)]
        evidence = judge.update(evidence, look(arms[0], arms[1], next(times)))
    assert evidence.units.rows_per_request == pytest.approx(inflation, rel=0.2)


def sticky(random: np.random.Generator, *, users: bool, looks: int = 40) -> float:
    """The largest evidence of healthy labels where every user sends five requests, all wrong or all right."""
    evidence, times, most = judge.begin(Guards(labels=1.0), HISTORY), clock(), 0.0
    for _ in range(looks):
        canary, stable = (int(n) for n in random.multinomial(20, (0.3, 0.7)))
        wrong = int(random.binomial(canary, 0.2)), int(random.binomial(stable, 0.2))
        at = next(times)
        window = LabelWindow(int(at) + 1, (5 * canary, 5 * wrong[0]), (5 * stable, 5 * wrong[1]))
        arms = [arm(n if users else 5 * n, served=5 * n) for n in (canary, stable)]
        evidence = judge.update(evidence, look(arms[0], arms[1], at, weight=0.3, labels=(window,), users=users))
        most = max(most, evidence.total)
    return most


def test_labels_of_the_same_users_are_not_counted_as_independent() -> None:
    """Errors in clusters of five: false rollbacks without knowing of users, none with."""
    random = np.random.default_rng(11)
    blind = sum(sticky(random, users=False) >= 100 for _ in range(60))
    knowing = sum(sticky(random, users=True) >= 100 for _ in range(60))
    assert blind >= 8
    assert knowing == 0


def test_users_are_counted_anew_at_each_stage_and_inflate_accordingly() -> None:
    evidence = judge.begin(Guards(errors=1.0), HISTORY, 2)
    for at in (1000.0, 1001.0):
        evidence = judge.restart(evidence)
        evidence = judge.update(evidence, look(arm(10, 5, served=20), arm(90, served=180), at, users=True))
    assert signal(evidence, "errors").inflation == pytest.approx(2.0)
    assert judge.say(evidence, "errors") == "errors 50.0 % against 0.0 % of the users"


def losing(random: np.random.Generator, kept: float, what: str, looks: int = 300) -> Evidence:
    """Looks of a second at 20 % of 100/s in which the canary's counts get lost; until telemetry objects."""
    evidence, times = judge.begin(Guards(errors=1.25, predictions=1.5, labels=1.1), HISTORY), clock()
    for _ in range(looks):
        at = next(times)
        canary = int(random.binomial(100, 0.2))
        stable = 100 - canary
        lost = {
            name: int(random.binomial(canary, kept if what == name else 1.0))
            for name in ("requests", "predictions", "labels")
        }
        labels = (LabelWindow(int(at) + 1, (lost["labels"], lost["labels"] // 10), (stable, stable // 10)),)
        arms = arm(lost["requests"], a=min(lost["predictions"], lost["requests"])), arm(stable, a=stable)
        evidence = judge.update(evidence, look(arms[0], arms[1], at, weight=0.2, labels=labels))
        if judge.objections(evidence):
            break
    return evidence


@pytest.mark.parametrize(
    ("what", "rests"), [("requests", "errors"), ("predictions", "predictions"), ("labels", "labels")]
)
def test_missing_telemetry_asks_for_a_pause_and_never_rolls_back(what: str, rests: str) -> None:
    evidence = losing(np.random.default_rng(5), 0.6, what)
    assert judge.objections(evidence) == ("telemetry",)
    assert evidence.total < evidence.limit
    assert judge.say(evidence, "telemetry").startswith(f"telemetry: {what}")
    assert judge.say(evidence, rests).endswith(f"(incomplete: {what} missing from one arm)")
    assert f"{what} are missing from one arm" in judge.sentence(evidence)
    assert "telemetry" not in evidence.unseen


def test_complete_telemetry_is_no_objection() -> None:
    random = np.random.default_rng(6)
    assert not any(judge.objections(losing(random, 1.0, "requests", 120)) for _ in range(10))


def test_requests_under_way_at_a_change_of_weight_are_not_missing() -> None:
    """Stable still finishes what it got before, and the canary of a slow model has not finished anything."""
    slow = replace(arm(0), latency=())
    history = tuple(1000 if index == 58 else 0 for index in range(len(LATENCY_BOUNDS_MS) + 1))
    evidence = judge.begin(Guards(errors=1.25), history)
    for at in (1000.0, 1001.0):
        evidence = judge.update(evidence, look(slow, ArmWindow(100), at, weight=0.5))
    assert judge.objections(evidence) == ()


told = st.one_of(
    st.none(),
    st.builds(
        lambda classes, scores: Predictions(classes=classes, scores=scores),
        st.dictionaries(st.sampled_from("abcdefghijklmnopq"), st.integers(0, 90), max_size=15),
        st.dictionaries(st.integers(-3, 9), st.integers(0, 90), max_size=5),
    ),
)
arms = st.builds(
    lambda requests, errors, timeouts, slow, served, predictions: ArmWindow(
        requests,
        errors,
        tuple(n if index in (15, 67) else 0 for index, n in enumerate([slow] * 68)),
        timeouts,
        predictions,
        served,
    ),
    *[st.integers(0, 60)] * 5,
    told,
)
observations = st.builds(
    lambda canary, stable, at, weight, kind, agreement, labels: look(
        canary,
        stable,
        at,
        weight=0.0 if kind in ("mirror", "testers") else weight,
        labels=tuple(LabelWindow(int(at) + 1, (a, b), (c, d)) for a, b, c, d in labels),
        agreement=agreement,
        mirror=0.5 if kind == "mirror" else 0.0,
        testers=kind == "testers",
        users=kind == "users",
        missing=("canary",) if kind == "missing" else (),
    ),
    arms,
    arms,
    st.integers(1000, 1030).map(float),
    st.sampled_from([0.0, 0.01, 0.5, 1.0]),
    st.sampled_from(["", "mirror", "testers", "users", "missing"]),
    st.tuples(st.integers(0, 50), st.integers(0, 60)),
    st.lists(st.tuples(*[st.integers(0, 20)] * 4), max_size=2),
)
stories = st.lists(st.one_of(observations, st.none()), max_size=8)


@given(stories, st.integers(0, 8))
def test_whatever_is_counted_evidence_stays_finite_and_survives_json(story: list[Observation | None], cut: int) -> None:
    """None is a new stage. Counts that tear, kinds of looks in any order: no fault, and no bit lost in a restart."""
    evidence = judge.begin(EVERYTHING, HISTORY, 3)
    for index, one in enumerate(story):
        if index == cut:
            evidence = judge.from_json(json.loads(json.dumps(judge.to_json(evidence), allow_nan=False)))
        evidence = judge.restart(evidence) if one is None else judge.update(evidence, one)
    whole = judge.begin(EVERYTHING, HISTORY, 3)
    for one in story:
        whole = judge.restart(whole) if one is None else judge.update(whole, one)
    assert evidence == whole
    assert judge.from_json(json.loads(json.dumps(judge.to_json(whole), allow_nan=False))) == whole
    assert math.isfinite(whole.total)
    assert judge.sentence(whole)
    assert judge.unproved(whole) is not None
    assert all(row.sentence and math.isfinite(row.e_value) for row in judge.rows(whole))
    assert judge.restart(judge.restart(whole)) == judge.restart(whole)


@given(st.integers(0, 30), st.integers(1, 30), st.integers(0, 300), st.integers(0, 9))
def test_more_failures_of_the_canary_never_look_better(bad: int, good: int, others: int, failed: int) -> None:
    def total(more: int) -> float:
        window = arm(bad + good, bad + more, timeouts=bad + more), arm(others + failed, failed)
        return seen(Guards(errors=1.25, timeouts=1.0), look(*window)).total

    assert total(1) >= total(0) - 1e-12


def test_counts_of_one_look_may_not_be_what_they_can() -> None:
    """A failure read before its request, more copies than requests, a negative count: clamped, and no crash."""
    torn = look(
        ArmWindow(3, 5, (9,) * 68, 7),
        ArmWindow(-1, 2, (), -3),
        agreement=(2, 5),
        labels=(LabelWindow(1001, (1, 4), (-2, 1)),),
    )
    evidence = seen(EVERYTHING, torn)
    assert signal(evidence, "errors").canary == (3, 3)
    assert signal(evidence, "agreement").canary == (2, 2)
