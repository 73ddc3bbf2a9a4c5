"""From what the load generator recorded to the figures that are judged. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mlship.gates.latency.measured import QUANTILES, Arm, Figure
from mlship.gates.latency.target import Memory
from mlship.load import histogram
from mlship.load.recording import Recording
from mlship.stats import quantile_intervals as intervals
from mlship.stats.quantile_intervals import Block, Estimate

#: Slices that a measurement is cut into, in each of which candidate and champion have their turn: enough of them to see
#: how latencies hang together, and each long enough to outlast a queue.
_FEWEST, _MOST = 4, 10
#: Points of the drawn curve in each factor of ten of the tail.
_POINTS = 16


def slices(seconds: float) -> int:
    """How many slices a measurement of so many seconds is cut into."""
    return min(_MOST, max(_FEWEST, int(seconds)))


def blocks(recording: Recording) -> list[Block]:
    """The latencies of each slice, in seconds."""
    return [Block(*histogram.cells(part.latency)) for part in recording.slices]


def arm(version: str, recording: Recording, *, cold_start: float | None, memory: Memory | None, said: str = "") -> Arm:
    """The figures of one version's recording."""
    parts = blocks(recording)
    hits, of = [part.failed for part in recording.slices], [part.sent for part in recording.slices]
    return Arm(
        version=version,
        requests=recording.n,
        quantiles={name: _figure(intervals.quantile(parts, share)) for name, share in QUANTILES.items()}
        if len(parts) > 1
        else {},
        errors=_figure(intervals.share(hits, of)) if len(of) > 1 else Figure(None),
        kinds=recording.errors,
        lag=_quantile(recording.lag, 0.99),
        curve=curve(recording.latency),
        cold_start=cold_start,
        memory=memory,
        said="; ".join(filter(None, [said, recording.stopped, recording.bounded])),
    )


def ratio(candidate: Recording, champion: Recording) -> Figure | None:
    """The candidate's p99 over the champion's, paired slice by slice; None when one of them was not measured."""
    ours, theirs = blocks(candidate), blocks(champion)
    pairs = min(len(ours), len(theirs))
    if pairs < 2:
        return None
    return _figure(intervals.ratio(ours[:pairs], theirs[:pairs], 0.99))


def curve(latency: str) -> tuple[tuple[float, float], ...]:
    """(share, seconds) up the tail of an HDR histogram, as far as its number of requests reaches."""
    values, counts = histogram.cells(latency)
    total = sum(counts)
    shares = [1 - 10 ** (-step / _POINTS) for step in range(6 * _POINTS)]
    return tuple((share, _at(values, counts, share)) for share in shares if share <= 1 - 1 / total) if total else ()


def _quantile(text: str, share: float) -> float:
    values, counts = histogram.cells(text)
    return _at(values, counts, share) if values else 0.0


def _at(values: Sequence[float], counts: Sequence[int], share: float) -> float:
    """The value that so large a share of the measurements does not exceed."""
    wanted, seen = share * sum(counts), 0
    for value, count in zip(values, counts, strict=True):
        seen += count
        if seen >= wanted - 1e-9:
            return value
    return values[-1]


def _figure(estimate: Estimate | None) -> Figure:
    return Figure(None) if estimate is None else Figure(estimate.value, estimate.low, estimate.high)
