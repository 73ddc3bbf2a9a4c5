"""Figures of recordings with 95 % intervals: quantiles of the latency, error rate, ratio to another target, lag."""

from __future__ import annotations

from mlship.load import histogram
from mlship.load.recording import Recording, Slice
from mlship.stats import quantile_intervals as intervals
from mlship.stats.quantile_intervals import Block, Estimate


def latency(recording: Recording, share: float) -> Estimate | None:
    """The `share` quantile of the latency in seconds; None when no request was answered.

    Of the requests that were answered well, and of those that timed out, which count as the time that was waited.
    Other failures have no latency; the error rate judges them. Raises ``ValueError`` for fewer than two slices.
    """
    return intervals.quantile(_blocks(recording.slices), share)


def errors(recording: Recording) -> Estimate | None:
    """Share of the requests without a good answer; None without requests. Raises as `latency`."""
    return intervals.share([part.failed for part in recording.slices], [part.sent for part in recording.slices])


def slower(recording: Recording, limit: float) -> Estimate | None:
    """Share of the requests that took longer than `limit` seconds or failed; None without requests.

    A limit on a quantile said the other way round: p99 is within 200 ms when at most 1 % take longer. Raises as
    `latency`.
    """
    hits = []
    for part in recording.slices:
        durations, counts = histogram.cells(part.latency)
        within = sum(count for duration, count in zip(durations, counts, strict=True) if duration <= limit)
        hits.append(part.sent - min(within, part.sent))
    return intervals.share(hits, [part.sent for part in recording.slices])


def ratio(candidate: Recording, champion: Recording, share: float) -> Estimate | None:
    """The candidate's `share` quantile as a multiple of the champion's, paired slice by slice; None without answers.

    Slices that only one side has, because the other was stopped early, are left out; fewer than two pairs: None.
    """
    theirs = {part.index: part for part in champion.slices if part.sent}
    pairs = [(part, theirs[part.index]) for part in candidate.slices if part.index in theirs and part.sent]
    if len(pairs) < 2:
        return None
    return intervals.ratio(_blocks([ours for ours, _ in pairs]), _blocks([other for _, other in pairs]), share)


def lag(recording: Recording, share: float = 0.99) -> float | None:
    """The `share` quantile of how late the generator itself was, in seconds; None without requests."""
    durations, counts = histogram.cells(recording.lag)
    rank, seen = share * sum(counts), 0
    for duration, count in zip(durations, counts, strict=True):
        seen += count
        if seen >= rank:
            return duration
    return None


def _blocks(slices: tuple[Slice, ...] | list[Slice]) -> list[Block]:
    return [Block(*histogram.cells(part.latency)) for part in slices]
