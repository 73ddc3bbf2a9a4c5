"""What a rollout was over time: traffic, requests, errors, latency and evidence, each as a plot with its table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter

from mlship.report import figures
from mlship.report.account import Account, Arm, Stretch
from mlship.report.drawn import Drawn
from mlship.report.stretches import thinned
from mlship.report.timeline import LOWEST, Axis, Timeline, Track, draw
from mlship.report.times import clock
from mlship.types import LATENCY_BOUNDS_MS

#: Points of a line: about one for so many requests of the canary, for of fewer a share or a quantile is noise.
_POINTS, _FEWEST, _REQUESTS = 60, 8, 50
#: Rows of the table behind a plot.
_ROWS = 20
#: Colours of signals: red is the limit's.
_COLOURS = (0, 1, 2, 3, 5, 6, 4)
_DASHES = ("", " dashed", " dotted", " mixed")
_LATENCY = (
    "Upper bound of the histogram's bucket. A failed request counts as slower than everything: where the line breaks, "
    "the quantile lies above the last bound, or nothing was counted."
)


def plots(account: Account) -> list[Drawn]:
    """Every plot that there is something to draw for."""
    stretches = list(account.stretches)
    seen = sum(one.canary.requests for one in stretches)
    coarse = grouped(stretches, min(_POINTS, max(_FEWEST, seen // _REQUESTS)))
    axis = _axis(account)
    what = "users" if account.users else "requests"
    steps_note = "Upright lines: where a step begins, by its number." if axis.marks else ""
    found = []
    weights = (*account.weights, (axis.end, account.weights[-1][1]))
    found.append(
        _weight(
            Timeline(
                "Weight of the canary",
                "share of the traffic",
                (Track("canary", "candidate", weights, stepped=True),),
                axis,
                percent=True,
            ),
            steps_note,
        )
    )
    if not stretches:
        return found
    found.append(_compared((f"{what.capitalize()} per second", f"{what} per second"), coarse, axis, _rate))
    found.append(_evidence_plot(account, grouped(stretches, 4 * _POINTS), axis))
    if any(arm.errors for one in coarse for arm in (one.stable, one.canary)):
        found.append(_compared(("Errors", f"share of the {what}"), coarse, axis, _share, percent=True))
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        if any(arm.latency for one in coarse for arm in (one.stable, one.canary)):
            found.append(
                _compared(
                    (f"Latency, {name}", "milliseconds"),
                    coarse,
                    axis,
                    partial(_quantile, share),
                    note=_LATENCY,
                )
            )
    return found


def grouped(stretches: Sequence[Stretch], most: int) -> list[Stretch]:
    """Neighbours joined so that there are at most so many."""
    return thinned(list(stretches), most)


def quantile(arm: Arm, share: float) -> float:
    """Milliseconds; not a number without counts, infinite above the last bound."""
    total = sum(count for _, count in arm.latency)
    if not total:
        return math.nan
    rank, below = max(1, math.ceil(share * total)), 0
    for bucket, count in arm.latency:
        below += count
        if below >= rank:
            return float(LATENCY_BOUNDS_MS[bucket]) if bucket < len(LATENCY_BOUNDS_MS) else math.inf
    return math.inf


def _axis(account: Account) -> Axis:
    """From the beginning; from shortly before the first step where the servers took long to start."""
    entered = [(step.entered, str(step.number)) for step in account.steps if step.entered is not None]
    end = max(account.ended - account.began, 1e-3)
    first = entered[0][0] if entered else 0.0
    start = max(0.0, first - 0.05 * (end - first)) if first > 0.15 * end else 0.0
    return Axis(start, end, tuple(entered))


def _weight(plot: Timeline, note: str) -> Drawn:
    points = plot.tracks[0].points[:-1]
    rows = tuple((clock(at), figures.share(weight)) for at, weight in points)
    return Drawn(plot.title, note, draw(plot), (), ("after", "canary's share from then on"), rows)


def _compared(
    names: tuple[str, str],
    stretches: Sequence[Stretch],
    axis: Axis,
    value: Callable[[Arm, Stretch], float],
    *,
    percent: bool = False,
    note: str = "",
) -> Drawn:
    """Both arms in one plot; `names` are the plot's and its axis's."""
    title, y = names
    tracks = tuple(
        Track(name, look, tuple(_broken([(one, value(arm(one), one)) for one in stretches])))
        for name, look, arm in (
            ("canary", "candidate", attrgetter("canary")),
            ("stable", "champion dashed", attrgetter("stable")),
        )
    )
    plot = Timeline(title, y, tracks, axis, percent=percent)
    said = figures.share if percent else figures.number
    rows = tuple(
        (clock(one.end), said(_none(value(one.canary, one))), said(_none(value(one.stable, one))))
        for one in grouped(stretches, _ROWS)
    )
    legend = tuple((track.look, track.name) for track in tracks)
    return Drawn(title, note, draw(plot), legend, ("after", "canary", "stable"), rows)


def _evidence_plot(account: Account, stretches: Sequence[Stretch], axis: Axis) -> Drawn:
    names = [one.name for one in account.signals]
    tracks = [Track("together", "total", tuple((one.end, max(one.total, LOWEST)) for one in stretches))]
    for index, name in enumerate(names):
        points = tuple((one.end, max(dict(one.evidence).get(name, math.nan), LOWEST)) for one in stretches)
        tracks.append(Track(name, f"s{_COLOURS[index % 7]}{_DASHES[index % 4]}", points))
    plot = Timeline(
        "Evidence against the canary",
        "e-value",
        tuple(tracks),
        axis,
        limit=(account.limit, f"{account.limit:g} rolls it back"),
        powers=True,
    )
    rows = tuple(
        (clock(one.end), figures.evidence(one.total), *(_e(dict(one.evidence).get(name)) for name in names))
        for one in grouped(stretches, _ROWS)
    )
    note = (
        "1 is where every signal begins; below it nothing speaks against the canary. The thick line, all signals that "
        "may roll back by their shares of the budget, decides."
    )
    legend = tuple((track.look, track.name) for track in tracks)
    return Drawn(plot.title, note, draw(plot), legend, ("after", "together", *names), rows)


def _broken(points: Sequence[tuple[Stretch, float]]) -> list[tuple[float, float]]:
    """Points in the middle of their stretches; the line breaks where nobody looked for long."""
    found: list[tuple[float, float]] = []
    for i, (one, value) in enumerate(points):
        if i and one.start - points[i - 1][0].end > 3 * max(one.seconds, points[i - 1][0].seconds, 1.0):
            found.append((one.start, math.nan))
        found.append(((one.start + one.end) / 2, value))
    return found


def _rate(arm: Arm, stretch: Stretch) -> float:
    return arm.requests / stretch.seconds if stretch.seconds > 0 else math.nan


def _quantile(share: float, arm: Arm, _stretch: Stretch) -> float:
    return quantile(arm, share)


def _share(arm: Arm, _stretch: Stretch) -> float:
    return min(arm.errors, arm.requests) / arm.requests if arm.requests else math.nan


def _none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _e(value: float | None) -> str:
    return "-" if value is None else figures.evidence(value)
