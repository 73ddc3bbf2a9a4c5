"""A draft is a valid policy whatever was found, and says beside every number where it comes from."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mlship.draft.facts import Column, Data, Facts, Owner, Version
from mlship.draft.find import checked
from mlship.draft.policy import draft
from mlship.types import GateResult, Measurement, Status

DAY = date(2028, 2, 29)


def _result(gate: str, rule: str, value: float, low: float | None = None, high: float | None = None) -> GateResult:
    metric = rule.split(maxsplit=1)[0]
    measured = Measurement(metric, value, low, high, n=28293)
    return GateResult(gate, rule, Status.PASSED, "", f"{metric} is {value}; column 'dep_delay' is it", measured)


COLUMNS = (
    Column("distance", "integer", 0.0, 94.0, 4983.0),
    Column("dep_delay", "number", 0.002, -22.0, 1005.0),
    Column("origin", "string", 0.0, values=("EWR", "JFK", "LGA")),
    Column("on", "boolean", 0.0),
)
DATA = Data("data/july.parquet", 28293, "late", "time_hour", None, COLUMNS, ("arr_time", "air_time"))
FULL = Facts(
    "flight-delay",
    Owner("flight-ops", "flight-ops@example.com"),
    DAY,
    version=Version("3", "@champion", ("distance",)),
    aliases=("champion", "challenger"),
    data=DATA,
    task="binary",
    results=(
        _result("contract", "max_missing", 0.02),
        _result("contract", "max_duplicates", 0.0),
        _result("contract", "max_label_conflicts", 0.0),
        _result("leakage", "max_single_feature_auc", 0.9904),
        _result("metrics", "recall min", 0.887, 0.881, 0.893),
        _result("metrics", "calibration_error max", 0.03, 0.02, 0.04),
        GateResult("metrics", "precision min", Status.ERROR, "", "it cannot be measured here"),
    ),
)


def test_every_number_says_where_it_comes_from() -> None:
    """Each line with a number that was not given by a person has a comment beside or above it."""
    text = draft(FULL)
    assert "recall: {min: 0.875, max_drop: 0.006}" in text
    assert "# champion (version 3) 0.887 [0.881, 0.893] on 28,293 rows" in text
    assert "# precision: no limit" in text
    assert "not measured: it cannot be measured here" in text
    lines = text.splitlines()
    bare = [
        line
        for above, line in pairwise(lines)
        if any(char.isdigit() for char in line.partition("#")[0])
        and "#" not in line
        and not above.strip().startswith("#")
        and not line.startswith("version: 1")
    ]
    assert bare == []


def test_what_was_found_beyond_a_default_is_the_limit() -> None:
    """2 % missing where 1 % is the default, an AUC of 0.9904 where 0.98 is: the rows pass, and the comment says so."""
    policy = yaml.safe_load(draft(FULL))
    assert policy["gates"]["contract"]["max_missing"] == "3%"
    assert policy["gates"]["leakage"]["max_single_feature_auc"] == 0.991
    assert policy["owner"]["review_by"] == date(2029, 2, 28)


def test_what_is_watched_after_promotion_has_the_champions_own_limits(tmp_path: Path) -> None:
    """Drift is judged at once; performance once somebody says where labels come from, and takes the comments away."""
    text = draft(FULL)
    policy = yaml.safe_load(text)
    assert policy["monitor"] == {"features": {"psi": 0.2}, "predictions": {"psi": 0.1}}
    assert "  #   recall: {min: 0.875}" in text
    assert "  #   calibration_error: {max: 0.05}" in text
    assert "#   precision:" not in text, "it was not measured"
    before, _, rest = text.partition("  # performance:")
    mine, _, _ = rest.partition("  # max_age:")
    taken = f"{before}  performance:{mine}".replace("\n  #   ", "\n    ")
    loaded, warnings = checked(taken, tmp_path / "mlship.yaml")
    assert loaded.policy.monitor is not None
    assert loaded.policy.monitor.performance["recall"].min == 0.875
    assert any("the servers keep no predictions" in warning for warning in warnings), "serving.log is asked for"


def test_without_the_time_of_the_rows_nothing_is_watched_yet() -> None:
    """No drift could be told from chance; the comment says what is missing."""
    assert "monitor" not in yaml.safe_load(draft(replace(FULL, data=replace(DATA, time=None))))
    assert "--time COLUMN" in draft(replace(FULL, data=replace(DATA, time=None)))
    assert "# monitor: {features" in draft(Facts("m", Owner("a", "b@c"), DAY))


def test_a_draft_of_a_name_alone_is_valid(tmp_path: Path) -> None:
    """Nothing but a name: what is unknown stands in it as such."""
    text = draft(Facts("flight-delay", Owner(), DAY, unknown=("no rows were given",)))
    loaded, _ = checked(text, tmp_path / "mlship.yaml")
    assert loaded.policy.owner.team == "unknown"
    assert "# - no rows were given" in text
    assert "# not known yet: the column that holds the label" in text


def test_without_a_challenger_the_latest_is_the_candidate(tmp_path: Path) -> None:
    facts = Facts("m", Owner("a", "b@c"), DAY, version=Version("2", "latest"), aliases=())
    loaded, _ = checked(draft(facts), tmp_path / "mlship.yaml")
    assert loaded.policy.candidate == "latest"


@pytest.mark.parametrize("rate", [0.001, 0.05, 1.0, 50.0, 7000.0])
def test_sizes_fit_the_rate(rate: float, tmp_path: Path) -> None:
    """`mlship validate` has no warning about the stages, whatever the rate."""
    facts = Facts("m", Owner("a", "b@c"), DAY, rate=rate)
    loaded, warnings = checked(draft(facts), tmp_path / "mlship.yaml")
    assert loaded.policy.rollout is not None
    assert loaded.policy.gates.latency is not None
    assert [one for one in warnings if "no gate judges how good" not in one] == []


def test_without_a_rate_the_stages_have_no_warning_either(tmp_path: Path) -> None:
    [quality] = checked(draft(Facts("m", Owner("a", "b@c"), DAY)), tmp_path / "mlship.yaml")[1]
    assert quality.startswith("no gate judges how good the model is"), "nothing was measured, so no metric has a limit"
    measured = checked(draft(FULL), tmp_path / "mlship.yaml")[1]
    assert quality not in measured


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip)


@pytest.mark.parametrize("column", ["${HOME}", "$${HOME}", "a ${", "${a}: b", 'q"${X}"\\', "x", "null", "a: b"])
def test_a_column_is_itself_as_a_key_and_as_a_value(column: str) -> None:
    """A variable is read in a value only: a key needs no doubled dollar, and would keep it."""
    data = Data("d.csv", 100, column, None, None, (Column(column, "string", 0.0, values=(column,)),), (column,))
    loaded, _ = checked(draft(Facts("m", Owner("a", "b@c"), DAY, data=data)), Path("mlship.yaml"))
    assert loaded.policy.gates.contract is not None
    assert {name: one.values for name, one in loaded.policy.gates.contract.columns.items()} == {column: (column,)}


@settings(max_examples=25)
@given(model=NAMES.filter(lambda name: not {"/", ":"} & set(name)), column=NAMES, value=NAMES, team=NAMES, path=NAMES)
def test_any_name_is_itself_in_the_draft(model: str, column: str, value: str, team: str, path: str) -> None:
    """Quotes, colons, `${`, line breaks, words that YAML takes for something else: read back as they were."""
    data = Data(path, 100, column, None, None, (Column(column, "string", 0.0, values=(value,)),), (value,))
    facts = Facts(model, Owner(team, "somebody"), DAY, data=data, version=Version("1", "latest"), unknown=(value,))
    loaded, _ = checked(draft(facts), Path("mlship.yaml"))
    policy = loaded.policy
    assert (policy.model, policy.owner.team) == (model, team)
    assert policy.data is not None
    assert (policy.data.evaluation.path, policy.data.evaluation.target) == (path, column)
    assert policy.gates.contract is not None
    assert policy.gates.contract.columns[column].values == (value,)
