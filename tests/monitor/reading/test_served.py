"""The servers' own prediction logs, as real servers write them: rows, redacted cells, labels, several directories."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.monitor.reading import Order, examples
from mlship.policy.monitor import Monitor
from mlship.serving.exposition import Described
from mlship.serving.feedback import Feedback
from mlship.serving.notes import Notes, Subject
from mlship.serving.observer import Answered
from mlship.serving.observing import Observing
from mlship.serving.others import Alone
from mlship.serving.predictionlog import PredictionLog
from tests.monitor.reading.made import FEATURES, HOUR, START, baseline, one_pass, rows

FRAME = rows(160, hours=4).assign(version="3")
KNOWN = baseline(FRAME, slices=("carrier",))
LATER = START + 100 * HOUR


def serve(directory: Path, frame: pd.DataFrame, *, several: bool = False, proba: bool = False, **subject: Any) -> None:
    """Have a server's own code answer these rows, and take the labels of every second request."""
    log = PredictionLog(directory, 10**7)
    notes = Notes(Subject("m", "3", **{"sample": 1.0} | subject), log)
    observing = Observing(Described("m", "3", "d"), notes, log, Feedback(), Alone())
    step, labels = 2 if several else 1, []
    for at in range(0, len(frame), step):
        part = frame.iloc[at : at + step]
        cells = {name: part[name].astype(object).where(part[name].notna(), None).tolist() for name in FEATURES}
        said = [[1 - one, one] for one in part["score"]] if proba else part["prediction"].tolist()
        arrived = part["time"].iloc[0].timestamp()
        observing.answered(Answered(part["id"].iloc[0], arrived, 0.001, 200, cells, said))
        if at // step % 2 == 0:
            labels.append({"request_id": part["id"].iloc[0], "label": part["late"].tolist()})
        if at % 100 == 0:
            notes.settle()
    asyncio.run(observing.feedback(json.dumps(labels).encode()))
    observing.close(10)


def read(*directories: Path, **options: Any) -> Any:
    known = options.pop("known", KNOWN)
    return one_pass(Monitor(), known, Path("/nowhere"), LATER, served=directories, **options)


@pytest.mark.parametrize("several", [False, True])
def test_rows_answers_and_labels_come_round(tmp_path: Path, several: bool) -> None:
    """Requests of one row and of several; of two servers, each with a directory of its own."""
    serve(tmp_path / "a", FRAME.iloc[:80], several=several)
    serve(tmp_path / "b", FRAME.iloc[80:], several=several)
    found = read(tmp_path / "a", tmp_path / "b")
    assert found.troubles == ()
    whole = [tally for tally in found.tallies if not tally.slice]
    assert sum(tally.rows for tally in whole) == len(FRAME)
    for name in FEATURES:
        assert np.sum([tally.features[name] for tally in whole], axis=0).tolist() == list(KNOWN.features[name].counts)
    assert KNOWN.answers is not None
    assert np.sum([tally.answers for tally in whole], axis=0).tolist() == list(KNOWN.answers.counts)
    step = 2 if several else 1
    labelled = FRAME[np.arange(len(FRAME)) // step % 2 == 0]
    table = np.sum([tally.labelled.answered for tally in whole], axis=0)
    for place, name in enumerate(KNOWN.answers.bins.names):
        for label in (0, 1):
            expected = (labelled["prediction"].astype(str) == name) & (labelled["late"] == label)
            assert table[place][label] == expected.sum()
    sliced = [tally for tally in found.tallies if tally.slice == "carrier=AA"]
    assert sum(tally.rows for tally in sliced) == (FRAME["carrier"] == "AA").sum()


def test_probabilities_are_scores(tmp_path: Path) -> None:
    serve(tmp_path / "a", FRAME, proba=True)
    found = read(tmp_path / "a")
    assert KNOWN.scores is not None
    whole = [tally for tally in found.tallies if not tally.slice]
    assert np.sum([tally.scores for tally in whole], axis=0).tolist() == list(KNOWN.scores.counts)
    assert {tally.answers for tally in whole} == {None}
    assert sum(tally.labelled.rows for tally in whole) == len(FRAME) / 2


def test_redacted_values_and_logs_without_features_are_no_drift(tmp_path: Path) -> None:
    serve(tmp_path / "a", FRAME, redact=frozenset({"carrier"}))
    found = read(tmp_path / "a", redacted=frozenset({"carrier"}))
    assert found.troubles == ()
    assert all(set(tally.features) == set(FEATURES) - {"carrier"} for tally in found.tallies if not tally.slice)
    serve(tmp_path / "b", FRAME, features=False)
    found = read(tmp_path / "b", known=replace(KNOWN, slices={}))
    assert found.troubles == ()
    assert {tuple(tally.features) for tally in found.tallies} == {()}
    assert sum(tally.rows for tally in found.tallies) == len(FRAME)


def test_labels_of_the_team_find_requests_too(tmp_path: Path) -> None:
    serve(tmp_path / "a", FRAME)
    FRAME[["id", "late"]].rename(columns={"id": "request_id"}).to_csv(tmp_path / "labels.csv", index=False)
    monitor = Monitor.model_validate({"labels": {"path": "labels.csv", "target": "late"}})
    found = one_pass(monitor, KNOWN, tmp_path, LATER, served=(tmp_path / "a",))
    assert sum(tally.labelled.rows for tally in found.tallies if tally.labelled and not tally.slice) == len(FRAME)


def test_no_log_is_a_trouble(tmp_path: Path) -> None:
    for directories in ((), (tmp_path,)):
        (trouble,) = read(*directories, since=START).troubles
        assert "no server has a prediction log" in trouble.what


def test_requests_that_show_a_shift(tmp_path: Path) -> None:
    serve(tmp_path / "a", FRAME.assign(delay=np.where(FRAME.index % 3 == 0, 900.0, FRAME["delay"])))
    order = Order(Monitor(), KNOWN, Path, "3", START, LATER, served=(tmp_path / "a",))
    found = examples(order, "delay")
    assert [one.value for one in found] == ["900"] * 5
    assert found[0].key in set(FRAME["id"])
