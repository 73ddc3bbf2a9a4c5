"""The robustness gate: rows a little wrong, judged against limits and told beside the champion."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.errors import DataError, ModelError
from mlship.exhibits import Curves, Table
from mlship.gates.base import GateContext
from mlship.gates.limits import robustness_metric
from mlship.gates.robustness.gate import Robustness
from mlship.gates.robustness.perturb import UNSEEN
from mlship.policy.gates import Gates, RobustnessGate
from mlship.policy.load import load_policy
from mlship.scoring.casts import fit
from mlship.types import GateResult, ModelVersion, Status
from tests.gates.support import Case, Said, assert_page_shows, said

Model = Callable[[pd.DataFrame], Any]
N = 2000
RNG = np.random.default_rng(11)
ORIGINS = {"EWR": 0.4, "JFK": 0.0, "LGA": -0.4}
ROWS = pd.DataFrame(
    {"origin": RNG.choice(list(ORIGINS), N), "delay": RNG.normal(5, 20, N).round(1), "hour": RNG.integers(5, 24, N)}
)
ROWS["late"] = (ROWS["delay"] / 10 + ROWS["origin"].map(ORIGINS) + RNG.normal(0, 0.7, N) > 0.8).astype(int)
INPUTS = ("origin", "delay", "hour")
OFF: dict[str, Any] = {
    "noise": "0%", "missing": "0%", "scale": "0%", "unseen_categories": False, "permuted": False, "columns": False
}  # fmt: skip
PASSING: dict[str, Any] = {"max_drop": 0.05, "max_flipped": "6%"}
METRICS = {"average_precision": {"min": 0.6}}


def _chance(frame: pd.DataFrame, absent: float, slope: float = 10) -> Any:
    """A logistic model of a row; what is missing counts as `absent`."""
    origin = frame["origin"].astype(object).map(ORIGINS).fillna(0.0).astype(float)
    return 1 / (1 + np.exp(-(frame["delay"].astype(float).fillna(absent) / slope + origin - 0.8)))


def _steady(frame: pd.DataFrame) -> Said:
    """Takes a typical value for what is missing, and no offence at an origin it does not know."""
    return said(_chance(fit(frame, None, list(INPUTS)), 5.0))


def _older(frame: pd.DataFrame) -> Said:
    """Trusts the delay less, and is otherwise the same."""
    return said(_chance(fit(frame, None, list(INPUTS)), 5.0, slope=14))


def _brittle(frame: pd.DataFrame) -> Said:
    """Refuses an unknown origin, and takes a missing delay for a huge one, as -999 and its kin do."""
    rows = fit(frame, None, list(INPUTS))
    if unknown := set(rows["origin"].dropna()) - set(ORIGINS):
        raise ModelError(f"the model failed: ValueError: Found unknown categories {sorted(unknown)} in column 0")
    return said(_chance(rows, 999.0))


def _case(model: Model = _steady, champion: Model | None = _older, rows: pd.DataFrame = ROWS, **rules: Any) -> Case:
    models = {"2": model} | ({"1": champion} if champion else {})
    case = Case(gates={"metrics": METRICS, "robustness": rules}, rows=rows, target="late", models=models)
    case.inputs = case.champion_inputs = INPUTS
    return case


def _only(**rules: Any) -> dict[str, Any]:
    return OFF | rules


def _signed(case: Case, directory: Path, columns: list[dict[str, Any]]) -> GateContext:
    """The case, with a candidate whose files hold a signature."""
    (directory / "MLmodel").write_text(json.dumps({"signature": {"inputs": json.dumps(columns)}}), encoding="utf-8")
    context = case.context()
    version = replace(context.candidate.version, path=directory, inputs=tuple(column["name"] for column in columns))
    return replace(context, candidate=replace(context.candidate, version=version))


def _judged(context: GateContext) -> dict[str, GateResult]:
    return {result.rule: result for result in Robustness().judge(context)}


def examples() -> dict[str, tuple[Robustness, Case]]:
    """What the page shows, by its headings."""
    return {
        "Passing": (Robustness(), _case(**PASSING)),
        "Failing": (Robustness(), _case(_brittle, **PASSING)),
    }


@pytest.mark.parametrize("outcome", examples())
def test_the_page_shows_what_the_gate_says(outcome: str) -> None:
    """Word for word."""
    gate, case = examples()[outcome]
    assert_page_shows(gate, outcome, case)


def test_a_steady_model_passes_every_rule() -> None:
    """One result for each perturbation and limit; what is only shown neither helps nor harms."""
    found = _case(**PASSING).judged(Robustness())
    kinds = ("noise", "missing", "scale", "unseen_categories")
    assert set(found) == {f"{kind} {limit}" for kind in kinds for limit in ("max_drop", "max_flipped")} | {
        "columns",
        "permuted",
    }
    assert found.pop("permuted").status is Status.SKIPPED
    assert {result.status for result in found.values()} == {Status.PASSED}


def test_a_drop_beyond_the_limit_fails_with_the_column_and_the_champion() -> None:
    """The champion falls as well: the candidate has failed all the same."""
    found = _case(_brittle, _brittle, **_only(missing="10%"), max_drop=0.02).judged(Robustness())["missing max_drop"]
    assert found.status is Status.FAILED
    assert found.measured is not None
    assert found.champion is not None
    assert found.measured.value == pytest.approx(found.champion.value)
    assert "with 10% of the values missing it goes from" in found.reason
    assert "the champion's changes by -0." in found.reason
    assert "column 'delay' by itself changes most" in found.reason


def test_a_model_that_gives_no_answer_has_failed() -> None:
    """With its own words, the column that it fails on, and what the champion does; the other tables are judged."""
    found = _case(_brittle, **PASSING).judged(Robustness())
    for rule in ("unseen_categories max_drop", "unseen_categories max_flipped"):
        assert found[rule].status is Status.FAILED
        assert f"Found unknown categories ['{UNSEEN}']" in found[rule].reason
        assert "the champion answers" in found[rule].reason
        assert "column 'origin' is the only one touched" in found[rule].reason
    assert found["noise max_drop"].status is Status.PASSED
    assert found["scale max_flipped"].status is Status.PASSED


def test_a_champion_that_gives_no_answer_does_not_harm_the_candidate() -> None:
    """It is told."""
    found = _case(_steady, _brittle, **PASSING).judged(Robustness())["unseen_categories max_drop"]
    assert found.status is Status.PASSED
    assert found.champion is None
    assert "the champion gives no answer: the model failed: ValueError" in found.reason


def test_without_a_champion_the_candidate_stands_alone() -> None:
    """The first promotion."""
    found = _case(champion=None, **PASSING).judged(Robustness())
    assert found["noise max_drop"].status is Status.PASSED
    assert "champion" not in found["noise max_drop"].reason
    (curve,) = found["noise max_drop"].exhibits
    assert isinstance(curve, Curves)
    assert [series.name for series in curve.series] == ["candidate"]


def test_without_labels_flips_are_judged_and_drops_are_not() -> None:
    """No data is never a pass."""
    case = _case(**_only(noise="10%"), max_flipped="5%")
    case.target = None
    found = case.judged(Robustness())
    assert found["noise max_drop"].status is Status.INCONCLUSIVE
    assert "names no target column" in found["noise max_drop"].reason
    assert "of the predictions flip" in found["noise max_drop"].reason
    assert found["noise max_flipped"].status is Status.PASSED
    (curve,) = found["noise max_drop"].exhibits
    assert isinstance(curve, Curves)
    assert curve.y == "share of predictions that flip"
    assert curve.series[0].y[0] == 0


@pytest.mark.parametrize(
    ("metrics", "rules", "status", "reason"),
    [
        ({}, {}, Status.INCONCLUSIVE, "no metric is named: write gates.robustness.metric"),
        (METRICS, {"metric": "recal"}, Status.ERROR, "did you mean 'recall'?"),
        (METRICS, {"metric": "rmse"}, Status.ERROR, "it is for numbers"),
        (METRICS, {"metric": "log_loss"}, Status.PASSED, "change of log_loss"),
        ({"recall": {"min": 0.5, "threshold": 0.3}}, {}, Status.PASSED, "change of recall"),
    ],
)
def test_the_metric_is_the_one_named_or_the_first(
    metrics: dict[str, Any], rules: dict[str, Any], status: Status, reason: str
) -> None:
    """Errors are judged the other way round; a threshold counts here as in the metrics gate."""
    case = _case(**_only(noise="1%"), max_drop=0.2, **rules)
    case.gates["metrics"] = metrics
    found = case.judged(Robustness())["noise max_drop"]
    assert found.status is status
    assert reason in found.reason
    assert found.limit == ("<= 0.2" if {"rmse", "log_loss"} & set(rules.values()) else ">= -0.2")


def test_an_error_that_grows_fails() -> None:
    """For a metric where less is better a drop is a rise."""
    case = _case(_brittle, **_only(missing="20%"), metric="log_loss", max_drop=0.01)
    found = case.judged(Robustness())["missing max_drop"]
    assert found.status is Status.FAILED
    assert found.measured is not None
    assert (found.measured.value or 0) > 0.01


def test_predicted_numbers_move() -> None:
    """A quantity has no classes to flip between: it moves by a tenth of its spread, or it does not."""

    def number(frame: pd.DataFrame) -> Said:
        return Said(frame["delay"].to_numpy(dtype=float) * 2)

    rows = ROWS.assign(late=ROWS["delay"] * 2 + RNG.normal(0, 5, N))
    case = _case(number, number, rows, **_only(noise="50%"), max_flipped="10%", metric="r2", max_drop=0.01)
    found = case.judged(Robustness())
    assert found["noise max_drop"].status is Status.FAILED
    assert found["noise max_flipped"].status is Status.FAILED
    assert "move by more than a tenth of their standard deviation" in found["noise max_flipped"].reason


def test_too_few_rows_or_one_label_decide_nothing() -> None:
    """Nor does a policy without data."""
    (few,) = _case(rows=ROWS.head(20), **PASSING).judged(Robustness()).values()
    assert (few.status, "below 30 nothing is decided" in few.reason) == (Status.INCONCLUSIVE, True)
    (none,) = Case(gates={"robustness": {}}).judged(Robustness()).values()
    assert none.status is Status.INCONCLUSIVE
    alike = _case(rows=ROWS.assign(late=0), **_only(noise="10%")).judged(Robustness())["noise max_drop"]
    assert alike.status is Status.INCONCLUSIVE
    assert "every row has the same label, 0" in alike.reason


def test_what_cannot_be_done_is_skipped_or_when_asked_for_inconclusive() -> None:
    """A model of texts only has no number to blur."""

    def by_origin(frame: pd.DataFrame) -> Said:
        return said(frame["origin"].astype(object).map({"EWR": 0.9}).fillna(0.1))

    case = _case(by_origin, by_origin, permuted=False, columns=False, scale="10%")
    case.inputs = case.champion_inputs = ("origin",)
    found = case.judged(Robustness())
    assert (found["noise max_drop"].status, found["noise max_drop"].reason) == (
        Status.SKIPPED,
        "no input holds numbers",
    )
    assert found["scale max_drop"].status is Status.INCONCLUSIVE


def test_whole_numbers_of_a_signature_are_never_missing(tmp_path: Path) -> None:
    """The server refuses such a row, so it is no perturbation; the reason says which columns these are."""
    types = {"origin": "string", "delay": "double", "hour": "long"}
    columns = [{"name": name, "type": kind, "required": True} for name, kind in types.items()]
    asked: list[pd.DataFrame] = []

    def model(frame: pd.DataFrame) -> Said:
        asked.append(frame)
        return _steady(frame)

    found = _judged(_signed(_case(model, None, **_only(missing="10%")), tmp_path, columns))["missing max_drop"]
    assert found.status is Status.PASSED
    assert "hour holds whole numbers in the signature: a row that misses one is refused" in found.reason
    assert all(frame["hour"].notna().all() and frame["hour"].dtype == "int64" for frame in asked)
    whole: list[dict[str, Any]] = [{"name": "hour", "type": "long"}]
    case = _case(lambda frame: said(frame["hour"] / 30), None, **_only(missing="10%"))
    found = _judged(_signed(case, tmp_path, whole))["missing max_drop"]
    assert found.status is Status.INCONCLUSIVE
    assert "no input may miss a value" in found.reason


def test_a_silently_missing_column_fails() -> None:
    """A model without a signature that fills in what is not there, and answers otherwise."""

    def silent(frame: pd.DataFrame) -> Said:
        return said(_chance(frame.assign(**{name: 0.0 for name in INPUTS if name not in frame.columns}), 5.0))

    case = _case(silent, None, **_only(columns=True))
    case.inputs = ()
    found = case.judged(Robustness())["columns"]
    assert found.status is Status.FAILED
    assert "without delay: the model answers all the same, and" in found.reason
    assert "without hour" not in found.reason
    (table,) = found.exhibits
    assert isinstance(table, Table)
    assert ("without hour", "passed", "the answers are the same: the model does not use it") in table.rows


def test_an_extra_column_or_another_order_must_not_matter() -> None:
    """A model that goes by position is found out."""

    def by_position(frame: pd.DataFrame) -> Said:
        if frame.shape[1] != len(INPUTS):
            raise ModelError(f"the model failed: ValueError: X has {frame.shape[1]} features, but it expects 3")
        if not pd.api.types.is_numeric_dtype(frame.iloc[:, 2]):
            raise ModelError("the model failed: ValueError: could not convert string to float: 'LGA'")
        return said(frame.iloc[:, 2] / 30)

    case = _case(by_position, None, **_only(columns=True))
    case.inputs = ()
    found = case.judged(Robustness())["columns"]
    assert found.status is Status.FAILED
    assert "with an extra column: the model gives no answer: the model failed: ValueError: X has 4" in found.reason
    assert "with the columns in reverse order: the model gives no answer" in found.reason


@pytest.mark.parametrize(
    ("origin", "status", "phrase"),
    [
        ("unused", Status.PASSED, "without origin, which may be absent, it answers"),
        ("used", Status.FAILED, "of the predictions flip"),
        ("needed", Status.FAILED, "the signature calls it optional, and the model gives no answer"),
    ],
)
def test_an_optional_column_may_be_absent(origin: str, status: Status, phrase: str, tmp_path: Path) -> None:
    """It is the model that must bear it."""

    def model(frame: pd.DataFrame) -> Said:
        if "delay" not in frame.columns:
            raise DataError("the rows lack a column that the model asks for: delay")
        if origin == "needed" and "origin" not in frame.columns:
            raise ModelError("the model failed: KeyError: 'origin'")
        score = frame["delay"].astype(float) / 60 + 0.3
        if origin == "used" and "origin" in frame.columns:
            score = score + frame["origin"].astype(object).map(ORIGINS).astype(float)
        return said(score.clip(0, 1))

    columns: list[dict[str, Any]] = [
        {"name": "origin", "type": "string", "required": False},
        {"name": "delay", "type": "double"},
    ]
    case = _case(model, None, **_only(columns=True), max_flipped="1%")
    found = _judged(_signed(case, tmp_path, columns))["columns"]
    assert found.status is status
    assert phrase in found.reason


def test_shuffled_columns_tell_what_the_model_rests_on() -> None:
    """The most telling one first, of candidate and champion."""
    found = _case(**_only(permuted=True)).judged(Robustness())["permuted"]
    assert found.status is Status.SKIPPED
    assert found.reason.startswith("shuffled one at a time, change of average_precision: delay (-0.")
    (table,) = found.exhibits
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["delay", "origin", "hour"]
    assert table.rows[-1][1:] == (0, 0, 0, 0)


def test_the_curve_begins_at_the_rows_as_they_are_and_marks_what_is_judged() -> None:
    """Candidate and champion, at nothing, half, once and twice the strength."""
    found = _case(_brittle, _steady, **_only(missing="10%")).judged(Robustness())["missing max_drop"]
    (curve,) = found.exhibits
    assert isinstance(curve, Curves)
    assert curve.marked == (0.1, "judged")
    assert [(series.name, series.x) for series in curve.series] == [
        ("candidate", (0, 0.05, 0.1, 0.2)),
        ("champion", (0, 0.05, 0.1, 0.2)),
    ]
    brittle, steady = (series.y for series in curve.series)
    assert brittle[0] == pytest.approx(steady[0])
    assert brittle[0] > brittle[1] > brittle[2] > brittle[3]
    assert brittle[3] < steady[3]


def test_twice_all_values_is_all_of_them() -> None:
    """A share does not grow beyond one."""
    found = _case(**_only(missing="80%"), max_drop=1).judged(Robustness())["missing max_drop"]
    (curve,) = found.exhibits
    assert isinstance(curve, Curves)
    assert curve.series[0].x == (0, 0.4, 0.8, 1)


def test_the_same_seed_gives_the_same_figures_whatever_else_is_asked() -> None:
    """And only the sample's size changes the sample."""
    alone = _case(**_only(scale="10%"), rows=ROWS, max_drop=0.1).judged(Robustness())["scale max_drop"]
    among = _case(max_drop=0.1).judged(Robustness())["scale max_drop"]
    assert alone == among


