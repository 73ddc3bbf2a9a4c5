"""The search for a capacity is decided by its probes alone: found to its precision, whatever the server's limit."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.load import histogram
from mlship.load.capacity import Budget, Found, Held, Probe, Search, next_probe
from mlship.load.plan import Hopeless, Load, Target
from mlship.load.recording import Recording, Slice
from mlship.load.replicas import replicas
from mlship.load.search import capacity, judged, planned

SEARCH = Search(100)
IN, OUT, LATE = Held.WITHIN, Held.OUTSIDE, Held.UNCLEAR


def _searched(holds: Callable[[float], Held], search: Search = SEARCH) -> tuple[Found, list[Probe]]:
    probes: list[Probe] = []
    while not isinstance(step := next_probe(probes, search), Found):
        probes.append(Probe(step, holds(step)))
        assert len(probes) <= search.probes
    return step, probes


@pytest.mark.parametrize(
    ("seen", "then"),
    [
        ([], 100),
        ([(100, IN)], 200),
        ([(100, IN), (200, IN)], 400),
        ([(100, OUT)], 100),  # once more, before it counts
        ([(100, OUT), (100, OUT)], 50),
        ([(100, OUT), (100, IN)], 200),
        ([(100, IN), (400, OUT), (400, OUT)], 200),  # the geometric mean
        ([(100, IN), (200, LATE)], 200),
        ([(20_000, IN)], Found),
        ([(100, IN), (109, OUT), (109, OUT)], Found),
        ([(100, IN), (200, LATE), (200, LATE), (105, IN), (110, OUT), (110, OUT)], Found),
        ([(0.5, OUT), (0.5, OUT)], Found),
    ],
)
def test_next_rate(seen: list[tuple[float, Held]], then: float | type[Found]) -> None:
    step = next_probe([Probe(rate, held) for rate, held in seen], SEARCH)
    assert isinstance(step, Found) if then is Found else step == pytest.approx(then)


@given(st.floats(0.6, 19_000), st.floats(1, 5000), st.floats(1.2, 4))
def test_any_limit_is_found_to_the_precision(limit: float, start: float, factor: float) -> None:
    """Whatever the server holds, and wherever the search starts."""
    found, _ = _searched(lambda rate: IN if rate <= limit else OUT, Search(start, factor, probes=200))
    assert found.rate <= limit
    assert found.ceiling is None or found.ceiling > limit
    assert found.rate * 1.1 >= limit * (1 - 1e-9) or found.rate == 20_000


@given(st.lists(st.sampled_from(list(Held)), min_size=40, max_size=40), st.integers(1, 40))
def test_any_answers_end_the_search_with_what_was_shown(answers: list[Held], most: int) -> None:
    """Noise of any kind: the search ends in time, and the rate it names held, below all that failed twice."""
    coming = iter(answers)
    found, probes = _searched(lambda _: next(coming), Search(100, probes=most))
    assert len(probes) <= most
    assert found.rate == 0 or Probe(found.rate, IN) in probes
    assert found.ceiling is None or found.ceiling > found.rate
    assert found.probes == tuple(probes)


def test_one_hiccup_does_not_hide_a_capacity() -> None:
    """Every first try at a rate fails for a reason that is not the server's."""
    tried: set[float] = set()

    def holds(rate: float) -> Held:
        first = rate not in tried
        tried.add(rate)
        return OUT if first or rate > 1000 else IN

    found, _ = _searched(holds, Search(100, probes=40))
    assert 900 <= found.rate <= 1000


def test_what_the_generator_cannot_send_is_said() -> None:
    found, _ = _searched(lambda rate: IN if rate <= 3000 else LATE)
    assert found.at_least
    assert found.ceiling is None
    assert found.sentence.startswith("holds 29")
    assert found.sentence.endswith("/s at least: the load generator cannot send more on this machine")


def test_a_server_that_holds_nothing_has_no_capacity() -> None:
    found, _ = _searched(lambda _: OUT, Search(4))
    assert (found.rate, found.ceiling, found.at_least) == (0, 0.5, False)
    assert found.sentence == "does not hold 0.5/s: over the budget"


def test_a_search_that_cannot_be() -> None:
    for wrong in ({"start": 0.1}, {"start": 30_000}, {"start": 1, "factor": 1}, {"start": 1, "probes": 0}):
        with pytest.raises(ValueError, match="a search starts"):
            Search(**wrong)


def test_a_budget_reads_like_the_policy() -> None:
    assert str(Budget(((0.5, 0.02), (0.999, 0.2)), 0.01)) == "p50 within 20ms, p99.9 within 200ms, errors at most 1%"


