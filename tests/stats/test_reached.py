"""What was reached, with its interval, and how it varies from day to day."""

from __future__ import annotations

import numpy as np
import pytest

from mlship.demo.flights import months
from mlship.stats import reached
from mlship.stats.live_metrics import known
from mlship.types.monitoring import Labelled
from tests.stats.flights_scored import bare, by_day, labelled, scored
from tests.stats.test_live_metrics import plain, table

RNG = np.random.default_rng(5)


def test_windows_add_up_to_their_rows() -> None:
    """Days of June are June, whatever parts lack; nothing is nothing."""
    rows = months(scored(), 6, 6)
    baseline = bare(rows)
    whole = reached.merged([*by_day(rows, baseline), Labelled()])
    assert whole == labelled(rows, baseline)
    assert reached.merged([]) == Labelled()


def test_the_interval_over_days_holds_what_days_do() -> None:
    """Days that differ: 95 % of the jackknife's intervals hold the truth, where intervals over rows hold far less."""
    baseline = plain("binary", ("no", "yes"))
    inside = narrow = 0
    worlds = 200
    for _ in range(worlds):
        days = []
        for rate in RNG.beta(14, 6, 20):
            came = RNG.random(RNG.integers(150, 400)) < 0.4
            said = np.where(came, RNG.random(len(came)) < rate, RNG.random(len(came)) < 0.1)
            days.append(table(said.astype(int), came.astype(int), 2))
        found = reached.with_interval("recall", days, baseline)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 0.7 <= found.high
        each = reached.noise("recall", reached.merged(days), baseline)
        assert each is not None
        reach = 1.96 * np.sqrt(each / reached.carriers("recall", reached.merged(days), baseline))
        narrow += abs(found.value - 0.7) <= reach
    assert inside / worlds == pytest.approx(0.95, abs=0.04)
    assert narrow / worlds < 0.75


def test_few_days_have_no_interval_and_none_no_value() -> None:
    """Two days do not tell how far days stray."""
    rows = months(scored(), 6, 6)
    baseline = bare(rows)
    days = by_day(rows, baseline)
    two = reached.with_interval("recall", days[:2], baseline)
    assert two is not None
    assert (two.low, two.high) == (None, None)
    assert reached.with_interval("recall", [], baseline) is None
    assert reached.with_interval("mae", days, baseline) is None


@pytest.mark.parametrize("name", ["recall", "precision", "error", "average_precision", "roc_auc", "brier", "value"])
def test_the_noise_of_single_rows_is_that_of_drawing_them_again(name: str) -> None:
    """`noise / carriers` is the variance over resamples of the rows."""
    rows = months(scored(), 6, 6).head(2000)
    baseline = bare(rows)
    drawn = [labelled(rows.sample(len(rows), replace=True, random_state=seed), baseline) for seed in range(300)]
    wanted = np.var([reached.metric(name, one, baseline) or 0.0 for one in drawn])
    whole = labelled(rows, baseline)
    each = reached.noise(name, whole, baseline)
    assert each is not None
    assert each / reached.carriers(name, whole, baseline) == pytest.approx(wanted, rel=0.3)


def test_days_of_the_evaluation_tell_how_a_metric_varies() -> None:
    """May and June by day: weather makes days differ by more than chance."""
    rows = months(scored(), 5, 6)
    baseline = bare(rows)
    days = by_day(rows, baseline)
    for name in known(baseline):
        found = reached.reached(name, days, baseline)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low < found.value < found.high
        assert found.steady is not None
        assert found.steady.windows == len(days)
        assert found.steady.spread > np.sqrt(found.steady.noise / found.steady.rows)


def test_data_without_times_is_one_day() -> None:
    """A value, and nothing about how it varies; a metric that the model lacks is none."""
    rows = months(scored(), 5, 6)
    baseline = bare(rows)
    found = reached.reached("recall", [labelled(rows, baseline)], baseline)
    assert found is not None
    assert found.low is None
    assert found.steady is None
    assert reached.reached("mae", [labelled(rows, baseline)], baseline) is None
    assert reached.worth(labelled(rows, baseline), baseline) == pytest.approx(1220, abs=100)
