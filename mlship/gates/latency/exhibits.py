"""What a latency report shows beside the figures: quantiles of both arms, the curve of the tail, the rates tried."""

from __future__ import annotations

import math

from mlship.exhibits import Cell, Curves, Exhibit, Series, Table
from mlship.gates.latency.agree import Agreement
from mlship.gates.latency.measured import QUANTILES, Arm, Measured
from mlship.policy.gates import LatencyGate
from mlship.policy.units import format_duration

__all__ = ["Exhibit", "curves", "differences", "probes", "quantiles"]

_SHOWN = 10


def quantiles(found: Measured) -> Table:
    """Every quantile of candidate and champion with its interval, in milliseconds."""
    champion = found.champion
    heads = ["ms", "candidate", "low", "high"] + (["champion", "low (champion)", "high (champion)"] if champion else [])
    rows = [(name, *_ends(found.candidate, name), *(_ends(champion, name) if champion else ())) for name in QUANTILES]
    lag = max(arm.lag for arm in (found.candidate, champion) if arm is not None)
    note = f"95 % intervals; the load generator itself was at most {lag * 1000:.2g} ms late for 99 % of the requests"
    return Table("Latency from the intended send time", tuple(heads), tuple(rows), note=note)


def _ends(arm: Arm, name: str) -> tuple[Cell, Cell, Cell]:
    figure = arm.quantiles.get(name)
    ends = (figure.value, figure.low, figure.high) if figure else (None, None, None)
    value, low, high = (None if end is None else round(end * 1000, 3) for end in ends)
    return value, low, high


def curves(section: LatencyGate, found: Measured) -> tuple[Curves, ...]:
    """Latency by the share of requests that were answered within it, the tail stretched out."""
    arms = [("candidate", found.candidate), *([("champion", found.champion)] if found.champion else [])]
    series = tuple(
        Series(name, tuple(_nines(share) for share, _ in arm.curve), tuple(second * 1000 for _, second in arm.curve))
        for name, arm in arms
        if arm.curve
    )
    if not series:
        return ()
    limits = [(name, getattr(section, name)) for name in QUANTILES if getattr(section, name) is not None]
    note = "limits: " + ", ".join(f"{name} {format_duration(limit)}" for name, limit in limits) if limits else ""
    return (Curves("Latency by share of requests", "nines (1: 90 %, 2: 99 %, 3: 99.9 %)", "ms", series, note=note),)


def _nines(share: float) -> float:
    return -math.log10(1 - share)


def probes(found: Measured) -> tuple[Table, ...]:
    """The rates that were tried in the search for the capacity, in their order."""
    if found.capacity is None or not found.capacity.probes:
        return ()
    rows = tuple(
        (
            round(probe.rate, 1),
            str(probe.held),
            None if probe.p99 is None else round(probe.p99 * 1000, 2),
            probe.errors,
            probe.why or None,
        )
        for probe in found.capacity.probes
    )
    return (Table("Rates tried", ("requests/s", "budget", "p99 (ms)", "errors", "why"), rows, shares=("errors",)),)


def differences(agreement: Agreement, numbers: tuple[int, ...]) -> Table:
    """The first rows about which server and registry differ; `numbers` are those of the rows in the data."""
    rows = tuple((numbers[one.row], _cell(one.served), _cell(one.registered)) for one in agreement.worst[:_SHOWN])
    return Table("Rows that disagree", ("row", "server", "registry"), rows)


def _cell(value: object) -> Cell:
    return value if isinstance(value, (int, float, str)) and not isinstance(value, bool) else str(value)
