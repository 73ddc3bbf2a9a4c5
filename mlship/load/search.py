"""Search a server's capacity: short probes at rates that `capacity` asks for, each judged against the budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from mlship.load import figures, run
from mlship.load.capacity import Budget, Found, Held, Probe, Search, next_probe
from mlship.load.plan import Hopeless, Load, Target
from mlship.load.recording import Recording

#: Parts of a probe, for intervals; a probe is judged by its figures alone.
_SLICES = 5
#: Requests that a probe needs for each that may be slower than a limit: p99 takes 1,000 of them.
_PER_TAIL = 10
#: A probe that sent less than this share of what was asked for says nothing about that rate.
_SENT = 0.95


def capacity(
    target: Target,
    bodies: Sequence[bytes],
    budget: Budget,
    search: Search,
    *,
    load: Load,
    max_lag: float,
    watch: Callable[[Probe], None] | None = None,
) -> Found:
    """The highest rate at which the target keeps the budget.

    Parameters
    ----------
    load
        How a probe is made: its `seconds` at least, longer at low rates so that the outermost quantile has some
        requests beyond it, but no more than four times as long; its rate is not used.
    max_lag
        Seconds: a probe that is outside while its generator was later than this (p99) decides nothing.
    watch
        Told about each probe.

    A probe ends as soon as it cannot stay inside the budget any more. Raises as `run.slices`.
    """
    probes: list[Probe] = []
    while not isinstance(step := next_probe(probes, search), Found):
        probes.append(_probe(target, bodies, budget, planned(load, budget, step), max_lag))
        if watch is not None:
            watch(probes[-1])
    return step


def planned(load: Load, budget: Budget, rate: float) -> Load:
    """One probe: long enough for the budget's outermost quantile at this rate, and ended when it is hopeless."""
    outermost = min((1 - share for share, _ in budget.quantiles), default=1.0)
    seconds = min(max(load.seconds, _PER_TAIL / outermost / rate), 4 * load.seconds)
    due = rate * seconds

    def more_than(tail: float) -> int:  # a tenth above the limit: arrivals are random, and so is their number
        return math.ceil(tail * due * 1.1 - 1e-6) + 1

    rules = [Hopeless(limit, more_than(1 - share + budget.errors)) for share, limit in budget.quantiles]
    errors = Hopeless(load.timeout, more_than(budget.errors))
    return replace(load, rate=rate, seconds=seconds, hopeless=(*rules, errors))


def judged(recording: Recording, budget: Budget, max_lag: float) -> Probe:
    """How a recording stands to the budget, by its figures themselves: a short probe has no narrow intervals.

    The generator's own lag is part of every latency. So what is within the budget is within it for sure, and what is
    outside while the generator was late by more than `max_lag` (p99, seconds) may be the generator's fault: unclear.
    """
    p99 = figures.latency(recording, 0.99)
    failed = recording.failed / recording.n if recording.n else 0.0
    lag = figures.lag(recording) or 0.0
    why = _over(recording, budget)
    held = Held.OUTSIDE if why else Held.WITHIN
    if not recording.n and not why:
        held, why = Held.UNCLEAR, "no request was due"
    elif why and lag > max_lag:
        held, why = Held.UNCLEAR, f"{why}; but the load generator was {lag * 1e3:.1f} ms late itself (p99)"
    elif not why and recording.achieved < _SENT * recording.n / recording.seconds:
        held, why = Held.UNCLEAR, f"the load generator sent {recording.achieved:.0f}/s"
    return Probe(recording.rate, held, why or _said(recording, budget), p99.value if p99 else None, failed)


def _over(recording: Recording, budget: Budget) -> str:
    """What is outside the budget; empty when nothing is."""
    if recording.stopped:
        return recording.stopped
    if recording.failed > budget.errors * recording.n:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(recording.errors.items()))
        return f"errors {recording.failed / recording.n:.2%} ({kinds})"
    for share, limit in budget.quantiles:
        found = figures.latency(recording, share)
        if found is not None and found.value > limit:
            return f"p{share * 100:g} {found.value * 1e3:.3g} ms, over {limit * 1e3:g} ms"
    return ""


def _said(recording: Recording, budget: Budget) -> str:
    found = [(share, figures.latency(recording, share)) for share, _ in budget.quantiles]
    return ", ".join(f"p{share * 100:g} {one.value * 1e3:.3g} ms" for share, one in found if one is not None)


def _probe(target: Target, bodies: Sequence[bytes], budget: Budget, load: Load, max_lag: float) -> Probe:
    return judged(run.slices({"probe": target}, load, bodies, _SLICES)["probe"], budget, max_lag)
