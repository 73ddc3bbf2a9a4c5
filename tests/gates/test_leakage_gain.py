"""A gain that is too good to be true is flagged when it rests on new columns, and an honest one is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.errors import DataError, ModelError, ModelFault
from mlship.gates.leakage import Leakage
from mlship.types import GateResult, Status
from tests.conftest import FEATURES
from tests.gates.support import Case, Said, said

RNG = np.random.default_rng(5)
N = 3000
LABEL = (RNG.random(N) < 0.3).astype(int)
ROWS = pd.DataFrame(
    {
        "old": LABEL + RNG.normal(size=N),
        "fresh": LABEL + 3 * RNG.normal(size=N),
        "leak": LABEL + 0.5 * RNG.normal(size=N),
        "other": LABEL + 0.5 * RNG.normal(size=N),
        "y": LABEL,
    }
)


def _by(**weights: float) -> Callable[[pd.DataFrame], Said]:
    """A model that adds up columns, and forgets nothing."""
    return lambda rows: said(1 / (1 + np.exp(-sum(weight * rows[name] for name, weight in weights.items()))))


def _case(candidate: Callable[[pd.DataFrame], Any], inputs: tuple[str, ...], **rules: Any) -> Case:
    return Case(
        gates={"leakage": rules},
        rows=ROWS,
        inputs=inputs,
        champion_inputs=("old",),
        models={"2": candidate, "1": _by(old=1)},
    )


def _judged(case: Case) -> GateResult:
    return case.judged(Leakage())["max_gain"]


LEAKING = _by(old=1, leak=4)


def test_a_gain_that_rests_on_a_new_column_fails() -> None:
    """It is named, with what to do, and shown beside what is left without it."""
    found = _judged(_case(LEAKING, ("old", "leak")))
    assert found.status is Status.FAILED
    assert "remaining error that is removed on the strength of leak is" in found.reason
    assert (
        "make sure that it is known when the model is asked, then list it under gates.leakage.vouched" in found.reason
    )
    (shown,) = found.exhibits
    assert [row[0] for row in shown.rows] == ["nothing", "leak", "(the champion)"]  # type: ignore[union-attr] # a table


def test_several_columns_are_named_the_strongest_first() -> None:
    """Each is shuffled alone too."""
    found = _judged(_case(_by(old=1, fresh=0.1, leak=1, other=3), ("old", "fresh", "leak", "other")))
    assert found.status is Status.FAILED
    assert "on the strength of other, leak and fresh" in found.reason


def test_an_honest_new_column_passes() -> None:
    """It helps a little."""
    found = _judged(_case(_by(old=1, fresh=0.05), ("old", "fresh")))
    assert found.status is Status.PASSED


def test_a_gain_that_does_not_rest_on_the_new_column_passes() -> None:
    """The champion was upside down; the new column is decoration."""
    case = _case(_by(old=1, fresh=0.001), ("old", "fresh"))
    case.models = {"2": _by(old=1, fresh=0.001), "1": _by(old=-1)}
    found = _judged(case)
    assert found.status is Status.PASSED
    assert "shuffled among the rows" in found.reason


def test_vouched_columns_are_not_new() -> None:
    """Somebody has checked; a slip of the pen vouches for nothing."""
    assert _judged(_case(LEAKING, ("old", "leak"), vouched=["leak"])).status is Status.SKIPPED
    refused = _case(LEAKING, ("old", "leak"), unavailable=["leak"]).judged(Leakage())
    assert refused["unavailable"].status is Status.FAILED
    assert refused["max_gain"].status is Status.SKIPPED  # one finding is enough
    found = _judged(_case(LEAKING, ("old", "leak"), vouched=["laek"]))
    assert found.status is Status.FAILED
    assert "gates.leakage.vouched names what is no input: 'laek'; did you mean 'leak'?" in found.reason


def test_without_what_it_needs_nothing_is_judged() -> None:
    """No champion, no new column, no signature, too few rows, one label: each says so."""
    case = _case(LEAKING, ("old",))
    assert _judged(case).status is Status.SKIPPED
    assert "takes no column that the champion does not take" in _judged(case).reason
    case = _case(LEAKING, ("old", "leak"))
    case.models = {"2": LEAKING}
    assert (_judged(case).status, _judged(case).reason) == (Status.SKIPPED, "there is no champion to gain on")
    for rules, status in (({}, Status.SKIPPED), ({"max_gain": "10%"}, Status.INCONCLUSIVE)):
        case = _case(LEAKING, ("old", "leak"), **rules)
        case.champion_inputs = ()
        assert _judged(case).status is status
        assert "the champion has no signature" in _judged(case).reason
    for rows in (ROWS.head(29), ROWS.assign(y=1)):
        case = _case(LEAKING, ("old", "leak"))
        case.rows = rows
        assert _judged(case).status is Status.INCONCLUSIVE
    case.rows, case.target = ROWS, None
    assert _judged(case).status is Status.INCONCLUSIVE
    assert "max_gain" not in _case(LEAKING, ("old", "leak"), max_gain=None).judged(Leakage())


def test_a_candidate_without_a_signature_sees_every_column() -> None:
    """So every column that the champion does not take is new."""
    case = _case(LEAKING, ())
    found = _judged(case)
    assert found.status is Status.FAILED
    assert "leak" in found.reason


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ModelError("it crashed", hint="look"), Status.ERROR),
        (ModelFault("it crashed", where="m version 2"), Status.FAILED),
        (DataError("no column 'old'"), Status.INCONCLUSIVE),
    ],
)
def test_a_model_that_fails_spoils_only_this_rule(error: Exception, status: Status) -> None:
    """The other rules of the gate need no model."""

    def refuse(_rows: pd.DataFrame) -> Said:
        raise error

    results = _case(refuse, ("old", "leak")).judged(Leakage())
    assert results["max_gain"].status is status
    assert results["unavailable"].status is Status.PASSED


def test_a_perfect_champion_leaves_nothing_to_gain() -> None:
    """No share of nothing."""
    case = _case(LEAKING, ("old", "leak"))
    case.models = {"2": LEAKING, "1": lambda rows: said(LABEL[: len(rows)] * 0.8 + 0.1)}
    found = _judged(case)
    assert found.status is Status.PASSED
    assert "leaves no error" in found.reason


def _classes(rows: pd.DataFrame, **weights: float) -> Said:
    """Three classes by the weighted mean of columns, with scores."""
    mean = rows[list(weights)].to_numpy() @ np.array(list(weights.values())) / sum(weights.values())
    scores = np.exp(-((mean[:, None] - np.array([0.0, 1.0, 2.0])) ** 2))
    scores /= scores.sum(axis=1, keepdims=True)
    return Said(np.array(["a", "b", "c"])[scores.argmax(axis=1)], scores, np.array(["a", "b", "c"]))


def test_several_classes_and_quantities() -> None:
    """Each class against the rest; classes without scores by accuracy; numbers by the mean squared error."""
    kind = RNG.integers(0, 3, N)
    rows = pd.DataFrame({"old": kind + RNG.normal(size=N), "leak": kind + 0.2 * RNG.normal(size=N)})
    named = rows.assign(y=np.array(["a", "b", "c"])[kind])

    def champion(table: pd.DataFrame) -> Said:
        return _classes(table, old=1)

    def candidate(table: pd.DataFrame) -> Said:
        return _classes(table, old=1, leak=3)

    def plain(model: Callable[[pd.DataFrame], Said]) -> Callable[[pd.DataFrame], Said]:
        return lambda table: Said(model(table).values)

    numbers = rows.assign(y=kind + 0.1 * RNG.normal(size=N))
    for table, ours, theirs, word in (
        (named, candidate, champion, "AUC"),
        (named, plain(candidate), plain(champion), "accuracy"),
        (numbers, lambda t: Said(t["leak"].to_numpy()), lambda t: Said(t["old"].to_numpy()), "mean squared error"),
    ):
        case = _case(ours, ("old", "leak"))
        case.rows, case.models = table, {"2": ours, "1": theirs}
        found = _judged(case)
        assert found.status is Status.FAILED, found.reason
        assert f"; {word} " in found.reason


def test_the_same_seed_gives_the_same_figures_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rows are sampled, and the model is asked about the sample only."""
    monkeypatch.setattr("mlship.gates.leakage_gain._ROWS", 1000)
    asked: list[int] = []

    def watch(rows: pd.DataFrame) -> Said:
        asked.append(len(rows))
        assert "y" not in rows.columns
        return LEAKING(rows)

    found, again = (_judged(_case(watch, ("old", "leak"))) for _ in range(2))
    assert found == again
    assert asked == [N, 1000, N, 1000]


