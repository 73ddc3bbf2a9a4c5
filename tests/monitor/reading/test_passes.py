"""Logged predictions as windows: the same whatever the format and however passes cut the time; nothing is a crash."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlship.monitor.reading import Order, Progress, examples, logs
from mlship.monitor.reading.windows import GRACE
from mlship.sources.batches import batches
from mlship.stats import cutting
from tests.monitor.reading.made import (
    HOUR,
    LATER,
    START,
    baseline,
    column,
    log_of,
    one_pass,
    passes,
    plainly,
    policy,
    rows,
    seen,
    together,
    write,
)


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl", "db"])
def test_every_cell_is_counted_in_its_window_whole_and_by_slice(tmp_path: Path, kind: str) -> None:
    """Against pandas' own groupby, cell by cell; rows of another version are left out, and counted."""
    frame = rows(900)
    known = baseline(frame, slices=("carrier",))
    write(frame, path := tmp_path / f"log.{kind}")
    found = one_pass(policy(**log_of(path), target="late"), known, tmp_path, LATER)
    assert (found.troubles, found.notes) == ((), ())
    ours = int((frame["version"] == "3").sum())
    assert (found.rows, found.others, found.late, found.unread) == (ours, len(frame) - ours, 0, 0)
    assert found.until == START + 10 * HOUR
    assert found.newest == pytest.approx(frame.loc[frame["version"] == "3", "time"].max().timestamp(), abs=1e-6)
    assert {key: seen(tally) for key, tally in together([found]).items()} == plainly(frame, known, known.slices)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["parquet", "csv", "jsonl", "db"]),
    gaps=st.lists(st.integers(60, 4 * 3600), min_size=1, max_size=12),
    delay=st.sampled_from([0, 1800, 3 * 3600]),
    seed=st.integers(0, 99),
)
def test_however_passes_cut_the_time_the_windows_are_the_same(
    tmp_path: Path, kind: str, gaps: Sequence[int], delay: int, seed: int
) -> None:
    """The log and the labels grow between passes, each of which is given what the last one left."""
    frame = rows(300, hours=8, seed=seed)
    known = baseline(frame, slices=("carrier",))
    path = tmp_path / f"log.{kind}"
    monitor = policy(**log_of(path), labels={"path": "labels.csv", "key": "id", "target": "late"}, delay=f"{delay}s")
    instants = frame["time"].astype("int64") / 1e6

    def see(now: float) -> None:
        write(frame[instants <= now], path)
        labels = frame[instants <= now - delay][["id", "late"]]
        labels.to_csv(tmp_path / "labels.csv", index=False)

    moments = [*(START + GRACE + np.cumsum([HOUR, *gaps])).tolist(), LATER]
    found = passes(monitor, known, tmp_path, moments, see)
    assert [one.troubles for one in found] == [()] * len(found)
    assert sum(one.late for one in found) == 0
    assert {key: seen(tally) for key, tally in together(found).items()} == plainly(frame, known, known.slices)
    assert sum(one.rows for one in found) == int((frame["version"] == "3").sum())
    assert sum(one.others for one in found) == int((frame["version"] == "4").sum())


def test_only_complete_windows_are_given(tmp_path: Path) -> None:
    """With a row behind it, a window is complete a moment after its end; the last one waits for one more window."""
    frame = rows(300, hours=3)
    known, monitor = baseline(frame), policy(path="log.parquet")
    write(frame, tmp_path / "log.parquet")
    ends = {
        START + HOUR + GRACE - 1: [],
        START + HOUR + GRACE: [0.0],
        START + 3 * HOUR + GRACE: [0.0, HOUR],
        START + 4 * HOUR + GRACE: [0.0, HOUR, 2 * HOUR],
    }
    for now, starts in ends.items():
        visible = frame[frame["time"].astype("int64") / 1e6 <= now]
        write(visible, tmp_path / "log.parquet")
        found = one_pass(monitor, known, tmp_path, now)
        assert [tally.start - START for tally in found.tallies] == starts


def test_rows_that_come_too_late_are_counted_once_and_change_nothing(tmp_path: Path) -> None:
    """They are told by the first pass that meets them; and so are rows without a time."""
    frame = rows(800, hours=8)
    known, monitor = baseline(frame), policy(path="log.csv")
    behind = frame[frame.index % 10 == 0]
    late = int((behind["version"] == "3")[behind["time"].astype("int64") / 1e6 < START + 4 * HOUR].sum())
    text = frame.assign(time=frame["time"].astype(str))
    damaged = text.iloc[:3].assign(time=["yesterday", "", "soon"])

    def see(now: float) -> None:
        some = text[text.index % 10 != 0] if now < START + 6 * HOUR else text
        some = some[frame.loc[some.index, "time"].astype("int64") / 1e6 <= now]
        pd.concat([some, damaged] if now > START + 6 * HOUR else [some]).to_csv(tmp_path / "log.csv", index=False)
        os.utime(tmp_path / "log.csv", (now - 600, now - 600))

    found = passes(monitor, known, tmp_path, [START + 4 * HOUR + GRACE, LATER, LATER + 1], see)
    assert [one.late for one in found] == [0, late, 0]
    assert [one.unread for one in found] == [0, 3, 0]
    assert [bool(one.notes) for one in found] == [False, True, False]
    assert "came after their window was counted" in found[1].notes[0]
    assert sum(one.rows for one in found) == int((frame["version"] == "3").sum()) - late


