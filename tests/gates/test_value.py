"""The value gate: money per 1,000 predictions, against the champion, and the threshold that would earn most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.exhibits import Curves
from mlship.gates.value import Value
from mlship.stats.ranking import Ranked
from mlship.stats.thresholds import Payoffs, thresholds
from mlship.types import Status
from tests.gates.support import Case, Said, assert_page_shows, said

RNG = np.random.default_rng(0)
N = 3000
Y = (RNG.random(N) < 0.3).astype(int)
ROWS = pd.DataFrame({"y": Y})
PAYOFF = {"tp": 12, "fp": -3, "fn": -40, "tn": 0}


def _model(signal: float) -> Said:
    noise = np.random.default_rng(7).normal(size=N)
    return said(1 / (1 + np.exp(-(signal * (Y - 0.5) + noise))))


GOOD, WORSE = _model(3), _model(1.5)


def _case(candidate: Any = GOOD, champion: Any = WORSE, rows: pd.DataFrame = ROWS, **rules: Any) -> Case:
    return Case(gates={"value": {"payoff": PAYOFF} | rules}, rows=rows, candidate=candidate, champion=champion)


def _earned(model: Said) -> float:
    pay = np.array([[0, -3], [-40, 12]])
    return float(pay[Y, model.values].mean() * 1000)


def test_value_is_the_mean_payoff_per_thousand() -> None:
    """Value, gain and intervals in money; a better model gains."""
    found = _case(min=-5000).judged(Value())
    assert {rule: result.status for rule, result in found.items()} == {"min": Status.PASSED, "min_gain": Status.PASSED}
    worth, gain = found["min"].measured, found["min_gain"].measured
    assert worth is not None
    assert gain is not None
    assert worth.value == pytest.approx(_earned(GOOD))
    assert gain.value == pytest.approx(_earned(GOOD) - _earned(WORSE))
    assert gain.low < gain.value < gain.high  # type: ignore[operator]  # they are numbers here
    assert "candidate" in found["min_gain"].reason


def test_a_model_that_loses_money_fails() -> None:
    """Against its limit, and against a champion that earns more."""
    found = _case(WORSE, GOOD, min=0).judged(Value())
    assert {result.status for result in found.values()} == {Status.FAILED}


def test_the_first_promotion_has_no_gain() -> None:
    """No champion: `min` is judged, `min_gain` is skipped with the reason."""
    found = _case(champion=None, min=-5000).judged(Value())
    assert found["min"].status is Status.PASSED
    assert found["min_gain"].status is Status.SKIPPED
    assert "no champion" in found["min_gain"].reason


def test_the_same_model_gains_exactly_nothing() -> None:
    """`min_gain: 0` passes for a copy of the champion."""
    result = _case(GOOD, GOOD).judged(Value())["min_gain"]
    assert result.status is Status.PASSED
    assert "same predictions" in result.reason


def test_the_reason_names_the_threshold_that_would_earn_most() -> None:
    """A missed positive costs 40, a false alarm 3: a lower threshold earns more, and the reason says how much."""
    (result,) = _case().judged(Value()).values()
    assert "would earn most" in result.reason
    assert "chosen on four fifths of these rows" in result.reason
    (curve,) = result.exhibits
    assert isinstance(curve, Curves)
    assert [series.name for series in curve.series] == ["candidate", "champion"]
    assert all(len(series.x) <= 100 for series in curve.series)
    assert curve.marked == (0.5, "in use")
    at_half = curve.series[0].y[min(range(len(curve.series[0].x)), key=lambda i: abs(curve.series[0].x[i] - 0.5))]
    assert at_half == pytest.approx(_earned(GOOD), abs=150)


def test_a_threshold_of_the_policy_is_the_one_in_use() -> None:
    """From 0.2 on instead of the model's 0.5."""
    (result,) = _case(threshold=0.2).judged(Value()).values()
    assert result.champion is not None
    low = Said((GOOD.scores[:, 1] >= 0.2).astype(int))
    worse = Said((WORSE.scores[:, 1] >= 0.2).astype(int))
    assert result.measured is not None
    assert result.measured.value == pytest.approx(_earned(low) - _earned(worse))
    (curve,) = result.exhibits
    assert isinstance(curve, Curves)
    assert curve.marked == (0.2, "in use")


