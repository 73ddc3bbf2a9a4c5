"""Plans, send times, histograms and recordings: values that travel, add up and read back."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.load import figures, histogram
from mlship.load.arrivals import times
from mlship.load.plan import Hopeless, Load, Target
from mlship.load.recording import Recording, Slice, merged


@pytest.mark.parametrize(
    "base",
    ["127.0.0.1:80", "ftp://x", "http://", "http://x/path", "http://x?q=1", "http://x:99999", "http://x:port", ""],
)
def test_an_address_that_is_none_is_refused(base: str) -> None:
    with pytest.raises(ValueError, match="no address of a server"):
        Target(base)


def test_a_header_cannot_smuggle_a_line() -> None:
    with pytest.raises(ValueError, match="line break"):
        Target("http://x", headers={"a": "b\r\nc: d"})
    with pytest.raises(ValueError, match="line break"):
        Target("http://x", path="/a\nb")


def test_the_head_of_a_request() -> None:
    """Given headers win over the usual ones, and the length is the body's."""
    target = Target("https://[::1]:8443", "/v2", {"Content-Type": "text/csv", "x-key": "1"})
    assert target.head(7) == (
        b"POST /v2 HTTP/1.1\r\nhost: [::1]:8443\r\ncontent-type: text/csv\r\nx-key: 1\r\ncontent-length: 7\r\n\r\n"
    )
    assert (target.host, target.port, target.secure) == ("::1", 8443, True)
    assert Target("http://name").port == 80


@pytest.mark.parametrize(
    "wrong",
    [{"rate": 0}, {"seconds": -1}, {"rate": float("nan")}, {"timeout": 0}, {"warmup": -1}, {"settle": float("inf")},
     {"arrivals": "bursts"}, {"connections": 0}],
)  # fmt: skip
def test_a_load_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"load|warm-up|arrivals"):
        Load(**{"rate": 1, "seconds": 1, **wrong})  # type: ignore[arg-type]  # wrong on purpose


def test_a_load_travels_as_json() -> None:
    load = Load(100, 30, "constant", 7, hopeless=(Hopeless(0.2, 3),))
    assert Load.from_json(json.loads(json.dumps(load.to_json()))) == load


def test_poisson_arrivals_have_exponential_gaps() -> None:
    """By Kolmogorov and Smirnov's test against the exponential distribution; the same seed sends at the same times."""
    import numpy as np
    from scipy.stats import kstest

    sent = times(200, 50, "poisson", "1")
    assert kstest(np.diff(sent), "expon", args=(0, 1 / 200)).pvalue > 0.01
    assert len(sent) == pytest.approx(10_000, abs=400)
    assert sent == times(200, 50, "poisson", "1") != times(200, 50, "poisson", "2")


@given(st.floats(0.1, 5000), st.floats(0.01, 3), st.sampled_from(["poisson", "constant"]))
def test_send_times_ascend_within_their_time(rate: float, seconds: float, arrivals: str) -> None:
    sent = times(rate, seconds, arrivals, "0")
    assert list(sent) == sorted(sent)
    assert all(0 <= moment < seconds for moment in sent)
    if arrivals == "constant":
        assert len(sent) == pytest.approx(rate * seconds, abs=1)


@given(st.lists(st.floats(0, 700), max_size=50))
def test_durations_are_kept_to_a_thousandth(seconds: list[float]) -> None:
    """From a microsecond to ten minutes; what took longer counts as ten minutes."""
    values, counts = histogram.cells(histogram.encoded(seconds))
    kept = [value for value, count in zip(values, counts, strict=True) for _ in range(count)]
    assert kept == pytest.approx([min(one, 600) for one in sorted(seconds)], rel=1e-3, abs=1e-6)


@given(st.lists(st.lists(st.floats(0, 10), max_size=20), max_size=5))
def test_histograms_add_up(parts: list[list[float]]) -> None:
    whole = histogram.merged(histogram.encoded(part) for part in parts)
    together = histogram.encoded([one for part in parts for one in part])
    assert histogram.cells(whole) == histogram.cells(together)
    assert histogram.total(whole) == sum(len(part) for part in parts)


def _slice(index: int, seconds: list[float], errors: dict[str, int] | None = None) -> Slice:
    lost = sum((errors or {}).values())
    lag = histogram.encoded([0.001] * (len(seconds) + lost))
    return Slice(index, 1.0, len(seconds) + lost, histogram.encoded(seconds), lag, errors or {}, 1.0)


def test_a_recording_adds_its_slices_and_travels_as_json() -> None:
    found = Recording(
        "it", 4, (_slice(0, [0.1] * 3, {"refused": 1}), _slice(1, [0.2] * 3, {"refused": 1, "broken": 2})), 7
    )
    assert (found.n, found.failed, found.errors, found.seconds) == (10, 4, {"refused": 2, "broken": 2}, 2)
    assert found.achieved == 5
    assert histogram.total(found.latency) == 6
    assert histogram.total(found.lag) == 10
    assert figures.lag(found) == pytest.approx(0.001, rel=1e-3)
    assert found.bounded == ""
    assert Recording.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_recordings_of_one_target_merge() -> None:
    one, other = Recording("it", 4, (_slice(0, [0.1]),), 3), Recording("it", 8, (_slice(0, [0.2]),), 5, "enough")
    both = merged([one, other])
    assert [part.index for part in both.slices] == [0, 1]
    assert (both.n, both.rate, both.connections, both.stopped) == (2, 6, 5, "enough")
    assert both.slices[0] == Slice(**asdict(one.slices[0]))
    with pytest.raises(ValueError, match="one target"):
        merged([one, Recording("else", 4, ())])
    with pytest.raises(ValueError, match="one target"):
        merged([])


def test_what_is_slower_than_a_limit_includes_what_failed() -> None:
    found = Recording("it", 10, (_slice(0, [0.1] * 8, {"refused": 2}), _slice(1, [0.1] * 9 + [0.5])))
    slow = figures.slower(found, 0.2)
    assert slow is not None
    assert (slow.value, slow.n) == (0.15, 20)


def test_a_ratio_needs_slices_of_both() -> None:
    """Where one side was stopped early, the slices that both have are compared."""
    ours = Recording("a", 100, tuple(_slice(index, [0.02] * 100) for index in range(4)))
    theirs = Recording("b", 100, tuple(_slice(index, [0.01] * 100) for index in range(2)))
    found = figures.ratio(ours, theirs, 0.9)
    assert found is not None
    assert found.value == pytest.approx(2, rel=1e-3)
    assert found.n == 200
    assert figures.ratio(ours, Recording("b", 100, (_slice(0, [0.01]),)), 0.9) is None
