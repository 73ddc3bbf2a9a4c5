"""What one worker counts, and that the counts of several are one: merged, exposed, and never smaller than before."""

from __future__ import annotations

import asyncio
import json
import math
import socket
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from mlship.serving.channel import Channel
from mlship.serving.exposition import SECONDS, Described, exposition
from mlship.serving.feedback import Feedback, Label
from mlship.serving.notes import FEATURE_ROWS, MAX_CLASSES, MAX_ROWS, Notes, Subject, count_classes
from mlship.serving.observer import Answered, Pressure
from mlship.serving.observing import ELSEWHERE, Observing, outcome
from mlship.serving.others import Alone
from mlship.serving.state import MAX_SECONDS, OTHER, State, merged
from mlship.serving.tally import summed
from mlship.serving.together import Together, Told

DESCRIBED = Described("m", "3", "sha256:1", "sha256:2")


def answered(number: int = 0, *, status: int = 200, seconds: float = 0.003, **given: Any) -> Answered:
    values = {"features": {"a": [1.0], "b": ["x"]}, "predictions": [1]} | given
    return Answered(f"id{number}", 1000.0 + number, seconds, status, **values)


@pytest.fixture
def observing() -> Iterator[Observing]:
    observer = make()
    yield observer
    observer.close(5)


def make(*, redact: frozenset[str] = frozenset()) -> Observing:
    notes = Notes(Subject("m", "3", redact=redact), None)
    return Observing(DESCRIBED, notes, None, Feedback(), Alone())