def test_a_payoff_function_values_numbers(tmp_path: Path) -> None:
    """`money:earned` beside the policy says what each prediction earns; the evidence names its digest."""
    (tmp_path / "money.py").write_text("def earned(labels, predictions):\n    return 5 - abs(labels - predictions)\n")
    label = RNG.normal(size=200)
    case = Case(
        gates={"value": {"function": "money:earned", "min": 4000}},
        rows=pd.DataFrame({"y": label}),
        candidate=Said(label + 0.1),
        champion=Said(label + RNG.normal(size=200)),
        base=tmp_path,
    )
    found = case.judged(Value())
    assert {result.status for result in found.values()} == {Status.PASSED}
    assert found["min"].measured is not None
    assert found["min"].measured.value == pytest.approx(4900)
    assert "money:earned (sha256 " in found["min"].measured.source


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "def earned(labels, predictions):\n    return 1 / 0\n",
            "money:earned failed at money.py:2: ZeroDivisionError",
        ),
        ("def earned(labels, predictions):\n    return 7\n", "an array of shape (), not one number for each"),
        ("def earned(labels, predictions):\n    return labels * float('nan')\n", "gives NaN"),
        ("def earnt(labels, predictions):\n    return labels\n", "has no function 'earned'; did you mean 'earnt'?"),
        ("def earned(:\n", "cannot be imported at money.py:1: SyntaxError"),
    ],
)
def test_a_function_that_fails_is_an_error_with_its_line(tmp_path: Path, code: str, says: str) -> None:
    """No traceback: file, line and what it said."""
    (tmp_path / "money.py").write_text(code)
    case = _case(payoff=None, function="money:earned")
    case.base = tmp_path
    (result,) = case.judged(Value()).values()
    assert result.status is Status.ERROR
    assert says in result.reason


def test_without_probabilities_there_is_no_threshold_to_speak_of() -> None:
    """The value is judged; nothing is said about thresholds."""
    classes = np.array([0, 1])
    (result,) = _case(Said(GOOD.values, None, classes), Said(WORSE.values, None, classes)).judged(Value()).values()
    assert result.status is Status.PASSED
    assert result.exhibits == ()
    assert "threshold" not in result.reason


@pytest.mark.parametrize(
    ("case", "status", "says"),
    [
        (_case(rows=ROWS.head(20)), Status.INCONCLUSIVE, "20 rows"),
        (_case(rows=ROWS.assign(y=1)), Status.INCONCLUSIVE, "every row has the same label, 1"),
        (_case(function="money:earned"), Status.ERROR, "one of `payoff` (two classes) and `function`"),
        (_case(Said(RNG.normal(size=N)), None), Status.ERROR, "a payoff table is for two classes"),
        (_case(rows=ROWS.assign(y=np.arange(N) % 3)), Status.ERROR, "none of the model's classes"),
    ],
)
def test_what_cannot_be_valued_says_why(case: Case, status: Status, says: str) -> None:
    """Never passed."""
    for result in case.judged(Value()).values():
        assert result.status is status
        assert says in result.reason


def test_the_promise_of_the_best_threshold_is_not_optimistic() -> None:
    """Scores without any information: the best of a thousand thresholds seems to earn; on other rows it does not."""
    payoffs = Payoffs(tp=1, fp=-1, fn=0, tn=0)
    seemed, promised = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        positive, score = rng.random(400) < 0.5, rng.random(400)
        found = thresholds(Ranked.of(positive, score), positive, payoffs, seed)
        seemed.append(found.value.max())
        promised.append(found.checked)
    assert np.mean(seemed) > 0.02
    assert abs(np.mean(promised)) < 0.01


def test_value_by_threshold_is_what_the_threshold_earns() -> None:
    """On a grid of thresholds, against the plain sum."""
    rng = np.random.default_rng(3)
    positive, score = rng.random(500) < 0.3, rng.random(500).round(2)
    payoffs = Payoffs(tp=12, fp=-3, fn=-40, tn=1)
    found = thresholds(Ranked.of(positive, score), positive, payoffs, 1)
    for threshold in (0.0, 0.25, 0.5, 0.995):
        chosen = score >= threshold
        plain = 12 * (positive & chosen) - 3 * (~positive & chosen) - 40 * (positive & ~chosen) + (~positive & ~chosen)
        assert found.value_at(np.array([threshold]))[0] == pytest.approx(plain.mean())


@pytest.mark.parametrize("outcome", ["passing", "failing"])
def test_the_page_shows_what_the_gate_says(outcome: str) -> None:
    """Word for word, figure for figure."""
    models = (GOOD, WORSE) if outcome == "passing" else (WORSE, GOOD)
    assert_page_shows(Value(), outcome, _case(*models, min=0))
