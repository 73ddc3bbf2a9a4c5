"""A rollout as one HTML file: the verdict first, then traffic and evidence over time, counts, events, ids."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from mlship.report import figures
from mlship.report.account import Account, Arm, Event, SignalSeen, Step, Stretch, Why
from mlship.report.page import page
from mlship.report.stretches import thinned
from mlship.report.timeline import LOWEST, Axis, Timeline, Track, draw, unit
from mlship.report.words import MARKS
from mlship.types import LATENCY_BOUNDS_MS, Status

if TYPE_CHECKING:
    from markupsafe import Markup

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
_WORDS = {
    "promoted": "promoted",
    "rolled_back": "rolled back",
    "aborted": "aborted",
    "paused": "paused",
    "running": "under way",
    "unattended": "unfinished",
}
#: How an event looks: its mark says what its colour says.
_EVENTS = {
    "promoted": Status.PASSED,
    "rolled_back": Status.FAILED,
    "rolling back": Status.FAILED,
    "aborted": Status.INCONCLUSIVE,
    "paused": Status.INCONCLUSIVE,
    "guardian": Status.ERROR,
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """One plot with its legend, and the table behind it."""

    title: str
    note: str
    picture: Markup
    legend: tuple[tuple[str, str], ...]
    """(class, name)"""
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def render(account: Account, why: Why | None = None) -> str:
    """The file's content.

    Parameters
    ----------
    why
        The chain of evidence behind the decision, to be shown below; None: the rollout only.
    """
    spent = max(account.ended - account.began, 0.0)
    return page("rollout.html").render(
        account=account,
        why=why,
        word=_WORDS.get(account.outcome, account.outcome),
        status=str(account.status) if account.outcome != "running" else "running",
        marks={**{str(status): mark for status, mark in MARKS.items()}, "running": "▸"},
        sentence=sentence(account),
        plots=plots(account),
        signals=[_signal(account, one) for one in account.signals],
        total=evidence(account.total),
        steps=[_step(step) for step in account.steps],
        events=[_event(account, one) for one in account.events],
        began=when(account.began),
        last=when(account.ended),
        took=span(spent),
        requests=_requests(account),
        when=when,
    )


def sentence(account: Account) -> str:
    """The verdict in one sentence; of a rollout that is not over, what holds so far."""
    said = f"{account.sentence[:1].upper()}{account.sentence[1:]}"
    said = said if said.endswith((".", "!", "?")) else f"{said}."
    if account.outcome == "running":
        return f"So far: {account.sentence.removesuffix('.')}."
    if account.outcome == "unattended":
        return f"It is not over, and nobody drives it. So far: {account.sentence.removesuffix('.')}."
    return said


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


def evidence(value: float) -> str:
    """An e-value as people read it: `0.03`, `0.3`, `23`, `1,234`, `4e+12`."""
    if value < 0.095:
        return f"{value:.2f}" if value >= 0.005 else "0.00"
    return f"{value:.1f}" if value < 9.95 else (f"{value:,.0f}" if value < 1e6 else f"{value:.0e}")


def when(at: float) -> str:
    """A moment, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %B %Y, %H:%M:%S UTC").lstrip("0")


def span(seconds: float) -> str:
    """A time span: `42 s`, `5.6 min`, `1.5 h`."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} d"


def _axis(account: Account) -> Axis:
    """From the beginning; from shortly before the first step where the servers took long to start."""
    entered = [(step.entered, str(step.number)) for step in account.steps if step.entered is not None]
    end = max(account.ended - account.began, 1e-3)
    first = entered[0][0] if entered else 0.0
    start = max(0.0, first - 0.05 * (end - first)) if first > 0.15 * end else 0.0
    return Axis(start, end, tuple(entered))


def _weight(plot: Timeline, note: str) -> Drawn:
    points = plot.tracks[0].points[:-1]
    rows = tuple((_clock(at), figures.share(weight)) for at, weight in points)
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
        (_clock(one.end), said(_none(value(one.canary, one))), said(_none(value(one.stable, one))))
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
        (_clock(one.end), evidence(one.total), *(_e(dict(one.evidence).get(name)) for name in names))
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
    return "-" if value is None else evidence(value)


def _clock(seconds: float) -> str:
    """How long after the beginning: `4.2 s`, `1:05 min`, `2:30 h`."""
    name, size = unit(seconds)
    if size == 1.0:
        return f"{seconds:.1f} s"
    whole, rest = divmod(round(seconds / (size / 60 if size < 86400 else 3600)), 60 if size < 86400 else 24)
    return f"{whole}:{rest:02d} {'min' if name == 'minutes' else 'h'}" if size < 86400 else f"{whole} d {rest} h"


def _requests(account: Account) -> tuple[int, int]:
    stretches = account.stretches
    return sum(one.canary.requests for one in stretches), sum(one.stable.requests for one in stretches)


def _signal(account: Account, one: SignalSeen) -> dict[str, object]:
    decided = account.outcome == "rolled_back" and one.accused
    return {
        "name": one.name,
        "evidence": evidence(one.e_value),
        "action": {"rollback": "rolls back", "pause": "pauses", "warn": "warns"}.get(one.action, one.action),
        "budget": figures.share(one.budget) if one.budget else "-",
        "canary": _counted(*one.canary),
        "stable": _counted(*one.stable) if one.stable[1] else "-",
        "sentence": one.sentence,
        "decided": decided,
    }


def _counted(bad: int, of: int) -> str:
    return f"{figures.count(bad)} of {figures.count(of)}" if of else "none seen"


def _step(step: Step) -> dict[str, object]:
    return {
        "number": step.number,
        "traffic": {"approve": "approval", "pause": f"pause at {step.traffic}"}.get(step.kind, step.traffic),
        "asked": step.asked or "-",
        "seen": "-"
        if step.seconds is None
        else f"{span(step.seconds)}, {figures.things(step.requests or 0, 'request')}",
        "entered": "-" if step.entered is None else _clock(step.entered),
        "state": {"left": "ended here", "now": "under way"}.get(step.state, step.state),
    }


def _requests_of(step: Step) -> str:
    return figures.things(step.requests or 0, "request")


def _event(account: Account, one: Event) -> dict[str, object]:
    status = str(_EVENTS.get(one.what, ""))
    return {
        "at": datetime.fromtimestamp(one.at, UTC).strftime("%H:%M:%S"),
        "after": _clock(max(0.0, one.at - account.began)),
        "what": one.what.replace("_", " "),
        "status": status,
        "text": one.text,
    }
