"""Windows of counters: never negative, nothing twice, and no evidence where there is no data."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mlship.telemetry.windows import observe
from mlship.types import (
    LATENCY_BOUNDS_MS,
    ArmWindow,
    Labelled,
    LabelWindow,
    Observation,
    Routes,
    Scrape,
    ServerCounters,
)

BUCKETS = len(LATENCY_BOUNDS_MS) + 1
ROUTES = Routes("s", "c", 0.1)
NOTHING = ServerCounters("e", 0, 0, (0,) * BUCKETS)


def counters(
    requests: int,
    errors: int = 0,
    *,
    epoch: str = "e",
    labels: tuple[Labelled, ...] = (),
    labels_epoch: str | None = "",
) -> ServerCounters:
    latency = (requests, *(0,) * (BUCKETS - 1))
    return ServerCounters(epoch, requests, errors, latency, labels, labels_epoch)


def scrape(at: float, missing: tuple[str, ...] = (), **servers: ServerCounters) -> Scrape:
    return Scrape(at, servers, missing)


def test_windows_are_differences() -> None:
    before = scrape(10, s=counters(100, 3), c=counters(10, 1))
    after = scrape(20, s=counters(150, 4), c=counters(17, 3))
    seen = observe(before, after, ROUTES)
    assert (seen.started, seen.ended, seen.weight, seen.missing) == (10, 20, 0.1, ())
    assert (seen.stable.requests, seen.stable.errors, sum(seen.stable.latency)) == (50, 1, 50)
    assert (seen.canary.requests, seen.canary.errors, sum(seen.canary.latency)) == (7, 2, 7)


def test_a_counter_that_began_again_counts_from_zero() -> None:
    before = scrape(10, s=counters(100, 3), c=counters(10))
    after = scrape(20, s=counters(40, 2, epoch="f"), c=counters(12))
    assert observe(before, after, ROUTES).stable == ArmWindow(40, 2, counters(40).latency)


def test_a_server_that_was_not_there_before_counts_from_zero() -> None:
    seen = observe(scrape(10, s=NOTHING), scrape(20, s=NOTHING, c=counters(5, 1)), ROUTES)
    assert (seen.canary.requests, seen.canary.errors, seen.missing) == (5, 1, ())


def test_no_data_is_no_evidence() -> None:
    whole = scrape(10, s=counters(1), c=counters(1))
    assert observe(whole, scrape(20, s=counters(2)), ROUTES).missing == ("canary",)
    assert observe(whole, scrape(20, ("s",), c=counters(2)), ROUTES).missing == ("stable",)
    assert observe(whole, scrape(20, ("s", "c")), ROUTES).missing == ("stable", "canary")
    hidden = observe(scrape(10, ("c",), s=NOTHING), scrape(20, s=NOTHING, c=counters(900, 9)), ROUTES)
    assert hidden.missing == ("canary",), "what could not be read before may be years of history"
    assert hidden.canary == ArmWindow()


def test_without_a_canary_there_is_nothing_to_miss() -> None:
    seen = observe(scrape(1, s=counters(1)), scrape(2, s=counters(4)), Routes("s", None, 0.5))
    assert (seen.weight, seen.stable.requests, seen.canary, seen.missing) == (0.0, 3, ArmWindow(), ())


def test_labels_are_differenced_per_second() -> None:
    before = scrape(10, s=counters(9, labels=(Labelled(1, 4, 1), Labelled(2, 5, 0))), c=counters(9))
    after = scrape(
        20,
        s=counters(9, labels=(Labelled(1, 4, 1), Labelled(2, 8, 2))),
        c=counters(9, labels=(Labelled(2, 1, 1), Labelled(3, 2, 0))),
    )
    assert observe(before, after, ROUTES).labels == (
        LabelWindow(2, canary=(1, 1), stable=(3, 2)),
        LabelWindow(3, canary=(2, 0), stable=(0, 0)),
    )


def test_labels_and_requests_begin_again_apart() -> None:
    old = counters(100, labels=(Labelled(1, 50, 5),), labels_epoch="server 1")
    new = counters(110, labels=(Labelled(1, 3, 1),), labels_epoch="server 2")
    seen = observe(scrape(1, s=old), scrape(2, s=new), Routes("s"))
    assert seen.stable.requests == 10, "the router went on counting"
    assert seen.labels == (LabelWindow(1, canary=(0, 0), stable=(3, 1)),), "the server began again"


def test_labels_that_could_not_be_read_are_not_counted_afterwards() -> None:
    unread = counters(100, labels_epoch=None)
    read = counters(110, labels=(Labelled(1, 50, 5),), labels_epoch="server")
    for before, after in ((unread, read), (read, unread)):
        assert observe(scrape(1, s=before), scrape(2, s=after), Routes("s")).labels == ()


second = st.integers(0, 5)
label = st.tuples(second, st.integers(1, 4), st.integers(0, 4))
#: What one server does between two scrapes: (good, failed, slow bucket, labels), or a restart of either counter.
happening = st.one_of(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, BUCKETS - 1), st.lists(label, max_size=3)),
    st.sampled_from(["router restarts", "server restarts"]),
)


#: Its type.
Happening = tuple[int, int, int, list[tuple[int, int, int]]] | str


def step(now: ServerCounters, what: Happening) -> ServerCounters:
    if what == "router restarts":
        return replace(NOTHING, epoch=now.epoch + "'", labels=now.labels, labels_epoch=now.labels_epoch)
    if isinstance(what, str):
        return replace(now, labels=(), labels_epoch=(now.labels_epoch or "") + "'")
    good, failed, bucket, labels = what
    latency = list(now.latency)
    latency[bucket] += good
    latency[-1] += failed
    counted = {entry.second: (entry.labelled, entry.wrong) for entry in now.labels}
    for at, labelled, wrong in labels:
        known = counted.get(at, (0, 0))
        counted[at] = (known[0] + labelled, known[1] + min(labelled, wrong))
    return replace(
        now,
        requests=now.requests + good + failed,
        errors=now.errors + failed,
        latency=tuple(latency),
        labels=tuple(Labelled(at, *counts) for at, counts in sorted(counted.items())),
    )


@given(st.lists(st.tuples(happening, happening), min_size=1, max_size=12))
def test_the_windows_of_looks_add_up_to_what_happened(happenings: list[tuple[Happening, Happening]]) -> None:
    """A look after each happening: nothing is lost but the past of what restarts, and nothing is counted twice."""
    stable = canary = replace(NOTHING, labels_epoch="l")
    before, sums, wanted = scrape(0, s=stable, c=canary), [0, 0, 0, 0], [0, 0, 0, 0]
    for number, (one, other) in enumerate(happenings, start=1):
        stable, canary = step(stable, one), step(canary, other)
        after = scrape(number, s=stable, c=canary)
        seen = observe(before, after, ROUTES)
        _sane(seen)
        for index, what in ((0, one), (1, other)):
            if isinstance(what, tuple):
                wanted[index] += what[0] + what[1]
                wanted[2 + index] += sum(labelled for _, labelled, _ in what[3])
        sums[0] += seen.stable.requests
        sums[1] += seen.canary.requests
        sums[2] += sum(window.stable[0] for window in seen.labels)
        sums[3] += sum(window.canary[0] for window in seen.labels)
        before = after
    assert sums == wanted


counts = st.builds(
    ServerCounters,
    epoch=st.sampled_from("ab"),
    requests=st.integers(0, 50),
    errors=st.integers(0, 50),
    latency=st.lists(st.integers(0, 9), min_size=BUCKETS, max_size=BUCKETS).map(tuple),
    labels=st.lists(st.builds(Labelled, second, st.integers(0, 9), st.integers(0, 9)), max_size=4).map(tuple),
    labels_epoch=st.sampled_from(["", "x", None]),
)
scrapes = st.builds(
    Scrape,
    at=st.floats(0, 1e9),
    servers=st.dictionaries(st.sampled_from("scx"), counts),
    missing=st.lists(st.sampled_from("sc"), max_size=2).map(tuple),
)


@given(scrapes, scrapes, st.sampled_from([ROUTES, Routes("s"), Routes("x", "s", 1.0)]))
def test_whatever_is_read_no_window_is_negative(before: Scrape, after: Scrape, routes: Routes) -> None:
    seen = observe(before, after, routes)
    _sane(seen)
    for arm in seen.missing:
        assert getattr(seen, arm) == ArmWindow()


def _sane(seen: Observation) -> None:
    for window in (seen.stable, seen.canary):
        assert 0 <= window.errors <= window.requests
        assert all(count >= 0 for count in window.latency)
    for entry in seen.labels:
        for labelled, wrong in (entry.stable, entry.canary):
            assert 0 <= wrong <= labelled
    assert [entry.second for entry in seen.labels] == sorted({entry.second for entry in seen.labels})