def test_tables_are_asked_about_together_and_the_label_stays_hidden() -> None:
    """One call for all perturbed rows, and one for each change of the columns; the same rows have the same name."""
    calls: list[tuple[int, str]] = []
    case = _case(**PASSING)
    context = case.context()

    def score(versions: tuple[ModelVersion, ...], frame: pd.DataFrame, contents: str) -> tuple[Any, ...]:
        assert "late" not in frame.columns
        calls.append((len(frame), contents))
        return context.score(versions, frame, contents)

    for _ in range(2):
        Robustness().judge(replace(context, score=score))
    first, second = calls[: len(calls) // 2], calls[len(calls) // 2 :]
    assert first == second
    assert len(first) == 1 + 2 + 2 + len(INPUTS)  # the rows as they are, two groups of types, two orders, each column
    assert sum(n for n, _ in first) < 20 * N


def test_a_wide_table_is_asked_about_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same figures."""
    whole = _case(**PASSING).judged(Robustness())
    monkeypatch.setattr("mlship.gates.robustness.perturbed._MOST_CELLS", 10_000)
    assert _case(**PASSING).judged(Robustness()) == whole


def test_a_model_that_fails_after_minutes_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hang on one of fifteen tables must not cost fifteen hangs: the whole gate is an error."""
    monkeypatch.setattr("mlship.gates.robustness.perturbed._PATIENCE", -1)
    with pytest.raises(ModelError, match="Found unknown categories"):
        _case(_brittle, **PASSING).judged(Robustness())


def test_a_big_table_is_sampled() -> None:
    """The figures rest on the rows that the policy asks for."""
    found = _case(rows=pd.concat([ROWS] * 2, ignore_index=True), **_only(noise="10%"), max_drop=0.2)
    found.gates["robustness"]["rows"] = 500
    result = found.judged(Robustness())["noise max_drop"]
    assert result.measured is not None
    assert result.measured.n == 500


@pytest.mark.parametrize("kind", ["category", "object", "str"])
def test_texts_of_every_type(kind: str) -> None:
    """As pandas reads them from one file or another."""
    rows = ROWS.astype({"origin": kind})
    found = _case(rows=rows, **PASSING).judged(Robustness())
    assert found["unseen_categories max_drop"].status is Status.PASSED
    assert found["missing max_drop"].status is Status.PASSED


def test_odd_columns_break_nothing() -> None:
    """All missing, constant, infinite, times with a zone, numbers and texts mixed."""
    odd = ROWS.assign(
        empty=np.nan,
        constant=1.0,
        infinite=np.where(ROWS["hour"] > 20, np.inf, 1.0),
        when=pd.date_range("2026-07-01", periods=N, freq="h", tz="Europe/Berlin"),
        mixed=[1 if i % 2 else "a" for i in range(N)],
        yes=ROWS["hour"] > 12,
    )
    case = _case(lambda frame: said(_chance(frame, 5.0)), None, odd, **PASSING)
    case.inputs = (*INPUTS, "empty", "constant", "infinite", "when", "mixed", "yes")
    case.gates["robustness"]["columns"] = False
    found = case.judged(Robustness())
    assert {result.status for result in found.values()} == {Status.PASSED, Status.SKIPPED}


def test_real_flights(flights: pd.DataFrame, train: Callable[..., Any]) -> None:
    """July, judged on a model of the first half year against one of the first quarter: the delay carries both."""
    from tests.conftest import FEATURES

    def model(pipeline: Any) -> Model:
        def predict(frame: pd.DataFrame) -> Said:
            score = pipeline.predict_proba(fit(frame, None, FEATURES))
            return Said((score[:, 1] > 0.5).astype(int), score, np.array([0, 1]))

        return predict

    july = flights.loc[flights["month"] == 7, [*FEATURES, "late"]]
    candidate, champion = (train(flights[flights["month"] <= last]) for last in (6, 3))
    rules = {"max_drop": 0.03, "max_flipped": "5%", "rows": 8000}
    models = {"2": model(candidate), "1": model(champion)}
    case = Case(gates={"metrics": METRICS, "robustness": rules}, rows=july, target="late", models=models)
    case.inputs = case.champion_inputs = tuple(FEATURES)
    found = case.judged(Robustness())
    assert found["noise max_drop"].status is Status.PASSED
    assert found["unseen_categories max_drop"].status is Status.PASSED
    assert found["columns"].status is Status.PASSED
    assert "it refuses" in found["columns"].reason
    missing = found["missing max_drop"]
    assert missing.status is Status.FAILED
    assert "column 'dep_delay' by itself changes most" in missing.reason
    assert missing.measured is not None
    assert missing.champion is not None
    assert -0.07 < (missing.measured.value or 0) < -0.03
    assert -0.07 < (missing.champion.value or 0) < -0.03
    assert found["permuted"].reason.startswith("shuffled one at a time, change of average_precision: dep_delay (-0.5")


def test_the_order_of_keys_chooses_no_metric(tmp_path: Path) -> None:
    """Two policies that differ in the order of keys have one digest, so they must judge by the same metric."""
    head = (
        "version: 1\nmodel: m\nowner: {team: t, contact: t@example.com}\ndata: {evaluation: {path: x.csv, target: y}}\n"
        "gates:\n  robustness: {}\n  metrics:\n"
    )
    lines = ["    recall: {min: 0.5}\n", "    average_precision: {min: 0.5}\n"]
    found = []
    for number, ordered in enumerate((lines, lines[::-1])):
        path = tmp_path / f"{number}.yaml"
        path.write_text(head + "".join(ordered))
        found.append(load_policy(path))
    assert found[0].digest == found[1].digest
    assert [robustness_metric(one.policy.gates) for one in found] == ["average_precision"] * 2
    named = found[0].policy.gates.model_copy(update={"robustness": RobustnessGate(metric="recall")})
    assert robustness_metric(named) == "recall"
    assert robustness_metric(Gates()) is None