def test_rows_of_a_time_to_come_wait(tmp_path: Path) -> None:
    frame = rows(400, hours=4)
    frame.loc[0, "time"] = pd.Timestamp("2099-01-01", tz="UTC")
    write(frame, tmp_path / "log.parquet")
    found = one_pass(policy(path="log.parquet"), baseline(frame), tmp_path, LATER)
    assert found.future == 1
    assert found.until == START + 4 * HOUR
    assert "still to come" in found.notes[0]


def test_what_lies_before_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole files by what was known of them, parts of Parquet files by their statistics."""
    frame = rows(3000, hours=30)
    known, monitor = baseline(frame), policy(path="*.parquet")
    hours = (frame["time"].astype("int64") / 1e6 - START) / HOUR
    read: list[tuple[str, Any]] = []

    def watched(opened: Any, asked: Any) -> Any:
        read.append((opened.name, asked.groups))
        return batches(opened, asked)

    monkeypatch.setattr(logs, "batches", watched)

    def see(now: float) -> None:
        for day in (0, 1):
            path = tmp_path / f"{day}.parquet"
            if now >= START + (day + 1) * 12 * HOUR and not path.exists():
                write(frame[(hours >= day * 12) & (hours < (day + 1) * 12)], path)

    found = passes(monitor, known, tmp_path, [START + 12.5 * HOUR, START + 24.5 * HOUR, LATER, LATER], see)
    ours = frame[hours < 24]
    assert {key: seen(tally)[:4] for key, tally in together(found).items()} == {
        key: one[:4] for key, one in plainly(ours, known).items()
    }
    assert [name for name, _ in read] == ["0.parquet", "0.parquet", "1.parquet", "1.parquet"]
    assert [groups is None or min(groups) for _, groups in read] == [True, 5, True, 5]


def test_a_file_that_turns_up_later_is_late_and_one_that_was_renamed_is_not(tmp_path: Path) -> None:
    frame = rows(900, hours=9)
    known, monitor = baseline(frame), policy(path="log*.jsonl")
    hours = (frame["time"].astype("int64") / 1e6 - START) / HOUR

    def see(now: float) -> None:
        if now < START + 5 * HOUR:
            write(frame[hours < 4], tmp_path / "log.jsonl")
        elif now < START + 8 * HOUR:
            (tmp_path / "log.jsonl").rename(tmp_path / "log-1.jsonl")
            write(frame[(hours >= 4) & (hours < 7)], tmp_path / "log.jsonl")
        else:
            write(frame[hours < 1], tmp_path / "log-0.jsonl")
            write(frame[hours >= 4], tmp_path / "log.jsonl")

    found = passes(monitor, known, tmp_path, [START + 4.5 * HOUR, START + 7.5 * HOUR, LATER], see)
    assert [one.late for one in found] == [0, 0, int((frame.loc[hours < 1, "version"] == "3").sum())]
    assert {key: seen(tally)[:4] for key, tally in together(found).items()} == {
        key: one[:4] for key, one in plainly(frame, known).items()
    }


def test_labels_out_of_reach_hold_up_labels_alone(tmp_path: Path) -> None:
    """When they are back, all that was waiting is given, once."""
    frame = rows(600, hours=6)
    known, monitor = (
        baseline(frame),
        policy(path="log.parquet", labels={"path": "l.jsonl", "key": "id", "target": "late"}),
    )

    def see(now: float) -> None:
        write(frame[frame["time"].astype("int64") / 1e6 <= now], tmp_path / "log.parquet")
        if now == LATER:
            frame[["id", "late"]].to_json(tmp_path / "l.jsonl", orient="records", lines=True)

    found = passes(monitor, known, tmp_path, [START + 3 * HOUR + 600, LATER - HOUR, LATER], see)
    assert [[trouble.source for trouble in one.troubles] for one in found] == [["labels"], ["labels"], []]
    assert "there is no such file" in found[0].troubles[0].what
    assert [len(one.tallies) for one in found] == [3, 3, 0]
    assert [len(one.labelled) for one in found] == [0, 0, 6]
    assert {key: seen(tally) for key, tally in together(found).items()} == plainly(frame, known)


def test_labels_find_their_prediction_whatever_writes_the_key(tmp_path: Path) -> None:
    """7, 7.0 and `7` are one key; the last of several labels counts; labels of nobody do not; some are not told."""
    frame = rows(500, hours=5)
    frame["id"] = np.arange(500)
    labels = frame[["id", "late"]].sample(frac=1, random_state=1)
    twice = pd.concat(
        [labels.assign(late=1 - labels["late"]), labels.iloc[:300], pd.DataFrame({"id": [9999], "late": [1]})]
    )
    twice = twice[twice["id"].isin([*labels["id"].iloc[:300], 9999])]
    write(frame, tmp_path / "log.parquet")
    expected = frame[frame["id"].isin(labels["id"].iloc[:300]) & (frame["version"] == "3")]
    for made in (twice, twice.astype({"id": float}), twice.astype({"id": str}).assign(late=twice["late"] == 1)):
        made.to_parquet(tmp_path / "labels.parquet")
        monitor = policy(path="log.parquet", labels={"path": "labels.parquet", "key": "id", "target": "late"})
        found = one_pass(monitor, baseline(frame), tmp_path, LATER)
        labelled = [tally.labelled for tally in found.tallies if tally.labelled is not None]
        assert sum(one.rows for one in labelled) == len(expected)
        ones = sum(line[1] for one in labelled for line in one.answered)
        assert ones == int(expected["late"].sum())


def test_errors_of_a_model_that_predicts_numbers(tmp_path: Path) -> None:
    frame = rows(500, hours=5).assign(prediction=lambda one: one["delay"].fillna(0) + 1, late=lambda one: one["delay"])

    known = replace(
        baseline(frame.assign(prediction=0)),
        task="numbers",
        labels=(),
        scores=None,
        answers=column(frame["prediction"]),
    )
    frame.drop(columns="score").to_csv(tmp_path / "log.csv", index=False)
    found = one_pass(policy(path="log.csv", score=None, target="late"), known, tmp_path, LATER)
    ours = frame[frame["version"] == "3"]
    assert known.answers is not None
    assert cutting.added(*(tally.answers or () for tally in found.tallies)) == cutting.counted(
        cutting.positions(ours["prediction"], known.answers.bins), known.answers.bins
    )
    told = [tally.labelled for tally in found.tallies if tally.labelled is not None]
    assert sum(one.rows for one in told) == ours["late"].notna().sum()
    assert np.sum([one.errors for one in told], axis=0) == pytest.approx([ours["late"].notna().sum()] * 4)


def test_what_a_log_without_types_makes_of_cells(tmp_path: Path) -> None:
    """A number in text is that number, a class in numbers that class; what was redacted is not counted."""
    frame = rows(40, hours=1).assign(version="3")
    known = baseline(frame)
    odd = [" 12.5", "NaN", "Infinity", "n-a", "[redacted]", 3, None, True]
    lines = [
        {**json.loads(frame.iloc[at].drop("time").to_json()), "time": START + at, "delay": cell, "night": night}
        for at, (cell, night) in enumerate(
            zip(odd, [1, 0, True, "True", "[redacted]", "false", None, "2"], strict=True)
        )
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (whole,) = one_pass(policy(path="log.jsonl"), known, tmp_path, LATER).tallies
    delay, night = known.features["delay"].bins, known.features["night"].bins
    assert sum(whole.features["delay"]) == 7
    assert whole.features["delay"][delay.missing] == 2
    assert whole.features["delay"][delay.unlike] == 1  # "n-a"
    assert sum(whole.features["night"]) == 7
    assert whole.features["night"][night.missing] == 1
    assert whole.rows == 8


def test_a_class_is_counted_however_it_is_written(tmp_path: Path) -> None:
    frame = rows(200, hours=1).assign(version="3")
    known = baseline(frame)
    expected = None
    for said in (
        frame["prediction"],
        frame["prediction"].astype(float),
        frame["prediction"].astype(str),
        frame["prediction"] == 1,
    ):
        write(frame.assign(prediction=said), tmp_path / "log.csv")
        write(frame.assign(prediction=said), tmp_path / "log.parquet")
        write(frame.assign(prediction=said), tmp_path / "log.jsonl")
        for name in ("log.csv", "log.parquet", "log.jsonl"):
            (whole,) = one_pass(policy(path=name), known, tmp_path, LATER).tallies
            expected = expected or whole.answers
            assert whole.answers == expected
    assert expected is not None
    assert sum(expected[:2]) == 200


def test_rows_that_show_a_shift(tmp_path: Path) -> None:
    """The latest of the bins that have grown, since the moment."""
    frame = rows(600, hours=6)
    known = baseline(frame)
    hours = (frame["time"].astype("int64") / 1e6 - START) / HOUR
    frame.loc[(hours > 4) & (frame.index % 2 == 0), ["delay", "score"]] = [500.0, 0.999]
    frame.loc[(hours > 4) & (frame.index % 3 == 0), "carrier"] = "ZZ"
    write(frame, tmp_path / "log.jsonl")
    order = Order(
        policy(path="log.jsonl"), known, lambda text: tmp_path / text, "3", START + 4 * HOUR, LATER, Progress()
    )
    for subject, value in (("delay", "500"), ("carrier", "ZZ"), ("predictions", "0.999")):
        found = examples(order, subject)
        assert [one.value for one in found] == [value] * 5
        assert all(one.time >= START + 4 * HOUR and one.key.startswith("order-") for one in found)
        assert [one.time for one in found] == sorted((one.time for one in found), reverse=True)
    assert examples(order, "nothing") == ()
    assert examples(replace(order, monitor=policy(path="gone.csv")), "delay") == ()
