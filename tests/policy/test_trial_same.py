"""A policy test judges as the gates do: what they measured, given to it as figures, comes out the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.gates import limits
from mlship.gates.agreement import Agreement
from mlship.gates.contract import Contract
from mlship.gates.drift.gate import Drift
from mlship.gates.fairness import Fairness
from mlship.gates.latency.gate import results as latency_results
from mlship.gates.latency.measured import Arm, Figure, Measured
from mlship.gates.latency.target import Memory
from mlship.gates.leakage import Leakage
from mlship.gates.metrics.gate import Metrics
from mlship.gates.robustness.gate import Robustness
from mlship.gates.slices.gate import Slices
from mlship.gates.trial import Given, rules
from mlship.gates.value import Value
from mlship.policy.schema import Policy
from mlship.types import GateResult, Status
from tests.gates.support import Case, said

GATES: dict[str, Any] = {
    "contract": {"max_missing": "5%", "columns": {"x": {"type": "number", "min": 0, "max_missing": "1%"}}},
    "leakage": {"max_entity_overlap": "1%", "max_gain": "10%"},
    "drift": {"features": {"psi": 0.1, "wasserstein": 0.1}, "max_unseen": "1%", "min_rows": 100},
    "metrics": {
        "recall": {"min": 0.5, "max_drop": 0.02},
        "brier_score": {"max": 0.2, "max_drop": 0.001},
        "accuracy": {"min": 0.99},
    },
    "slices": {"by": ["g"], "metric": "error", "max": 0.3, "max_gap": 0.05, "max_drop": 0.01, "min_rows": 30},
    "fairness": {"by": ["g", "h"], "max_difference": 0.05, "min_ratio": 0.9, "min_rows": 30},
    "value": {"payoff": {"tp": 1, "fp": -1, "fn": -1, "tn": 0}, "min": 10, "min_gain": 0},
    "agreement": {"max_changed": "10%", "min_better": "50%"},
    "robustness": {
        "max_drop": 0.02,
        "max_flipped": "5%",
        "rows": 400,
        "permuted": False,
        "columns": False,
        "metric": "f1",
    },
}


@pytest.fixture(scope="module")
def case() -> Case:
    """Rows on which some rules pass, some fail and some are open."""
    rng = np.random.default_rng(7)
    n = 600
    x = rng.normal(3, 1, n)
    frame = pd.DataFrame(
        {
            "x": np.where(rng.random(n) < 0.02, np.nan, x),
            "g": rng.choice(["a", "b", "c"], n),
            "h": rng.choice(["u", "v"], n),
            "k": np.arange(n),
            "y": (x + rng.normal(0, 0.7, n) > 3).astype(int),
        }
    )

    def candidate(features: pd.DataFrame) -> Any:
        return said(1 / (1 + np.exp(-2 * (features["x"].fillna(3) - 3))))

    def champion(features: pd.DataFrame) -> Any:
        return said(1 / (1 + np.exp(-2.5 * (features["x"].fillna(3) - 3.1))))

    reference = frame.assign(x=frame["x"] + 0.4, k=frame["k"] + n // 2)
    return Case(
        GATES,
        frame,
        reference=reference,
        entity=("k",),
        inputs=("x", "g", "h"),
        champion_inputs=("x", "g"),
        models={"2": candidate, "1": champion},
    )


def again(result: GateResult, policy: Policy) -> GateResult:
    """The same figures, by way of a policy test."""
    rule = next(one for one in rules(policy) if (one.gate, one.name) == (result.gate, result.rule))
    measured = result.measured
    assert measured is not None
    champion = result.champion.value if result.champion else None
    groups = {"g": 3, "h": 2}.get(result.rule.split()[0], 2)
    chance = 0.0
    return rule.judge(
        Given(measured.value, measured.low, measured.high, champion, measured.n, groups=groups, chance=chance)
    )


@pytest.mark.parametrize(
    "gate",
    [Contract(), Leakage(), Drift(), Metrics(), Slices(), Fairness(), Value(), Agreement(), Robustness()],
    ids=lambda gate: str(gate.name),
)
def test_what_a_gate_measured_comes_out_the_same_in_a_policy_test(gate: Any, case: Case) -> None:
    policy = case.context().policy
    told = {rule.name: rule for rule in rules(policy) if rule.gate == gate.name}
    found = case.judged(gate)
    judged = {name: result for name, result in found.items() if name in told and result.measured is not None}
    assert judged, f"{gate.name} measured nothing: the test says nothing"
    # A rule that the gate has and a policy test does not know is one that no figure decides.
    assert not set(told) - set(found)
    for name, result in judged.items():
        repeated = again(result, policy)
        promise = "in {" in result.limit or name in ("x type", "x range")  # said in words, judged by a share of rows
        assert promise or repeated.limit == result.limit, name
        assert repeated.status is result.status, f"{name}: {result.reason}"


def test_the_case_shows_every_outcome(case: Case) -> None:
    statuses = {result.status for gate in (Metrics(), Slices(), Contract()) for result in case.judged(gate).values()}
    assert {Status.PASSED, Status.FAILED, Status.INCONCLUSIVE} <= statuses


def test_what_the_latency_gate_judges_comes_out_the_same() -> None:
    document = {
        "version": 1,
        "model": "m",
        "owner": {"team": "t", "contact": "t@example.com"},
        "image": {"max_size": "500MB"},
        "gates": {
            "latency": {
                "rate": "100/s",
                "p50": "10ms",
                "p99": "200ms",
                "errors": "1%",
                "max_ratio": "1.2x",
                "cold_start": "2s",
                "memory": "300MB",
                "agree": False,
            }
        },
    }
    policy = Policy.model_validate(document)
    assert policy.gates.latency is not None
    quantiles = {"p50": Figure(0.009, 0.008, 0.0095, 3000), "p99": Figure(0.19, 0.17, 0.22, 3000)}
    arm = Arm("2", 3000, quantiles, {}, Figure(0.02, 0.015, 0.026), memory=Memory(310_000_000, "peak"), cold_start=1.5)
    measured = Measured("process", arm, champion=arm, ratio=Figure(1.1, 1.0, None, 3000), image_size=400_000_000)
    found = {one.rule: one for one in latency_results(policy.gates.latency, measured, 500_000_000)}
    assert set(found) == {rule.name for rule in rules(policy)}
    for name, result in found.items():
        assert again(result, policy).status is result.status, name
        assert again(result, policy).limit == result.limit
    assert {one.status for one in found.values()} == {Status.PASSED, Status.FAILED, Status.INCONCLUSIVE}


def test_without_a_champion_what_compares_is_skipped_as_in_the_gates(case: Case) -> None:
    policy = case.context().policy
    compared = {(one.gate, one.name) for one in rules(policy) if one.compares}
    assert compared == {
        ("leakage", "max_gain"),
        ("metrics", "recall max_drop"),
        ("metrics", "brier_score max_drop"),
        ("slices", "error max_drop"),
        ("value", "min_gain"),
        ("agreement", "max_changed"),
        ("agreement", "min_better"),
    }
    alone = Case(
        GATES,
        case.rows,
        reference=case.reference,
        inputs=case.inputs,
        models={"2": case.models["2"]} if case.models else None,
    )
    for gate in (Leakage(), Metrics(), Slices(), Value(), Agreement()):
        for name, result in alone.judged(gate).items():
            if (gate.name, name) in compared:
                assert result.status is Status.SKIPPED, name
    skipped = [one.judge(Given(0.5), has_champion=False) for one in rules(policy) if one.compares]
    assert {one.status for one in skipped} == {Status.SKIPPED}


def test_limits_know_which_metrics_are_errors() -> None:
    assert limits.higher_is_better("recall")
    assert not limits.higher_is_better("rmse")
    assert not limits.higher_is_better("false_positive_rate")
