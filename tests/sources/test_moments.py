"""Times in every form are the same moments; what names no zone is in the zone that is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.sources.moments import moments

#: Noon in New York on 1 July 2013.
NOON = 1372694400.0
ZONE = "America/New_York"


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(pd.to_datetime(["2013-07-01 12:00"])),
        pd.Series(pd.to_datetime(["2013-07-01 16:00"], utc=True)),
        pd.Series(["2013-07-01 12:00"]),
        pd.Series(["2013-07-01T12:00:00.000"], dtype="category"),
        pd.Series(["2013-07-01T16:00Z"]),
        pd.Series(["2013-07-01T18:00:00.5+02:00"]).str.replace(".5", ""),
        pd.Series(["2013-07-01 16:00:00 UTC"]),
        pd.Series(["07/01/2013 12:00"]),
        pd.Series([NOON]),
        pd.Series([int(NOON * 1000)]),
        pd.Series([int(NOON * 1e6)]),
        pd.Series([int(NOON * 1e9)], dtype="Int64"),
    ],
)
def test_forms(column: pd.Series[Any]) -> None:
    """One moment, however it is written."""
    found = moments(column, ZONE)
    assert found is not None
    assert found.tolist() == [NOON]


def test_what_is_no_time_is_missing() -> None:
    """A cell alone, or all of a column."""
    found = moments(pd.Series(["2013-07-01 12:00", None, "soon", "2013-07-01"]), ZONE)
    assert found is not None
    assert np.isnan(found).tolist() == [False, True, True, False]
    assert found[3] == NOON - 12 * 3600
    for nothing in ([1, 2, 3], ["soon"], [None, None], [True, False]):
        assert moments(pd.Series(nothing), ZONE) is None


def test_hours_that_come_twice_or_not_at_all() -> None:
    """In autumn the first of the two; in spring the moment after the gap."""
    found = moments(pd.Series(pd.to_datetime(["2013-11-03 01:30", "2013-03-10 02:30"])), ZONE)
    expected = pd.to_datetime(["2013-11-03 05:30", "2013-03-10 07:00"], utc=True)
    assert found is not None
    assert found.tolist() == [moment.timestamp() for moment in expected]
