"""The demo's data is the real thing, and says what the story needs it to say."""

from __future__ import annotations

import pandas as pd
import pytest

from mlship.demo.callers import Heard
from mlship.demo.flights import FEATURES, TARGET, flights, in_hours, months


@pytest.fixture(scope="module")
def year() -> pd.DataFrame:
    return flights()


def test_a_year_of_real_flights_in_time_order(year: pd.DataFrame) -> None:
    """327,346 flights of 2013 arrived; they come in the order in which callers would ask."""
    assert len(year) == 327_346
    assert year["time_hour"].is_monotonic_increasing
    assert not year[[*FEATURES, TARGET]].isna().any().any()


def test_july_is_the_busy_late_month(year: pd.DataFrame) -> None:
    """The traffic of the story: 28,293 flights, 31.5 % of them late."""
    july = months(year, 7, 7)
    assert len(july) == 28_293
    assert july[TARGET].mean() == pytest.approx(0.3146, abs=5e-4)


def test_the_new_pipeline_changes_only_the_unit_of_the_delay(year: pd.DataFrame) -> None:
    """Version 4's skew is a unit, nothing else."""
    july = months(year, 7, 7)
    skewed = in_hours(july)
    assert (skewed["dep_delay"] * 60).round(6).equals(july["dep_delay"].round(6))
    assert skewed.drop(columns="dep_delay").equals(july.drop(columns="dep_delay"))


def test_rollback_lag_counts_from_the_verdict_to_the_last_answer() -> None:
    """Answers of other versions and of later rollouts do not count; silence after the verdict is zero."""
    heard = Heard(4, 0, (), 0, ((9.0, "4"), (10.004, "4"), (10.5, "1"), (99.0, "4")))
    assert heard.rollback_ms("4", 10.0) == pytest.approx(4.0)
    assert heard.rollback_ms("4", 10.2) == 0.0
    assert heard.rollback_ms("7", 10.0) is None
