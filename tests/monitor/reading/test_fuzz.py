"""Whatever a log holds, a pass ends with windows and troubles: it never crashes, and never counts a row twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlship.monitor.reading import Order, examples
from tests.monitor.reading.made import FEATURES, HOUR, START, baseline, one_pass, policy, resolve, rows

KNOWN = baseline(rows(200), slices=("carrier",))
LATER = START + 100 * HOUR
SETTINGS = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

CELLS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([START, "2024-11-04T01:02:03Z", "2024-11-04", "AA", "3", "[redacted]", "NaN", "order-1"]),
    st.sampled_from(["\ud800", 1e308]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)  # fmt: skip
NAMES = ["time", "id", "version", "score", "prediction", "late", *FEATURES]
LINES = st.lists(st.dictionaries(st.sampled_from(NAMES), CELLS) | st.binary(max_size=20), max_size=12)


def right(found: Any) -> None:
    """Counts of a column are of rows that there are."""
    for tally in found.tallies:
        assert tally.rows > 0
        for counts in (*tally.features.values(), tally.answers, tally.scores):
            assert counts is None or (sum(counts) <= tally.rows and min(counts) >= 0)
        if tally.labelled is not None:
            assert tally.labelled.rows <= tally.rows
    assert found.until is None or found.tallies or found.until == START
    assert all("\n" not in trouble.what for trouble in found.troubles)


@SETTINGS
@given(LINES)
def test_json_lines_of_anything(tmp_path: Path, lines: list[dict[str, Any] | bytes]) -> None:
    told = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines]
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(told))
    (tmp_path / "labels.jsonl").write_bytes(b"\n".join(reversed(told)))
    for monitor in (
        policy(path="log.jsonl", target="late"),
        policy(path="log.jsonl", labels={"path": "labels.jsonl", "key": "id", "target": "late"}, zone="Europe/Berlin"),
    ):
        right(one_pass(monitor, KNOWN, tmp_path, LATER, since=START))
        for subject in ("delay", "carrier", "predictions"):
            examples(Order(monitor, KNOWN, resolve(tmp_path), "3", None, LATER), subject)


@SETTINGS
@given(st.lists(st.tuples(*[CELLS.map(str)] * len(NAMES)), max_size=6), st.sampled_from(["UTC", "Europe/Berlin"]))
def test_a_csv_of_anything(tmp_path: Path, cells: list[tuple[str, ...]], zone: str) -> None:
    frame = pd.DataFrame([[one.encode("utf-8", "replace").decode() for one in row] for row in cells], columns=NAMES)
    (tmp_path / "log.csv").write_bytes(frame.to_csv(index=False).encode())
    right(one_pass(policy(path="log.csv", target="late", zone=zone), KNOWN, tmp_path, LATER, since=START))


@SETTINGS
@given(st.binary(max_size=300), st.sampled_from(["log.csv", "log.jsonl", "log.parquet", "log.csv.gz", "log"]))
def test_files_of_anything(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(data)
    right(one_pass(policy(path=name), KNOWN, tmp_path, LATER, since=START))


@SETTINGS
@given(LINES)
def test_servers_logs_of_anything(tmp_path: Path, lines: list[dict[str, Any] | bytes]) -> None:
    told = []
    for one in lines:
        if isinstance(one, dict):
            features = {name: [one[name]] for name in FEATURES if name in one}
            record = {"kind": "prediction", "time": one.get("time"), "request_id": one.get("id"), "version": "3"}
            told.append(json.dumps(record | {"features": features, "predictions": one.get("late")}).encode())
            told.append(
                json.dumps({"kind": "label", "request_id": one.get("id"), "labels": [one.get("late")]}).encode()
            )
        else:
            told.append(one)
    (tmp_path / "predictions-0-000001.jsonl").write_bytes(b"\n".join(told))
    monitor = policy(path="x").model_copy(update={"log": None})
    right(one_pass(monitor, KNOWN, tmp_path, LATER, since=START, served=(tmp_path,)))
