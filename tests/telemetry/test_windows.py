"""Windows of counters: never negative, nothing twice, and no evidence where there is no data."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mlship.telemetry.windows import observe
from mlship.types import (
    LATENCY_BOUNDS_MS,
    OTHER_CLASS,
    ArmWindow,
    Counts,
    Labelled,
    LabelWindow,
    Observation,
    Predictions,
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
    assert observe(before, after, ROUTES).stable == ArmWindow(40, 2, counters(40).latency, served=40)


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


def test_timeouts_are_some_of_the_errors() -> None:
    before = scrape(1, s=replace(counters(100, 5), timeouts=4), c=replace(counters(9, 2), timeouts=2))
    after = scrape(2, s=replace(counters(110, 8), timeouts=6), c=replace(counters(4, 1, epoch="f"), timeouts=1))
    seen = observe(before, after, ROUTES)
    assert (seen.stable.errors, seen.stable.timeouts) == (3, 2)
    assert (seen.canary.errors, seen.canary.timeouts) == (1, 1)


def test_refused_requests_are_none_of_the_errors() -> None:
    before = scrape(1, s=replace(counters(100, 5), refused=4), c=replace(counters(9, 2), refused=2))
    after = scrape(2, s=replace(counters(110, 8), refused=6), c=replace(counters(4, 1, epoch="f"), refused=4))
    seen = observe(before, after, ROUTES)
    assert (seen.stable.refused, seen.canary.refused) == (2, 3)


def test_a_mirrored_canary_is_counted_by_its_copies_without_latency() -> None:
    routes = Routes("s", "c", 0.0, mirror=0.5)
    before = scrape(1, s=counters(100), c=replace(counters(7), mirrored=(50, 1), mirrored_refused=6))
    after = scrape(2, s=counters(140, 1), c=replace(counters(7), mirrored=(69, 3), mirrored_refused=10))
    seen = observe(before, after, routes)
    assert seen.canary == ArmWindow(requests=19, errors=2, served=19, refused=4)
    assert (seen.stable.requests, seen.stable.served) == (40, 40)
    assert (seen.mirror, seen.weight, seen.testers, seen.users) == (0.5, 0.0, False, False)
    restarted = scrape(2, s=counters(140), c=replace(counters(0, epoch="f"), mirrored=(3, 0)))
    assert observe(before, restarted, routes).canary.requests == 3
    for other in (replace(routes, weight=0.1), replace(routes, testers=("x-tester", "yes"))):
        routed = observe(before, after, other)
        assert (routed.canary.requests, routed.mirror) == (0, 0.0), "its own requests are what counts"


def test_testers_are_no_random_sample() -> None:
    routes = Routes("s", "c", 0.0, testers=("x-tester", "yes"))
    seen = observe(scrape(1, s=counters(1), c=counters(1)), scrape(2, s=counters(9), c=counters(4)), routes)
    assert (seen.testers, seen.canary.requests, seen.weight) == (True, 3, 0.0)


def of_users(requests: int, users: Counts | None, epoch: str = "e") -> ServerCounters:
    return replace(counters(requests, epoch=epoch), users=users)


STICKY = Routes("s", "c", 0.2, sticky="header:x-user")


def people(number: int, errors: int = 0, timeouts: int = 0) -> Counts:
    return Counts(number, errors, timeouts, counters(number).latency)


def test_with_sticky_routes_users_are_counted_and_requests_are_what_was_served() -> None:
    before = scrape(1, s=of_users(100, people(10)), c=of_users(50, people(5, 1)))
    after = scrape(2, s=of_users(300, people(18, 2, 1)), c=of_users(90, people(7, 1)))
    seen = observe(before, after, STICKY)
    assert seen.users
    assert seen.stable == ArmWindow(8, 2, people(8).latency, 1, served=200)
    assert seen.canary == ArmWindow(2, 0, people(2).latency, 0, served=40)
    plain = observe(before, after, ROUTES)
    assert (plain.users, plain.stable.requests) == (False, 200)


def test_users_of_whom_one_look_knows_nothing_are_no_evidence_and_routes_without_any_count_requests() -> None:
    known, unknown = of_users(100, people(10)), of_users(100, None)
    for before, after in ((unknown, known), (known, unknown)):
        seen = observe(scrape(1, s=before, c=known), scrape(2, s=after, c=of_users(140, people(20))), STICKY)
        assert seen.users
        assert (seen.stable, seen.canary) == (ArmWindow(), ArmWindow(served=40))
    nobody = observe(scrape(1, s=unknown, c=unknown), scrape(2, s=unknown, c=of_users(140, None)), STICKY)
    assert (nobody.users, nobody.canary.requests) == (False, 40)


def test_users_are_counted_from_zero_when_the_routes_were_set_again_or_the_router_began_again() -> None:
    before = scrape(1, s=of_users(100, people(10)), c=of_users(100, people(10)))
    after = scrape(2, s=of_users(110, people(4)), c=of_users(5, people(3), epoch="f"))
    seen = observe(before, after, STICKY)
    assert (seen.stable.requests, seen.canary.requests, seen.stable.served, seen.canary.served) == (4, 3, 10, 5)


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


users = st.builds(
    Counts,
    requests=st.integers(0, 50),
    errors=st.integers(0, 50),
    timeouts=st.integers(0, 50),
    latency=st.sampled_from([(0,) * BUCKETS, (3,) * BUCKETS]),
    refused=st.integers(0, 50),
)
counts = st.builds(
    ServerCounters,
    epoch=st.sampled_from("ab"),
    requests=st.integers(0, 50),
    errors=st.integers(0, 50),
    latency=st.lists(st.integers(0, 9), min_size=BUCKETS, max_size=BUCKETS).map(tuple),
    labels=st.lists(st.builds(Labelled, second, st.integers(0, 9), st.integers(0, 9)), max_size=4).map(tuple),
    labels_epoch=st.sampled_from(["", "x", None]),
    timeouts=st.integers(0, 50),
    mirrored=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    predictions=st.none()
    | st.builds(
        Predictions,
        classes=st.dictionaries(st.sampled_from(["a", "b", OTHER_CLASS]), st.integers(0, 50)),
        scores=st.dictionaries(st.integers(-3, 3), st.integers(0, 50)),
    ),
    answers=st.none() | st.dictionaries(st.sampled_from("pqrs"), st.sampled_from([1, 2.5, "x"])),
    users=st.none() | users,
    refused=st.integers(0, 50),
    mirrored_refused=st.integers(0, 50),
)
scrapes = st.builds(
    Scrape,
    at=st.floats(0, 1e9),
    servers=st.dictionaries(st.sampled_from("scx"), counts),
    missing=st.lists(st.sampled_from("sc"), max_size=2).map(tuple),
)


EVERY_ROUTE = [
    ROUTES,
    Routes("s"),
    Routes("x", "s", 1.0),
    Routes("s", "c", 0.0, mirror=0.5),
    Routes("s", "c", 0.0, testers=("x-tester", "yes")),
    Routes("s", "c", 0.3, sticky="header:x-user"),
    Routes("s", "c", 0.0, mirror=0.5, sticky="header:x-user"),
]


@given(scrapes, scrapes, st.sampled_from(EVERY_ROUTE), st.sampled_from([0.0, 2.0]))
def test_whatever_is_read_no_window_is_negative(
    before: Scrape, after: Scrape, routes: Routes, tolerance: float
) -> None:
    seen = observe(before, after, routes, tolerance)
    _sane(seen)
    for arm in seen.missing:
        assert getattr(seen, arm) == ArmWindow()
    assert seen.mirror == routes.mirror
    assert seen.testers == (routes.testers is not None)
    assert not (seen.users and not routes.sticky)
    compared, different = seen.agreement
    assert 0 <= different <= compared
    assert compared == 0 or routes.mirror


def _sane(seen: Observation) -> None:
    for window in (seen.stable, seen.canary):
        assert 0 <= window.timeouts <= window.errors <= window.requests
        assert 0 <= window.refused <= window.requests - window.errors
        assert window.served >= 0
        if window.predictions is not None:
            assert all(
                times >= 0 for times in (*window.predictions.classes.values(), *window.predictions.scores.values())
            )
        assert all(count >= 0 for count in window.latency)
    for entry in seen.labels:
        for labelled, wrong in (entry.stable, entry.canary):
            assert 0 <= wrong <= labelled
    assert [entry.second for entry in seen.labels] == sorted({entry.second for entry in seen.labels})