def _recording(
    milliseconds: float, lag: float = 0.1, failed: int = 0, *, stopped: str = "", lasted: float = 1
) -> Recording:
    good = histogram.encoded([milliseconds / 1e3] * (100 - failed))
    late = histogram.encoded([lag / 1e3] * 100)
    errors = {"status 503": failed} if failed else {}
    part = Slice(0, 1.0, 100, good, late, errors, lasted)
    return Recording("it", 100, (part, part), stopped=stopped)


@pytest.mark.parametrize(
    ("recording", "held", "why"),
    [
        (_recording(10), IN, "p99 10 ms"),
        (_recording(10, lag=50), IN, "p99 10 ms"),  # the lag is part of the 10 ms
        (_recording(30), OUT, "p99 30 ms, over 20 ms"),
        (_recording(30, lag=50), LATE, "p99 30 ms, over 20 ms; but the load generator was 50.0 ms late itself (p99)"),
        (_recording(10, failed=2), OUT, "errors 2.00% (4 status 503)"),
        (_recording(10, failed=1), IN, "p99 10 ms"),
        (_recording(10, failed=100), OUT, "errors 100.00% (200 status 503)"),
        (_recording(10, stopped="more than 3 requests failed"), OUT, "more than 3 requests failed"),
        (_recording(10, lasted=1.2), LATE, "the load generator sent 83/s"),
        (
            Recording("it", 100, (Slice(0, 1.0, 0, histogram.encoded([]), histogram.encoded([])),)),
            LATE,
            "no request was due",
        ),
    ],
)
def test_a_probe_is_judged_by_its_figures(recording: Recording, held: Held, why: str) -> None:
    probe = judged(recording, Budget(((0.99, 0.02),), 0.01), 0.01)
    assert (probe.held, probe.why) == (held, why)


def test_a_probe_is_long_enough_for_its_quantile_and_ends_when_hopeless() -> None:
    """p99 needs 1,000 requests for 10 beyond it: 10 s at 100/s, 2 s at 2,000/s, and never more than 4 times as long."""
    load, budget = Load(1, 2, timeout=5), Budget(((0.99, 0.2),), 0.0)
    assert [planned(load, budget, rate).seconds for rate in (10, 200, 2000)] == pytest.approx([8, 5, 2])
    assert planned(load, budget, 2000).hopeless == (Hopeless(0.2, 45), Hopeless(5, 1))


@pytest.mark.parametrize(
    ("volume", "peak", "holds", "count"),
    [(10_000_000 / 86400, 3, 120, 4), (1, 1, 1000, 1), (80, 1, 100, 1), (80.1, 1, 100, 2), (100, 2, 25, 10)],
)
def test_replicas(volume: float, peak: float, holds: float, count: int) -> None:
    """ceil(volume * peak / (capacity * 0.8)), at least one."""
    assert replicas(volume, peak, holds).count == count


def test_replicas_in_words() -> None:
    assert replicas(10_000_000 / 86400, 3, 120).sentence == (
        "10,000,000 a day at 3x peak: 4 replicas (347/s at the peak; one holds 120/s, and is planned at 80% of that)"
    )
    assert "1 replica (" in replicas(1, 1, 100).sentence


@given(st.floats(0.01, 1e5), st.floats(1, 20), st.floats(0.5, 1e4))
def test_replicas_suffice_and_one_fewer_would_not(volume: float, peak: float, holds: float) -> None:
    found = replicas(volume, peak, holds)
    assert found.count * holds * 0.8 >= volume * peak * (1 - 1e-6)
    assert found.count == 1 or (found.count - 1) * holds * 0.8 < volume * peak


def test_replicas_of_a_server_that_holds_nothing() -> None:
    for wrong in ((1, 1, 0, 0.8), (1, 1, 10, 0), (1, 0.5, 10, 0.8), (0, 1, 10, 0.8)):
        with pytest.raises(ValueError, match="above zero"):
            replicas(*wrong)


@pytest.mark.slow
def test_the_capacity_of_a_real_server_is_found(serve: Callable[..., int]) -> None:
    """One at a time, 4 ms each: 250 a second is the wall, and a p99 of 100 ms is kept up to some way before it."""
    told: list[Probe] = []
    found = capacity(
        Target(f"http://127.0.0.1:{serve('queue')}"),
        [b"{}"],
        Budget(((0.99, 0.1),), 0.0),
        Search(100, precision=0.3),
        load=Load(1, 2, warmup=0.2, settle=0.2, timeout=2),
        max_lag=0.02,
        watch=told.append,
    )
    assert 50 <= found.rate < 260, found
    assert found.probes == tuple(told)
    assert math.isclose(found.probes[0].rate, 100)