def _flights_case(
    flights: pd.DataFrame, train: Callable[..., Any], extra: list[str], champion_lacks: str = "", **options: Any
) -> Case:
    """The champion learned from January to March, the candidate from January to June; July decides."""
    theirs, ours = [name for name in FEATURES if name != champion_lacks], [*FEATURES, *extra]

    def model(months: int, features: list[str]) -> Callable[[pd.DataFrame], Said]:
        fitted = train(flights[flights["month"] <= months], features, **options)

        def predict(rows: pd.DataFrame) -> Said:
            scores = fitted.predict_proba(rows[features])
            return Said(fitted.classes_[scores.argmax(axis=1)], scores, fitted.classes_)

        return predict

    categories = {"carrier", "origin", "dest"} - set(theirs)
    assert not categories, "`train` encodes these"
    return Case(
        gates={"leakage": {}},
        rows=flights[flights["month"] == 7].reset_index(drop=True),
        target="late",
        time="time_hour",
        inputs=tuple(ours),
        champion_inputs=tuple(theirs),
        models={"2": model(6, ours), "1": model(3, theirs)},
    )


@pytest.mark.parametrize("trees", [20, 50])
@pytest.mark.parametrize(
    "extra", [["arr_time", "air_time"], ["arr_time"], ["air_time"]], ids=["both", "arr_time", "air_time"]
)
def test_the_flights_leak_is_flagged_from_the_data_alone(
    trees: int, extra: list[str], flights: pd.DataFrame, train: Callable[..., Any]
) -> None:
    """Arrival time and air time together give the delay away, in small models and larger ones."""
    found = _flights_case(flights, train, extra, max_iter=trees).judged(Leakage())
    assert found["max_gain"].status is Status.FAILED
    for name in extra:
        assert name in found["max_gain"].reason
    assert found["max_single_feature_auc"].status is Status.PASSED  # no single column tells
    assert found["unavailable"].status is Status.PASSED  # nobody listed them


@pytest.mark.parametrize(
    ("extra", "lacks"),
    [
        pytest.param(["month", "day"], "", id="month and day"),
        pytest.param(["flight"], "", id="flight"),
        pytest.param([], "distance", id="distance"),
        pytest.param([], "weekday", id="weekday"),
        pytest.param([], "hour", id="hour"),
    ],
)
def test_honest_new_columns_of_the_flights_are_not_flagged(
    extra: list[str], lacks: str, flights: pd.DataFrame, train: Callable[..., Any]
) -> None:
    """A better model with new columns that are known at the gate."""
    found = _flights_case(flights, train, extra, lacks, max_iter=50).judged(Leakage())
    assert found["max_gain"].status is Status.PASSED, found["max_gain"].reason
