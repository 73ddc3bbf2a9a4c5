"""From what the load generator recorded to the figures that are judged. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlship.gates.latency.measured import QUANTILES, Arm, Figure
from mlship.gates.latency.target import Memory
from mlship.load import figures, histogram
from mlship.load.recording import Recording
from mlship.stats.quantile_intervals import Estimate

#: Slices that a measurement is cut into, in each of which candidate and champion have their turn: enough of them to see
#: how latencies hang together, and each long enough to outlast a queue.
_FEWEST, _MOST = 4, 10
#: Points of the drawn curve in each factor of ten of the tail.
_POINTS = 16


def slices(seconds: float) -> int:
    """How many slices a measurement of so many seconds is cut into."""
    return min(_MOST, max(_FEWEST, int(2 * seconds)))


def arm(
    version: str,
    recording: Recording,
    limits: Mapping[str, float],
    *,
    cold_start: float | None,
    memory: Memory | None,
    said: str = "",
) -> Arm:
    """The figures of one version's recording; `limits` are seconds by the names of `QUANTILES`."""
    several = len(recording.slices) > 1
    return Arm(
        version=version,
        requests=recording.n,
        quantiles={
            name: _figure(figures.latency(recording, share) if several else None) for name, share in QUANTILES.items()
        },
        slower={name: _figure(figures.slower(recording, limit) if several else None) for name, limit in limits.items()},
        errors=_figure(figures.errors(recording) if several else None),
        kinds=recording.errors,
        lag=figures.lag(recording) or 0.0,
        curve=curve(recording.latency),
        cold_start=cold_start,
        memory=memory,
        said="; ".join(filter(None, [said, recording.stopped, recording.bounded])),
    )


def ratio(candidate: Recording, champion: Recording) -> Figure:
    """The candidate's p99 over the champion's, paired slice by slice; without a value when one was not measured."""
    return _figure(figures.ratio(candidate, champion, 0.99))


def curve(latency: str) -> tuple[tuple[float, float], ...]:
    """(share, seconds) up the tail of an HDR histogram, as far as its number of requests reaches."""
    values, counts = histogram.cells(latency)
    total = sum(counts)
    shares = [1 - 10 ** (-step / _POINTS) for step in range(6 * _POINTS)]
    return tuple((share, _at(values, counts, share)) for share in shares if share <= 1 - 1 / total) if total else ()


def _at(values: Sequence[float], counts: Sequence[int], share: float) -> float:
    """The value that so large a share of the measurements does not exceed."""
    wanted, seen = share * sum(counts), 0
    for value, count in zip(values, counts, strict=True):
        seen += count
        if seen >= wanted - 1e-9:
            return value
    return values[-1]


def _figure(estimate: Estimate | None) -> Figure:
    return Figure(None) if estimate is None else Figure(estimate.value, estimate.low, estimate.high, estimate.effective)
