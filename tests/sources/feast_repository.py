"""Runs in Feast's own Python: a real repository with statistics per aircraft, and the skew that a test asks for.

Usage: python feast_repository.py DIRECTORY apply|materialise|alter [ARGUMENT]
"""

from __future__ import annotations

import importlib
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

CONFIG = """
project: flights
registry: data/registry.db
provider: local
online_store: {type: sqlite, path: data/online.db}
offline_store: {type: file}
entity_key_serialization_version: 3
"""


def apply(feast: Any, directory: Path) -> None:
    (directory / "feature_store.yaml").write_text(CONFIG, encoding="utf-8")
    types = importlib.import_module("feast.types")
    aircraft = feast.Entity(name="aircraft", join_keys=["tailnum"], value_type=feast.ValueType.STRING)
    fields = [
        feast.Field(name="mean_delay", dtype=types.Float64),
        feast.Field(name="flights", dtype=types.Int64),
        feast.Field(name="last_origin", dtype=types.String),
    ]
    source = feast.FileSource(name="aircraft_stats_file", path="data/stats.parquet", timestamp_field="event_timestamp")
    view = feast.FeatureView(
        name="aircraft_stats", entities=[aircraft], ttl=timedelta(days=36500), schema=fields, source=source
    )
    service = feast.FeatureService(name="delay_model", features=[view])
    feast.FeatureStore(repo_path=str(directory)).apply([aircraft, source, view, service])


def alter(feast: Any, directory: Path) -> None:
    """What a stream job would do that computes minutes where the warehouse has hours."""
    stats = pd.read_parquet(directory / "data" / "stats.parquet")
    last = stats.sort_values("event_timestamp").groupby("tailnum").tail(1)
    wrong = last.assign(mean_delay=last["mean_delay"] * 60, last_origin=last["last_origin"].str.lower())
    feast.FeatureStore(repo_path=str(directory)).write_to_online_store("aircraft_stats", wrong.reset_index(drop=True))


if __name__ == "__main__":
    module, where = importlib.import_module("feast"), Path(sys.argv[1])
    if sys.argv[2] == "apply":
        apply(module, where)
    elif sys.argv[2] == "alter":
        alter(module, where)
    else:
        module.FeatureStore(repo_path=str(where)).materialize(
            datetime.fromisoformat("2013-06-01T00:00:00+00:00"), datetime.fromisoformat(sys.argv[3])
        )