def read(text: bytes) -> dict[tuple[str, ...], float]:
    """Samples by name and label values."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def scrape(observer: Observing) -> dict[tuple[str, ...], float]:
    answer = asyncio.run(observer.metrics())
    assert answer.media_type.startswith("text/plain")
    return read(answer.body)


def test_every_answer_is_counted_by_outcome_and_latency(observing: Observing) -> None:
    for status in (200, 200, 400, 413, 503, 504, 500):
        observing.answered(answered(status=status))
    observing.answered(answered(seconds=1e9))
    samples = scrape(observing)
    counts = {name: samples["mlship_requests_total", name] for name in ("ok", "rejected", "refused", "late", "failed")}
    assert counts == {"ok": 3, "rejected": 2, "refused": 1, "late": 1, "failed": 1}
    assert samples["mlship_request_seconds_bucket", "0.0025"] == 0
    assert samples["mlship_request_seconds_bucket", "0.003"] == 7
    assert samples["mlship_request_seconds_bucket", "30.0"] == 7
    assert samples["mlship_request_seconds_bucket", "+Inf"] == samples["mlship_request_seconds_count",] == 8


def test_buckets_are_fine_and_hold_the_limits_that_people_write() -> None:
    assert {0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.4, 0.5, 1, 2, 5, 10, 30} <= set(SECONDS)
    assert all(later / earlier <= 1.5001 for earlier, later in pairwise(SECONDS))


def test_the_present_state_is_asked_for_when_somebody_wants_it(observing: Observing) -> None:
    observing.watch(lambda: Pressure(ready=True, in_flight=7, waiting=3))
    observing.called(3)
    observing.called(0)
    samples = scrape(observing)
    assert samples["mlship_requests_in_flight",] == 7
    assert samples["mlship_requests_waiting",] == 3
    assert samples["mlship_ready",] == samples["mlship_workers",] == samples["mlship_workers_ready",] == 1
    assert samples["mlship_batch_rows_sum",] == 3
    assert samples["mlship_requests_not_batched_total",] == 1
    assert samples["mlship_model_info", "sha256:1", "m", "sha256:2", "3"] == 1
    assert samples["process_resident_memory_bytes",] > 1e6


def test_features_and_predictions_are_sketched_by_name(observing: Observing) -> None:
    for number in range(100):
        observing.answered(
            answered(number, features={"a": [float(number)], "b": ["xy"[number % 2]]}, predictions=["no"])
        )
    observing.answered(answered(features={"a": [None], "b": [None]}, predictions=[True]))
    observing.answered(answered(features=None, predictions=[[0.25, 0.75]]))
    observing.answered(answered(features=None, predictions=[{"y": 4, "name": "z"}]))
    observing.answered(answered(status=500))
    samples = scrape(observing)
    assert samples["mlship_feature_cells_total", "a"] == 101
    assert samples["mlship_feature_missing_total", "b"] == 1
    assert samples["mlship_feature_value", "a", "0.5"] == pytest.approx(49, rel=0.02)
    assert samples["mlship_feature_value_count", "a"] == 100
    assert samples["mlship_predictions_total", "no", ""] == 100
    assert samples["mlship_predictions_total", "true", ""] == 1
    assert samples["mlship_predictions_total", "4", "y"] == 1
    assert samples["mlship_prediction_value_sum", "1"] == 0.75
    document = json.loads(asyncio.run(observing.sketches()).body)
    assert document["features"]["b"]["categories"]["counts"] == {"x": 50, "y": 50}
    assert (document["model"], document["version"], document["digest"]) == ("m", "3", "sha256:1")


def test_what_is_redacted_is_not_sketched_either() -> None:
    observer = make(redact=frozenset({"b"}))
    observer.answered(answered())
    assert list(json.loads(asyncio.run(observer.sketches()).body)["features"]) == ["a"]
    observer.close(5)


def test_features_of_very_many_rows_are_thinned_evenly_and_their_predictions_all_counted() -> None:
    notes = Notes(Subject("m", "3"), None)
    rows = list(range(20_000))
    with notes._lock:  # so that it is one take
        notes.answered(answered(features={"a": rows[:9000]}, predictions=rows[:9000]))
        for row in rows[9000:]:
            notes.answered(answered(features={"a": [row]}, predictions=[row]))
    notes.settle()
    numbers = notes.features["a"].numbers
    assert numbers.count + notes.thinned == 20_000
    assert FEATURE_ROWS * 0.9 < numbers.count <= FEATURE_ROWS
    assert numbers.mean == pytest.approx(10_000, rel=0.05)
    assert notes.outputs[""].count == sum(notes.classes[""].values()) == 20_000
    notes.close(5)


def test_rows_that_come_faster_than_they_are_noted_are_counted_and_nothing_grows() -> None:
    notes = Notes(Subject("m", "3"), None)
    with notes._lock:  # as if the thread were busy
        for _ in range(3):
            notes.answered(answered(features=None, predictions=[0] * MAX_ROWS))
    assert notes.missed == 2 * MAX_ROWS
    notes.settle()
    assert notes.outputs[""].count == MAX_ROWS
    notes.answered(answered())
    notes.settle()
    assert notes.outputs[""].count == MAX_ROWS + 1
    notes.close(5)


def test_classes_are_bounded_and_equal_values_of_different_types_are_different_classes() -> None:
    classes: dict[str, int] = {}
    count_classes(classes, [1, True, "1", 1.0, None, [1]])
    assert classes == {"1": 2, "true": 1}
    count_classes(classes, [f"c{number}" for number in range(10_000)])
    assert len(classes) == MAX_CLASSES + 1
    assert sum(classes.values()) == 10_003
    assert classes[OTHER] == 10_000 - (MAX_CLASSES - 2)


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.tuples(st.dictionaries(st.text(st.characters()), ANYTHING, max_size=4), ANYTHING), max_size=8))
@settings(max_examples=60, deadline=None)
def test_any_features_and_predictions_leave_metrics_that_prometheus_reads_and_strict_json(given: list[Any]) -> None:
    observer = make()
    for number, (features, prediction) in enumerate(given):
        columns = {name: [cell] for name, cell in features.items()}
        observer.answered(answered(number, features=columns, predictions=[prediction]))
    samples = scrape(observer)
    assert samples["mlship_requests_total", "ok"] == len(given)
    assert samples["mlship_rows_missed_total",] == 0
    json.loads(asyncio.run(observer.sketches()).body, parse_constant=pytest.fail)
    assert observer._notes._thread.is_alive()
    observer.close(5)


def test_labels_are_joined_counted_by_second_and_told_as_before(observing: Observing) -> None:
    for number in range(3):
        observing.answered(answered(number))
    body = json.dumps([{"request_id": f"id{number}", "label": number % 2} for number in range(4)]).encode()
    answer = asyncio.run(observing.feedback(body))
    told = json.loads(answer.body)
    assert (answer.status, told.pop("note")) == (202, ELSEWHERE)
    assert told == {"accepted": 4, "joined": 3}
    counters = json.loads(asyncio.run(observing.counters(b"")).body)
    assert counters["labels"] == [[1000, 1, 1], [1001, 1, 0], [1002, 1, 1]]
    assert len(counters["epoch"]) == 32
    samples = scrape(observing)
    assert (samples["mlship_labels_total",], samples["mlship_labels_wrong_total",]) == (3, 2)
    assert asyncio.run(observing.feedback(b"{")).status == 400


def states(*observers: Observing) -> list[State]:
    return [State.from_json(json.loads(json.dumps(asyncio.run(observer.state())))) for observer in observers]


def test_the_states_of_workers_add_up_whatever_their_order() -> None:
    one, two = make(), make()
    for number in range(30):
        (one if number % 3 else two).answered(answered(number, predictions=[number % 5]))
    two.answered(answered(31, features={"c": [1]}, predictions=["late"]))
    assert one.join([Label("id1", (1,))]) == [(1, 0)]
    first, second = states(one, two)
    together = exposition(DESCRIBED, merged([first, second]), 0.0)
    other_way = exposition(DESCRIBED, merged([second, first]), 0.0)
    samples = read(together)
    assert samples == pytest.approx(read(other_way))
    assert samples["mlship_requests_total", "ok"] == 31
    assert samples["mlship_workers",] == 2
    assert samples["mlship_feature_cells_total", "a"] == 30
    assert samples["mlship_predictions_total", "late", ""] == 1
    assert first.counts["outcomes"]["ok"] == 20, "merging leaves the parts as they were"
    for observer in (one, two):
        observer.close(5)


def test_merged_labels_and_classes_are_bounded_by_dropping_the_oldest_and_joining_the_newest() -> None:
    many = [
        State({"labels": {str(second): [1, 0] for second in range(start, start + 3000)}, "classes": {"": classes}})
        for start, classes in ((0, {f"a{n}": 1 for n in range(900)}), (3000, {f"b{n}": 1 for n in range(900)}))
    ]
    total = merged(many)
    assert len(total.counts["labels"]) == MAX_SECONDS
    assert min(map(int, total.counts["labels"])) == 6000 - MAX_SECONDS
    assert len(total.counts["classes"][""]) == 1001
    assert sum(total.counts["classes"][""].values()) == 1800


def test_what_a_dead_worker_had_counted_stays_and_what_it_held_goes() -> None:
    async def scenario() -> tuple[State, State]:
        together = Together()

        async def ready(_: Any) -> None:
            return None

        one, two = Told(together, ready), Told(together, ready)
        together.add(one)
        together.add(two)
        observers = make(), make()
        observers[0].watch(lambda: Pressure(ready=True, in_flight=5, waiting=0))
        for observer, told in zip(observers, (one, two), strict=True):
            observer.answered(answered())
            told.keep(await observer.state())
        stale = await observers[0].state()
        observers[0].answered(answered())
        one.keep(await observers[0].state())
        one.keep(stale)  # an answer that was overtaken
        before = merged(map(State.from_json, await together.others(two)))
        together.bury(one, died=True)
        after = merged(map(State.from_json, await together.others(two)))
        for observer in observers:
            observer.close(5)
        return before, after

    before, after = asyncio.run(scenario())
    assert before.counts["outcomes"]["ok"] == after.counts["outcomes"]["ok"] == 2
    assert before.present["in_flight"] == 5
    assert after.present == {}
    assert after.counts["deaths"] == 1
    assert after.features["a"].count == 2


def test_what_the_judge_reads_never_shrinks_when_a_worker_is_silent_or_dies() -> None:
    async def scenario() -> list[list[dict[str, Any]]]:
        together = Together()

        async def ready(_: Any) -> None:
            return None

        asking, other = Told(together, ready), Told(together, ready)
        together.add(asking)
        together.add(other)
        observer = make()
        observer.answered(answered(1, predictions=["a"]))
        other.keep(await observer.state())
        observer.answered(answered(2, predictions=["a"]))
        observer.join([Label("id2", ("b",))])
        other.keep_tally(observer.tally(0))  # later than its state
        silent = await together.tallies(asking, 0)
        together.bury(other, died=True)
        gone = await together.tallies(asking, 0)
        observer.close(5)
        return [silent, gone]

    for tallies in asyncio.run(scenario()):
        assert [tally["predicted"] for tally in tallies] == [{"classes": {"a": 2}, "scores": {}}]
        assert summed(tally["labels"] for tally in tallies) in ([(1002, 1, 1)], [[1002, 1, 1]])


def test_labels_of_several_workers_add_up_by_second() -> None:
    assert summed([[(1, 2, 1), (3, 1, 0)], [], [[3, 4, 4], [2, 1, 1]]]) == [(1, 2, 1), (2, 1, 1), (3, 5, 4)]
    assert summed([]) == []
    many = [[(second, 1, 0) for second in range(start, start + 3000)] for start in (0, 3000)]
    assert [second for second, *_ in summed(many)] == list(range(6000 - MAX_SECONDS, 6000))


def test_silence_is_counted_in_looks_only_and_ends_with_an_answer() -> None:
    async def scenario() -> list[int]:
        together = Together()
        state = await make().state()

        async def ready(_: Any) -> None:
            return None

        async def answer(_: Any) -> Any:
            return state

        told = Told(together, ready)
        together.add(told)
        counts = []
        for _ in range(2):  # nobody is there yet
            await together.look()
            counts.append(told.silent)
        assert len(await together.others(Told(together, ready))) == 1, "the dead only"
        counts.append(told.silent)
        ours, theirs = socket.socketpair()
        worker = Channel({"state": answer})
        talks = [asyncio.ensure_future(told.channel.run(ours)), asyncio.ensure_future(worker.run(theirs))]
        await asyncio.sleep(0.01)
        await together.look()
        counts.append(told.silent)
        assert told.state == state
        for talk in talks:
            talk.cancel()
        await asyncio.wait(talks)
        return counts

    assert asyncio.run(scenario()) == [1, 2, 2, 0]


def test_outcomes_have_a_name_each() -> None:
    assert [outcome(status) for status in (200, 204, 400, 413, 429, 499, 500, 502, 503, 504)] == [
        "ok", "ok", "rejected", "rejected", "rejected", "rejected", "failed", "failed", "refused", "late",
    ]  # fmt: skip


def test_quantiles_of_infinite_values_are_told_as_prometheus_writes_them(observing: Observing) -> None:
    observing.answered(answered(features={"a": [math.inf]}))
    assert scrape(observing)["mlship_feature_value", "a", "0.5"] == math.inf
