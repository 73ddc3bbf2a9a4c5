"""What each arm did between two looks: the differences of cumulative counters. Pure; the engines do the reading."""

from __future__ import annotations

from collections.abc import Iterable

from mlship.types import ArmWindow, Labelled, LabelWindow, Observation, Routes, Scrape, ServerCounters


def observe(before: Scrape, after: Scrape, routes: Routes) -> Observation:
    """Windows of stable and canary between two scrapes.

    Counters that began again (another epoch), or that were not there before, count from zero: nothing is subtracted
    from them, so a restart loses what came after the earlier scrape, and counts nothing twice. No count is negative.

    Parameters
    ----------
    before, after
        Cumulative counters; `after` is the later.
    routes
        The roles in this window. Callers see to it that they were the same throughout.

    Returns
    -------
    Observation
        `missing` lists the arms whose counters `after` does not hold, and those that `before` could not read: their
        windows are empty. Labels are per second of the request, in order of time, where either arm has any.
    """
    missing: list[str] = []
    windows: dict[str, ArmWindow] = {}
    labels: dict[str, dict[int, tuple[int, int]]] = {}
    for arm, server in (("stable", routes.stable), ("canary", routes.canary)):
        new = after.servers.get(server) if server is not None else None
        unread = server in after.missing or server in before.missing
        if new is None or unread:
            if server is not None:
                missing.append(arm)
            windows[arm], labels[arm] = ArmWindow(), {}
            continue
        old = before.servers.get(server or "")
        windows[arm] = _window(old, new)
        labels[arm] = _labels(old, new)
    seconds = sorted(labels["stable"].keys() | labels["canary"].keys())
    nothing = (0, 0)
    return Observation(
        started=before.at,
        ended=after.at,
        weight=routes.weight if routes.canary is not None else 0.0,
        stable=windows["stable"],
        canary=windows["canary"],
        labels=tuple(
            LabelWindow(
                second,
                canary=labels["canary"].get(second, nothing),
                stable=labels["stable"].get(second, nothing),
            )
            for second in seconds
        ),
        missing=tuple(missing),
    )


def _window(old: ServerCounters | None, new: ServerCounters) -> ArmWindow:
    if old is None or old.epoch != new.epoch:
        return ArmWindow(new.requests, min(new.errors, new.requests), new.latency)
    requests = max(0, new.requests - old.requests)
    errors = min(requests, max(0, new.errors - old.errors))
    earlier = old.latency or (0,) * len(new.latency)
    latency = tuple(max(0, count - past) for count, past in zip(new.latency, earlier, strict=True))
    return ArmWindow(requests, errors, latency)


def _labels(old: ServerCounters | None, new: ServerCounters) -> dict[int, tuple[int, int]]:
    """(labelled, wrong) by second that are new; a second that nothing arrived for is left out."""
    if new.labels_epoch is None or (old is not None and old.labels_epoch is None):
        return {}
    same = old is not None and _label_epoch(old) == _label_epoch(new)
    past = _by_second(old.labels) if old is not None and same else {}
    arrived = {}
    for second, (labelled, wrong) in _by_second(new.labels).items():
        known, bad = past.get(second, (0, 0))
        fresh = max(0, labelled - known)
        if fresh:
            arrived[second] = (fresh, min(fresh, max(0, wrong - bad)))
    return arrived


def _label_epoch(counters: ServerCounters) -> str | None:
    return counters.labels_epoch or counters.epoch


def _by_second(labels: Iterable[Labelled]) -> dict[int, tuple[int, int]]:
    return {entry.second: (entry.labelled, entry.wrong) for entry in labels}
