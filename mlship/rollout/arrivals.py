"""What callers send now, told from two readings of a running endpoint's counters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mlship.engines import table
from mlship.errors import MlshipError
from mlship.home import Home
from mlship.rollout.foresee import ERRORS, Traffic
from mlship.types import Scrape

#: Seconds between two readings, at least.
SECONDS = 1.0
#: Requests that a measured error rate rests on, at least.
ENOUGH = 1000


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters at one moment."""

    scrape: Scrape
    stable: str
    """Name of the server that is stable."""


def read(
    home: Home, model: str, *, after: Reading | None = None, sleep: Callable[[float], None] | None = None
) -> Reading | None:
    """The counters now (`SECONDS` after another reading, at least); None when nothing runs, or it cannot be read."""
    try:
        if model not in table.running(home):
            return None
        engine = table.found(home, model)
        routes = engine.routes()
        if routes is None:
            return None
        scrape = engine.scrape()
        if after is not None and sleep is not None and (early := after.scrape.at + SECONDS - scrape.at) > 0:
            sleep(early)
            scrape = engine.scrape()
    except MlshipError:
        return None
    return Reading(scrape, routes.stable)


def traffic(first: Reading, last: Reading, otherwise: Traffic) -> Traffic:
    """The rate between two readings, and stable's share of failed requests since its start.

    Where no request came in between, the rate is that of `otherwise`; where stable has answered fewer than `ENOUGH`
    requests, so are its errors. A stable that never failed counts as one that failed once: nobody knows the next one.
    """
    seconds = last.scrape.at - first.scrape.at
    earlier = first.scrape.servers
    arrived = sum(
        max(0, counters.requests - earlier[name].requests)
        for name, counters in last.scrape.servers.items()
        if name in earlier and counters.epoch == earlier[name].epoch
    )
    stable = last.scrape.servers.get(last.stable)
    found = Traffic(otherwise.rate, otherwise.source, ERRORS)
    if stable is not None and stable.requests >= ENOUGH:
        errors = max(1, stable.errors) / stable.requests
        found = replace(found, errors=errors, measured=True, failed=stable.errors, of=stable.requests)
    if not arrived or seconds <= 0:
        return found
    return replace(found, rate=arrived / seconds, source="measured at the endpoint just now")
