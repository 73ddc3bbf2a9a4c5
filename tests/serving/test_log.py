"""The prediction log: sampled by id, bounded on disk, strict JSON whatever a cell holds, and no danger to serving."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.serving import logs, predictionlog
from mlship.serving.exposition import Described
from mlship.serving.feedback import Feedback
from mlship.serving.notes import Notes, Subject
from mlship.serving.observer import Answered
from mlship.serving.observing import Observing
from mlship.serving.others import Alone
from mlship.serving.predictionlog import MAX_WAITING, PredictionLog, found, line, sampled


def lines(directory: Path) -> list[Any]:
    text = "".join(path.read_text() for *_, path in sorted(found(directory)))
    assert not text or text.endswith("\n")
    return [json.loads(one, parse_constant=pytest.fail) for one in text.splitlines()]


def size(directory: Path) -> int:
    return sum(path.stat().st_size for *_, path in found(directory))


def observer(directory: Path, **subject: Any) -> tuple[Observing, PredictionLog]:
    log = PredictionLog(directory, 10**6)
    notes = Notes(Subject("m", "3", **{"sample": 1.0} | subject), log)
    return Observing(Described("m", "3", "d"), notes, log, Feedback(), Alone()), log


def answered(request_id: str, **features: list[Any]) -> Answered:
    return Answered(request_id, 1.8e9, 0.001, 200, features, [1])


def test_a_line_tells_the_request_and_a_later_one_its_label(tmp_path: Path) -> None:
    observing, _ = observer(tmp_path, redact=frozenset({"name"}))
    observing.answered(answered("r1", age=[41.5], name=["Ann"]))
    asyncio.run(observing.feedback(b'[{"request_id": "r1", "label": 0}, {"request_id": "forgotten", "label": [1, 0]}]'))
    observing.close(5)
    prediction, label, other = lines(tmp_path)
    assert prediction == {
        "kind": "prediction",
        "time": "2027-01-15T08:00:00.000Z",
        "request_id": "r1",
        "model": "m",
        "version": "3",
        "features": {"age": [41.5], "name": ["[redacted]"]},
        "predictions": [1],
    }
    assert {**label, "time": ""} == {
        "kind": "label", "time": "", "request_id": "r1", "model": "m", "version": "3", "labels": [0], "joined": True,
    }  # fmt: skip
    assert (other["request_id"], other["labels"], other["joined"]) == ("forgotten", [1, 0], False)
    assert "Ann" not in (tmp_path / "predictions-0-000001.jsonl").read_text()


def test_features_are_left_out_when_the_policy_says_so_and_failures_are_no_predictions(tmp_path: Path) -> None:
    observing, _ = observer(tmp_path, features=False)
    observing.answered(answered("r1", age=[41.5]))
    observing.answered(Answered("r2", 1.8e9, 0.001, 500))
    observing.close(5)
    (only,) = lines(tmp_path)
    assert "features" not in only


def test_the_sample_is_decided_by_the_id_alone_and_a_larger_share_holds_the_smaller() -> None:
    ids = [f"request-{number}" for number in range(20_000)]
    small = {one for one in ids if sampled(one, 0.01)}
    large = {one for one in ids if sampled(one, 0.1)}
    assert small < large
    assert len(small) == pytest.approx(200, abs=60)
    assert len(large) == pytest.approx(2000, abs=180)
    assert sampled("any", 1.0)
    assert not sampled("any", 0.0)
    assert sampled("\ud800", 0.5) in (True, False)


CELLS: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**5000), 10**5000) | st.floats() | st.text(st.characters())
    | st.binary() | st.sampled_from([np.float64("nan"), np.int64(3), np.array([1, 2]), object(), {1, 2}, {(1,): 2}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2) | st.tuples(inner),
    max_leaves=5,
)  # fmt: skip


@given(CELLS)
def test_any_value_becomes_one_line_of_strict_json(value: Any) -> None:
    text = line({"features": {"a": [value]}})
    assert text.count(b"\n") == 1
    assert text.isascii()
    json.loads(text, parse_constant=pytest.fail)


def test_values_that_json_lacks_are_told_in_words() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    told = json.loads(line({"a": [math.nan, -math.inf, 10**5000, np.float64(1.5), b"", 10**30], "deep": deep}))
    assert told["a"] == ["NaN", "-Infinity", "an integer of 16610 bits", 1.5, "<bytes>", 10**30]
    assert "<list>" in json.dumps(told["deep"])


def test_the_log_never_takes_more_than_its_bytes_and_drops_the_oldest_lines(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, 100_000)
    for number in range(6000):
        log.offer(line({"number": number, "pad": "x" * 60}))
        if number % 500 == 0:
            time.sleep(0.01)
            assert size(tmp_path) <= 100_000
    log.close(5)
    assert size(tmp_path) <= 100_000
    numbers = [one["number"] for one in lines(tmp_path)]
    assert numbers == list(range(numbers[0], 6000)), "the newest, without a gap"
    assert len(numbers) > 500
    assert (log.written, log.dropped) == (6000, 0)


def test_a_server_that_starts_again_goes_on_behind_its_predecessor_and_within_the_same_bound(tmp_path: Path) -> None:
    for start in range(0, 5000, 1000):
        log = PredictionLog(tmp_path, 100_000)
        for number in range(start, start + 1000):
            log.offer(line({"number": number, "pad": "x" * 60}))
        log.close(5)
        assert size(tmp_path) <= 100_000
    numbers = [one["number"] for one in lines(tmp_path)]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 4999


def test_workers_share_the_bytes_and_those_that_are_no_more_leave_none_behind(tmp_path: Path) -> None:
    for worker in range(4):
        log = PredictionLog(tmp_path, 400_000, worker=worker, workers=4)
        for number in range(3000):
            log.offer(line({"number": number, "pad": "x" * 60}))
        log.close(5)
    assert 300_000 < size(tmp_path) <= 400_000
    log = PredictionLog(tmp_path, 100_000, worker=0, workers=1)
    for number in range(3000):
        log.offer(line({"number": number, "pad": "x" * 60}))
    log.close(5)
    assert size(tmp_path) <= 100_000


def test_a_line_beyond_all_measure_is_dropped_and_counted(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, 10**6)
    log.offer(b"x" * 200_000)
    log.offer(line({"a": 1}))
    log.close(5)
    assert (log.written, log.dropped, len(lines(tmp_path))) == (1, 1, 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_stops_the_log_with_one_warning_and_never_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened: list[Any] = []

    def full(_: PredictionLog) -> Any:
        opened.append(os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb", buffering=0))
        return opened[-1]

    monkeypatch.setattr(PredictionLog, "_open", full)
    monkeypatch.setattr(predictionlog.log, "propagate", True)
    with caplog.at_level(logging.WARNING):
        observing, log = observer(tmp_path)
        for number in range(50):
            observing.answered(answered(f"r{number}", a=[1]))
            if number % 10 == 0:
                observing._notes.settle()
                time.sleep(0.02)
        observing._notes.settle()
        text = asyncio.run(observing.metrics()).body.decode()
        observing.close(5)
    assert log.stopped
    assert (log.written, log.dropped) == (0, 50)
    assert "mlship_log_stopped 1.0" in text
    assert 'mlship_requests_total{outcome="ok"} 50.0' in text
    (warning,) = [record.getMessage() for record in caplog.records if "prediction log" in record.getMessage()]
    assert "No space left on device" in warning
    assert opened


def test_a_directory_that_cannot_be_made_stops_the_log_in_the_same_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    observing, log = observer(tmp_path / "file" / "below")
    observing.answered(answered("r1", a=[1]))
    observing.close(5)
    assert (log.stopped, log.dropped) == (True, 1)


def test_a_part_of_a_line_that_still_fitted_is_taken_back(tmp_path: Path) -> None:
    class Short:
        """A file with room for ten more bytes."""

        def __init__(self) -> None:
            self.file = (tmp_path / "short").open("xb", buffering=0)

        def tell(self) -> int:
            return self.file.tell()

        def truncate(self, at: int) -> None:
            self.file.truncate(at)

        def write(self, data: memoryview) -> int:
            if self.file.tell() >= 10:
                raise OSError(28, "No space left on device")
            return self.file.write(data[:10])

    with pytest.raises(OSError, match="No space"):
        predictionlog._append(Short(), b"a line that is longer\n")
    assert (tmp_path / "short").read_bytes() == b""


def test_lines_that_a_slow_disk_cannot_take_are_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = PredictionLog._write

    def write(self: PredictionLog, file: Any, waiting: list[bytes]) -> Any:
        time.sleep(0.3)
        return slow(self, file, waiting)

    monkeypatch.setattr(PredictionLog, "_write", write)
    log = PredictionLog(tmp_path, 10**9)
    text = b"x" * 99_999 + b"\n"
    for _ in range(3 * MAX_WAITING // len(text)):
        log.offer(text)
    log.close(10)
    assert log.dropped > 0
    assert log.written + log.dropped == 3 * MAX_WAITING // len(text)


def record(message: str, *arguments: object, **extra: Any) -> logging.LogRecord:
    made = logging.getLogger("mlship.serving").makeRecord(
        "mlship.serving", logging.ERROR, "", 0, message, arguments, None, extra=extra
    )
    with pytest.raises(ValueError, match="one") as raised:
        int("one\ntwo")
    made.exc_info = (ValueError, raised.value, raised.value.__traceback__)
    return made


def test_log_lines_are_one_line_each_in_both_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLSHIP_DEBUG", raising=False)
    made = record("request %s failed:\n\u2028 %s", "r1", "x\ny", request_id="r1")
    message = "request r1 failed: x y: ValueError: invalid literal for int() with base 10: 'one\\ntwo'"
    assert logs.OneLine().format(made).endswith(f"ERROR mlship.serving: {message}")
    document = json.loads(logs.JsonLine().format(made))
    assert "\n" not in logs.JsonLine().format(made)
    assert document.pop("time")
    assert document == {
        "level": "ERROR",
        "logger": "mlship.serving",
        "message": message,
        "request_id": "r1",
    }
    monkeypatch.setenv("MLSHIP_DEBUG", "1")
    assert "Traceback" in json.loads(logs.JsonLine().format(made))["traceback"]


def test_the_last_words_of_a_process_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLSHIP_DEBUG", raising=False)
    logs.last_words("text", "a:\nb", ValueError("x"))
    logs.last_words("json", "a:\nb", ValueError("x"))
    text, document = capsys.readouterr().err.splitlines()
    assert text == "mlship.serving: a: b"
    assert json.loads(document)["message"] == "a: b"
