"""What servers export as windows: the difference of two looks, over restarts, silences and several servers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlship.engines import exported
from mlship.engines.exported import Exported
from mlship.monitor.reading import Snapshot, formed, lacking
from mlship.stats import cutting
from mlship.stats.placing import positions
from mlship.stats.sketches import ColumnSketch
from tests.monitor.reading.made import FEATURES, HOUR, START, baseline, rows

FRAME = rows(600, hours=3)
KNOWN = baseline(FRAME)


def document(
    frame: pd.DataFrame, *, epoch: str = "e", version: str = "3", missed: int = 0, thinned: int = 0
) -> dict[str, Any]:
    """What a server says that was asked these rows."""

    def sketch(cells: Iterable[Any]) -> dict[str, Any]:
        made = ColumnSketch()
        made.add(list(cells))
        return made.to_json()

    features = {name: sketch(frame[name].astype(object).where(frame[name].notna(), None)) for name in FEATURES}
    return {
        "model": "m", "version": version, "digest": "sha256:3", "epoch": epoch, "rows_missed": missed,
        "rows_thinned": thinned, "features": features, "outputs": {"": sketch(frame["prediction"].tolist())},
    }  # fmt: skip


def said(frame: pd.DataFrame, **options: Any) -> Exported:
    found = exported.read(json.dumps(document(frame, **options)).encode())
    assert found is not None
    return found


def look(at: float, **servers: Exported) -> Snapshot:
    made = Snapshot.of(START + at * HOUR, servers, "3")
    again = Snapshot.from_json(json.loads(json.dumps(made.to_json())))
    assert again.to_json() == made.to_json()
    return again


def counts(frame: pd.DataFrame, name: str) -> tuple[int, ...]:
    bins = KNOWN.features[name].bins
    return cutting.counted(positions(frame[name], bins), bins)


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["a", "b", "a anew", "none"]), min_size=1, max_size=6), st.integers(0, 5))
def test_windows_count_what_rows_would(steps: list[str], seed: int) -> None:
    """Two servers that are asked in turn, and one that begins anew: nothing is counted twice, or lost between looks."""
    rng = np.random.default_rng(seed)
    seen: dict[str, list[int]] = {"a": [], "b": []}
    epochs = {"a": 0, "b": 0}
    kept, at, total = look(0.0, a=said(FRAME.iloc[:0], epoch="0"), b=said(FRAME.iloc[:0], epoch="0")), 0.0, 0
    for step in steps:
        if step == "a anew":
            seen["a"], epochs["a"] = [], epochs["a"] + 1
        came = [] if step == "none" else rng.integers(0, len(FRAME), 40).tolist()
        seen[step[0]] = [*seen.get(step[0], []), *came]
        at += 1
        servers = {name: said(FRAME.iloc[seen[name]], epoch=str(epochs[name])) for name in ("a", "b")}
        tally, kept = formed(kept, look(at, **servers), KNOWN)
        if not came:
            assert tally is None
            continue
        assert tally is not None
        rows_ = FRAME.iloc[came]
        assert (tally.rows, tally.sampled) == (40, None)
        assert (tally.start, tally.seconds) == (START + (at - 1) * HOUR, HOUR)
        assert dict(tally.features) == {name: counts(rows_, name) for name in FEATURES}
        assert tally.answers is not None
        assert sum(tally.answers[:2]) == 40
        total += tally.rows
    assert total == 40 * sum(step != "none" for step in steps)


def test_a_window_is_formed_when_it_is_long_enough() -> None:
    """And a moment earlier: whoever looks every hour is not always late. At the first look nobody knows since when."""
    first, later = look(0.0, a=said(FRAME.iloc[:10])), said(FRAME.iloc[:50])
    assert formed(None, first, KNOWN) == (None, first)
    assert formed(first, look(0.9, a=later), KNOWN) == (None, first)
    for at in (0.96, 1.0, 30.0):
        tally, kept = formed(first, look(at, a=later), KNOWN)
        assert tally is not None
        assert (tally.rows, round(tally.seconds / HOUR, 6)) == (40, at)
        assert kept.at == START + at * HOUR


def test_a_server_that_is_silent_counts_later_and_one_that_is_gone_never() -> None:
    first = look(0.0, a=said(FRAME.iloc[:10]), b=said(FRAME.iloc[:10], epoch="b"))
    tally, kept = formed(first, look(1.0, a=said(FRAME.iloc[:30])), KNOWN)
    assert tally is not None
    assert tally.rows == 20
    tally, kept = formed(kept, look(2.0, a=said(FRAME.iloc[:30]), b=said(FRAME.iloc[:70], epoch="b")), KNOWN)
    assert tally is not None
    assert tally.rows == 60
    _, kept = formed(kept, look(3.0, a=said(FRAME.iloc[:30])), KNOWN)
    assert set(kept.servers) == {"a", "b"}
    _, kept = formed(kept, look(24.0 * 8, a=said(FRAME.iloc[:30])), KNOWN)
    assert set(kept.servers) == {"a"}


def test_fewer_than_before_is_a_restart_whatever_its_epoch_says() -> None:
    first = look(0.0, a=said(FRAME.iloc[:100], missed=5))
    for now in (said(FRAME.iloc[:60], missed=5), said(FRAME.iloc[:200], missed=1)):
        tally, _ = formed(first, look(1.0, a=now), KNOWN)
        assert tally is not None
        assert tally.rows == now.outputs[""].count + now.missed


def test_rows_that_were_too_many_are_rows_that_nobody_looked_at() -> None:
    first = look(0.0, a=said(FRAME.iloc[:0]))
    thin = document(FRAME.iloc[:100], missed=7, thinned=60)
    thin["features"] = document(FRAME.iloc[:40])["features"]
    now = exported.read(json.dumps(thin).encode())
    assert now is not None
    tally, _ = formed(first, look(1.0, a=now), KNOWN)
    assert tally is not None
    assert (tally.rows, tally.sampled) == (107, 40)


def test_servers_of_another_version_are_others() -> None:
    first = look(0.0)
    tally, _ = formed(first, look(1.0, a=said(FRAME.iloc[:10], version="4")), KNOWN)
    assert tally is None


def test_what_a_server_does_not_tell_is_not_counted() -> None:
    """A feature that is redacted; answers and scores that the model does not give."""
    given_ = document(FRAME.iloc[:50])
    del given_["features"]["delay"]
    now = exported.read(json.dumps(given_).encode())
    assert now is not None
    tally, kept = formed(look(0.0), look(1.0, a=now), KNOWN)
    assert tally is not None
    assert set(tally.features) == set(FEATURES) - {"delay"}
    assert lacking(kept, KNOWN) == ("delay",)
    assert lacking(kept, KNOWN, frozenset({"delay"})) == ()
    assert lacking(look(1.0), KNOWN) == ()
    assert tally.scores is None


@pytest.mark.parametrize("cells", [[0, 1, 1], [0.0, 1.0, 1.0], ["0", "1", "1"], [False, True, True]])
def test_classes_are_classes_whatever_type_a_model_gives_them(cells: list[Any]) -> None:
    sketch = ColumnSketch()
    sketch.add(cells)
    known = KNOWN
    if isinstance(cells[0], bool):
        assert KNOWN.answers is not None
        known = replace(
            KNOWN, answers=replace(KNOWN.answers, bins=replace(KNOWN.answers.bins, names=("false", "true")))
        )
    assert known.answers is not None
    names = known.answers.bins.names
    now = replace(said(FRAME.iloc[:3]), outputs={"": sketch})
    tally, _ = formed(look(0.0), look(1.0, a=now), known)
    assert tally is not None
    assert tally.answers is not None
    assert {name: tally.answers[names.index(name)] for name in names} in ({"0": 1, "1": 2}, {"false": 1, "true": 2})
    assert tally.scores is None


def test_probabilities_are_scores_and_of_several_the_last() -> None:
    assert KNOWN.scores is not None
    one, other = ColumnSketch(), ColumnSketch()
    one.add([0.9, 0.2])
    other.add([0.1, 0.8])
    for outputs in ({"": other}, {"0": one, "1": other}, {"no": one, "late": other}):
        now = replace(said(FRAME.iloc[:2]), outputs=outputs)
        tally, _ = formed(look(0.0), look(1.0, a=now), KNOWN)
        assert tally is not None
        assert tally.answers is None
        assert tally.scores == cutting.of_sketch(other, KNOWN.scores.bins)


@pytest.mark.parametrize(
    "damage",
    [
        lambda given_: given_.pop("epoch"),
        lambda given_: given_.update(rows_missed=-1),
        lambda given_: given_.update(rows_missed=True),
        lambda given_: given_["features"].update(x=[1]),
        lambda given_: given_["features"]["delay"]["numbers"].update(count=3),
        lambda given_: given_["features"]["delay"]["numbers"].update(accuracy=0.5),
        lambda given_: given_["features"]["delay"]["numbers"]["positive"].update({"99999999": 1}),
        lambda given_: given_["features"]["delay"]["numbers"].update(mean="x"),
        lambda given_: given_["features"]["carrier"]["categories"]["counts"].update(AA="many"),
        lambda given_: given_["features"]["carrier"]["categories"].update(count=1),
        lambda given_: given_["features"]["carrier"].update(none=None),
        lambda given_: given_.update(outputs=None),
        lambda given_: given_.update(features={f"x{at}": None for at in range(513)}),
    ],
)
def test_an_answer_that_no_server_gives_is_none(damage: Any) -> None:
    given_ = document(FRAME.iloc[:50])
    assert exported.read(json.dumps(given_).encode()) is not None
    damage(given_)
    assert exported.read(json.dumps(given_).encode()) is None


@given(st.binary(max_size=50) | st.sampled_from([b"[" * 10**5, b"NaN", b"{}", b"[]", b'{"version": {}}']))
def test_whatever_bytes_come_nothing_is_raised(body: bytes) -> None:
    assert exported.read(body) is None
