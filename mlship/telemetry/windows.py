"""What each arm did between two looks: the differences of cumulative counters. Pure; the engines do the reading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mlship.telemetry import predictions
from mlship.types import (
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

#: A server's counters at the earlier look, if it was there, and at the later.
_Arm = tuple[ServerCounters | None, ServerCounters]


def observe(before: Scrape, after: Scrape, routes: Routes, tolerance: float = 0.0) -> Observation:
    """Windows of stable and canary between two scrapes.

    Counters that began again (another epoch), or that were not there before, count from zero: nothing is subtracted
    from them, so a restart loses what came after the earlier scrape, and counts nothing twice. No count is negative.

    Parameters
    ----------
    before, after
        Cumulative counters; `after` is the later.
    routes
        The roles in this window. Callers see to it that they were the same throughout.
    tolerance
        Numbers that differ by no more than this agree: the policy's `guard.agreement.tolerance`.

    Returns
    -------
    Observation
        `missing` lists the arms whose counters `after` does not hold, and those that `before` could not read: their
        windows are empty. Labels are per second of the request, in order of time, where either arm has any.

        A canary that only gets copies has the counts of these, without latency (nobody waits for them). With sticky
        routes, counts are of users where the router tells them: of both arms, or of none; requests are in `served`.
        Predictions are of requests in any case.
    """
    stable, canary = _read(before, after, routes.stable), _read(before, after, routes.canary)
    there = routes.canary is not None
    mirrored = there and routes.mirror > 0 and routes.weight == 0 and routes.testers is None
    windows = _requests(stable), _copies(canary) if mirrored else _requests(canary)
    told = _predicted(stable), _predicted(canary)
    users, agreement = False, (0, 0)
    if stable is not None and canary is not None:
        users = bool(routes.sticky) and not mirrored and (_tells_users(stable) or _tells_users(canary))
        told = predictions.alike(told, (stable[1], canary[1]))
        if routes.mirror > 0:
            agreement = predictions.agreement((stable[0], canary[0]), (stable[1], canary[1]), tolerance)
        if users:
            windows = _users(stable, canary, windows)
    return Observation(
        started=before.at,
        ended=after.at,
        weight=routes.weight if there else 0.0,
        stable=replace(windows[0], predictions=told[0]),
        canary=replace(windows[1], predictions=told[1]),
        labels=_label_windows(stable, canary),
        missing=(("stable",) if stable is None else ()) + (("canary",) if there and canary is None else ()),
        mirror=routes.mirror if mirrored else 0.0,
        testers=there and routes.testers is not None,
        users=users,
        agreement=agreement,
    )


def _read(before: Scrape, after: Scrape, server: str | None) -> _Arm | None:
    """A server's counters at both looks; None when a look could not read them, or there is no server."""
    new = after.servers.get(server) if server is not None else None
    if server is None or new is None or server in after.missing or server in before.missing:
        return None
    return before.servers.get(server), new


def _requests(arm: _Arm | None) -> ArmWindow:
    if arm is None:
        return ArmWindow()
    old, new = arm
    same = old is not None and old.epoch == new.epoch
    window = _difference(_counts(old) if old is not None and same else Counts(), _counts(new))
    return replace(window, served=window.requests)


def _copies(arm: _Arm | None) -> ArmWindow:
    """What a canary did with the copies that it got."""
    if arm is None:
        return ArmWindow()
    old, new = arm
    past = _mirrored(old) if old is not None and old.epoch == new.epoch else Counts()
    window = _difference(past, _mirrored(new))
    return replace(window, served=window.requests)


def _mirrored(counters: ServerCounters) -> Counts:
    return Counts(*counters.mirrored, refused=counters.mirrored_refused)


def _tells_users(arm: _Arm) -> bool:
    return arm[1].users is not None or (arm[0] is not None and arm[0].users is not None)


def _users(stable: _Arm, canary: _Arm, requests: tuple[ArmWindow, ArmWindow]) -> tuple[ArmWindow, ArmWindow]:
    """The windows of both arms with users in place of requests; without any where one arm's could not be read."""
    known = []
    for (old, new), window in zip((stable, canary), requests, strict=True):
        same = old is not None and old.epoch == new.epoch
        past = old.users if old is not None and same else Counts()
        if new.users is None or past is None:
            return ArmWindow(served=requests[0].served), ArmWindow(served=requests[1].served)
        began_again = past.requests > new.users.requests  # they are counted since the routes were set
        known.append(replace(_difference(Counts() if began_again else past, new.users), served=window.served))
    return known[0], known[1]


def _counts(counters: ServerCounters) -> Counts:
    return Counts(counters.requests, counters.errors, counters.timeouts, counters.latency, counters.refused)


def _difference(old: Counts, new: Counts) -> ArmWindow:
    """What came on top; no count is negative, and no part larger than its whole."""
    requests = max(0, new.requests - old.requests)
    errors = min(requests, max(0, new.errors - old.errors))
    latency = new.latency
    if latency and old.latency:  # nobody has none
        latency = tuple(max(0, count - past) for count, past in zip(latency, old.latency, strict=True))
    timeouts = min(errors, max(0, new.timeouts - old.timeouts))
    refused = min(requests - errors, max(0, new.refused - old.refused))
    return ArmWindow(requests, errors, latency, timeouts, refused=refused)


def _predicted(arm: _Arm | None) -> Predictions | None:
    return None if arm is None else predictions.window(*arm)


def _label_windows(stable: _Arm | None, canary: _Arm | None) -> tuple[LabelWindow, ...]:
    ours, theirs = ({} if arm is None else _labels(*arm) for arm in (canary, stable))
    nothing = (0, 0)
    return tuple(
        LabelWindow(second, canary=ours.get(second, nothing), stable=theirs.get(second, nothing))
        for second in sorted(ours.keys() | theirs.keys())
    )


def _labels(old: ServerCounters | None, new: ServerCounters) -> dict[int, tuple[int, int]]:
    """(labelled, wrong) by second that are new; a second that nothing arrived for is left out."""
    if new.labels_epoch is None or (old is not None and old.labels_epoch is None):
        return {}
    same = old is not None and predictions.epoch(old) == predictions.epoch(new)
    past = _by_second(old.labels) if old is not None and same else {}
    arrived = {}
    for second, (labelled, wrong) in _by_second(new.labels).items():
        known, bad = past.get(second, (0, 0))
        fresh = max(0, labelled - known)
        if fresh:
            arrived[second] = (fresh, min(fresh, max(0, wrong - bad)))
    return arrived


def _by_second(labels: Iterable[Labelled]) -> dict[int, tuple[int, int]]:
    return {entry.second: (entry.labelled, entry.wrong) for entry in labels}
