"""A model's life on traffic over time: drift, performance, label coverage, each a plot by date with its table. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from mlship.report import figures
from mlship.report import monitor_words as words
from mlship.report.dates import hour
from mlship.report.drawn import Drawn
from mlship.report.monitor_seen import ColumnSeen, FigureSeen, Line, Seen
from mlship.report.timeline import Axis, Timeline, Track, draw

#: Features that are drawn in one plot: those with the most evidence.
_FEATURES = 5
#: Points of a line, and rows of the table behind a plot: the last ones.
_POINTS, _ROWS = 400, 31
_LOOKS = ("s0", "s1 dashed", "s2 dotted", "s3 mixed", "s5")
_REALISED, _ESTIMATED = "candidate", "champion dashed"


def plots(seen: Seen) -> list[Drawn]:
    """Every plot that there is something to draw for: predictions, features, performance, coverage, traffic."""
    lines = list(_lines(seen))
    if not lines:
        return []
    origin = min(line.at[0] for line in lines)
    end = max(line.at[-1] for line in lines)
    if seen.until is not None:
        end = max(end, seen.until)
    axis = Axis(0.0, end - origin, _marks(seen, origin, end), origin)
    found = [_drift(seen, axis, [one for one in (seen.predictions, seen.scores) if one is not None], "Predictions")]
    found += [_drift(seen, axis, _moving(seen), "Features")]
    found += [_performance(one, axis) for one in seen.figures]
    found += [
        _share(seen.covered, axis, "Labels", "share of the predictions with a label", percent=True),
        _share(seen.traffic, axis, "Traffic", "predictions a day", percent=False),
    ]
    return [one for one in found if one is not None]


def points(line: Line, origin: float) -> tuple[tuple[float, float], ...]:
    """A line as a track has it; not a number where nothing was measured."""
    kept = _kept(line)
    return tuple((line.at[i] - origin, math.nan if (value := line.value[i]) is None else value) for i in kept)


def band(line: Line, origin: float) -> tuple[tuple[float, float, float], ...]:
    """Its intervals; empty when it has none."""
    if not (len(line.low) == len(line.at) == len(line.high)):
        return ()
    found = []
    for i in _kept(line):
        low, high = line.low[i], line.high[i]
        found.append((line.at[i] - origin, math.nan if low is None else low, math.nan if high is None else high))
    return tuple(found)


def _lines(seen: Seen) -> Iterable[Line]:
    columns = [one.line for one in (seen.predictions, seen.scores, *seen.features) if one is not None]
    figured = [line for one in seen.figures for line in (one.line, one.estimate)]
    return [line for line in (*columns, *figured, seen.covered, seen.traffic) if line is not None and line.at]


def _kept(line: Line) -> list[int]:
    """At most so many of its points, the last one among them."""
    step = max(1, math.ceil(len(line.at) / _POINTS))
    return list(range((len(line.at) - 1) % step, len(line.at), step)) if line.at else []


def _marks(seen: Seen, origin: float, end: float) -> tuple[tuple[float, str], ...]:
    """Where something has changed: each estimated moment once."""
    told = [one.since for one in seen.breaches] + [one.since for one in seen.open]
    moments = sorted({round(since) for since in told if since is not None})
    return tuple((at - origin, "changed") for at in moments if origin < at <= end)


def _moving(seen: Seen) -> list[ColumnSeen]:
    return [one for one in words.ranked(seen.features) if one.line is not None][:_FEATURES]


def _drift(seen: Seen, axis: Axis, columns: Sequence[ColumnSeen], title: str) -> Drawn | None:
    """PSI over time of a few columns, with their limit where they share one."""
    drawn = [(one, one.line, look) for one, look in zip(columns, _LOOKS, strict=False) if one.line is not None]
    if not drawn:
        return None
    names = {one.name for one, _, _ in drawn}
    limits = {words.bound(one.limit) for one in seen.findings if one.what == "psi" and one.subject in names}
    [limit] = limits if len(limits) == 1 else {None}
    tracks = tuple(Track(one.name, look, points(line, axis.origin or 0.0)) for one, line, look in drawn)
    plot = Timeline(
        f"{title}: PSI over time", "PSI", tracks, axis, limit=None if limit is None else (limit, f"limit {limit:g}")
    )
    more = len(seen.features) - len(drawn) if title == "Features" else 0
    note = f"Those with the most evidence; {figures.things(more, 'more feature')} in the table." if more > 0 else ""
    return _drawn(plot, [line for _, line, _ in drawn], note)


def _performance(one: FigureSeen, axis: Axis) -> Drawn | None:
    origin = axis.origin or 0.0
    lines = [
        (name, look, line)
        for name, look, line in (("realised", _REALISED, one.line), ("estimated", _ESTIMATED, one.estimate))
        if line is not None and line.at
    ]
    if not lines:
        return None
    limit = words.bound(one.limit)
    tracks = tuple(Track(name, look, points(line, origin), band=band(line, origin)) for name, look, line in lines)
    plot = Timeline(
        one.name, one.name, tracks, axis, limit=None if limit is None else (limit, f"limit {one.limit}"), loose=True
    )
    note = f"Not estimated: {one.why_not}." if one.why_not else "Areas are 95 % intervals."
    return _drawn(plot, [line for _, _, line in lines], note)


def _share(line: Line | None, axis: Axis, title: str, y: str, *, percent: bool) -> Drawn | None:
    if line is None or not line.at:
        return None
    track = Track(title.lower(), _REALISED, points(line, axis.origin or 0.0))
    return _drawn(Timeline(title, y, (track,), axis, percent=percent), [line], "")


def _drawn(plot: Timeline, lines: Sequence[Line], note: str) -> Drawn:
    said = figures.share if plot.percent else figures.number
    moments = sorted({at for line in lines for at in line.at})[-_ROWS:]
    by_moment = [dict(zip(line.at, line.value, strict=True)) for line in lines]
    rows = tuple((hour(at), *(said(found.get(at)) for found in by_moment)) for at in moments)
    legend = tuple((track.look, track.name) for track in plot.tracks) if len(plot.tracks) > 1 else ()
    if not legend and plot.title.endswith("PSI over time"):
        legend = ((plot.tracks[0].look, plot.tracks[0].name),)
    head = ("middle of", *(track.name for track in plot.tracks))
    return Drawn(plot.title, note, draw(plot), legend, head, rows, f"the last {len(rows)} periods")
