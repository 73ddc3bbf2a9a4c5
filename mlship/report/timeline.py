"""Lines over the time of one rollout as SVG: straight or in steps, linear or by powers of ten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

from markupsafe import Markup

from mlship.report import figures
from mlship.report.dates import day
from mlship.report.dates import ticks as dates
from mlship.report.svg import Scale, coordinate, element, tick_labels
from mlship.report.times import unit

_WIDTH, _HEIGHT = 520.0, 270.0
_TOP, _RIGHT, _BOTTOM = 24.0, 14.0, 46.0
_HALF_LETTER = 3.3
#: Ticks of a time axis in minutes or hours, which are not counted in tens.
_ROUND = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
#: Evidence is not drawn below this.
LOWEST = 0.01


@dataclass(frozen=True, slots=True)
class Track:
    """One line."""

    name: str
    look: str
    """Its class in the style sheet."""
    points: tuple[tuple[float, float], ...]
    """(seconds since the beginning, value); a value that is not finite breaks the line."""
    stepped: bool = False
    """It keeps its value until the next point."""
    band: tuple[tuple[float, float, float], ...] = ()
    """(seconds since the beginning, low, high) of its intervals; what is not finite breaks it."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The time that every plot of one rollout covers, in seconds since it began."""

    start: float
    end: float
    marks: tuple[tuple[float, str], ...] = ()
    """(seconds, a short name) of upright lines."""
    origin: float | None = None
    """Unix time of its zero: then it shows dates, in UTC; None: times since the beginning."""

    @property
    def span(self) -> float:
        """Seconds that it covers."""
        return max(self.end - self.start, 1e-3)


@dataclass(frozen=True, slots=True)
class Timeline:
    """One plot."""

    title: str
    y: str
    """Name and unit of the axis."""
    tracks: tuple[Track, ...]
    axis: Axis
    limit: tuple[float, str] | None = None
    """A horizontal line, and what it is called."""
    powers: bool = False
    """The axis goes by powers of ten."""
    percent: bool = False
    """Values are shares, and written in percent."""
    loose: bool = False
    """The axis need not begin at zero."""


def draw(plot: Timeline) -> Markup:
    """The plot without its legend."""
    values = [y for track in plot.tracks for _, y in track.points]
    values += [y for track in plot.tracks for _, *ends in track.band for y in ends]
    if plot.limit is not None:
        values.append(plot.limit[0])
    up, ticks, labels = _powers(values) if plot.powers else _straight(values, plot)
    left = 30.0 + 2 * _HALF_LETTER * max(map(len, labels), default=1)
    across = Scale(plot.axis.start, plot.axis.start + plot.axis.span, left, _WIDTH - _RIGHT)
    place = _power if plot.powers else _itself
    parts = _axes(plot, across, up, list(zip(ticks, labels, strict=True)))
    parts += [part for at, name in _apart(plot.axis.marks, across) for part in _mark(across(at), name)]
    if plot.limit is not None:
        parts += _limit(place(plot.limit[0]), plot.limit[1], across, up)
    for track in reversed(plot.tracks):  # the first on top
        points = tuple((max(x, plot.axis.start), place(y)) for x, y in track.points)
        parts += _band(track, across, up)
        parts += _track(replace(track, points=points), across, up)
    return element(
        "svg",
        element("title", plot.title),
        element("desc", describe(plot)),
        *parts,
        class_="plot",
        viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}",
        role="img",
    )


def describe(plot: Timeline) -> str:
    """The plot in words, for who cannot see it: where each line begins, how far it goes, where it ends."""
    said = []
    for track in plot.tracks:
        values = [y for _, y in track.points if isfinite(y)]
        if values:
            first, last, most = (_said(plot, each) for each in (values[0], values[-1], max(values)))
            said.append(f"{track.name}: from {first} to {last}, at most {most}")
    limit = f" Limit: {_said(plot, plot.limit[0])}, {plot.limit[1]}." if plot.limit else ""
    over = f"over {unit(plot.axis.end)[0]}"
    if plot.axis.origin is not None:
        over = f"{day(plot.axis.origin + plot.axis.start)} to {day(plot.axis.origin + plot.axis.end)}"
    return f"{plot.y}, {over}. {'; '.join(said)}.{limit}"


def _itself(value: float) -> float:
    return value


def _power(value: float) -> float:
    return math.log10(max(value, LOWEST)) if isfinite(value) else value


def _said(plot: Timeline, value: float) -> str:
    return figures.share(value) if plot.percent else figures.number(value)


def _straight(values: Sequence[float], plot: Timeline) -> tuple[Scale, list[float], list[str]]:
    """From zero, or the next tick below everything, to the next tick above it."""
    factor = 100.0 if plot.percent else 1.0
    seen = [value * factor for value in values if isfinite(value)]
    most, least = max(seen, default=0.0), min(seen, default=0.0)
    if plot.loose and seen:
        scale = Scale.over(seen, 0.0, 1.0)
    else:
        least = min(0.0, least)
        scale = Scale(least, most if most > least else least + 1.0, 0.0, 1.0)
    ticks = scale.ticks()
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 0.0
    if ticks[-1] < scale.high - abs(scale.high) * 0.001:
        ticks.append(ticks[-1] + step)
    if ticks[0] > scale.low + abs(scale.low) * 0.001:
        ticks.insert(0, ticks[0] - step)
    bottom, top = min(scale.low, ticks[0]), max(scale.high, ticks[-1])
    labels = [f"{label}%" if plot.percent else label for label in tick_labels(ticks)]
    place = Scale(bottom / factor, top / factor, _HEIGHT - _BOTTOM, _TOP)
    return place, [tick / factor for tick in ticks], labels


def _powers(values: Sequence[float]) -> tuple[Scale, list[float], list[str]]:
    """Whole powers of ten around everything; ticks at every, every second, every third of them..."""
    logs = [_power(value) for value in values if isfinite(value)] or [0.0]
    low, high = math.floor(min(logs) + 1e-9), math.ceil(max(logs) - 1e-9)
    high = max(high, low + 1)
    step = max(1, math.ceil((high - low) / 6))
    powers = [power for power in range(low, high + 1) if power % step == 0]
    labels = [figures.number(10.0**power) if power < 6 else f"1e{power}" for power in powers]
    return Scale(low, high, _HEIGHT - _BOTTOM, _TOP), [float(power) for power in powers], labels


def _axes(plot: Timeline, across: Scale, up: Scale, ticks: list[tuple[float, str]]) -> list[Markup]:
    parts = []
    for tick, label in ticks:
        y = up(tick)
        parts.append(element("line", class_="grid", x1=across.start, x2=across.end, y1=y, y2=y))
        parts.append(element("text", label, class_="tick", x=across.start - 7, y=y + 3.8, text_anchor="end"))
    name, times = _named(plot.axis)
    for at, label in times:
        x = across(at)
        place = min(x, _WIDTH - 2 - _HALF_LETTER * len(label))
        parts.append(element("text", label, class_="tick", x=place, y=up.start + 17, text_anchor="middle"))
    parts.append(element("line", class_="axis", x1=across.start, x2=across.end, y1=up.start, y2=up.start))
    middle = (across.start + across.end) / 2
    parts.append(element("text", name, class_="name", x=middle, y=_HEIGHT - 6, text_anchor="middle"))
    y = (up.start + up.end) / 2
    turned = f"rotate(-90 12 {coordinate(y)})"
    parts.append(element("text", plot.y, class_="name", x=12.0, y=y, text_anchor="middle", transform=turned))
    return parts


def _named(axis: Axis) -> tuple[str, list[tuple[float, str]]]:
    """The name of a time axis, and its ticks with theirs."""
    end = axis.start + axis.span
    if axis.origin is not None:
        found = dates(axis.origin + axis.start, axis.origin + end)
        return "UTC", [(at - axis.origin, label) for at, label in found]
    name, size = unit(axis.end)
    times = _times(axis.start / size, end / size)
    return f"{name} since it began", [
        (tick * size, label) for tick, label in zip(times, tick_labels(times), strict=True)
    ]


def _times(start: float, end: float) -> list[float]:
    """Round times, about six."""
    span = end - start
    step = next((each for each in _ROUND if span / each <= 7), None)
    if span < 6 or step is None:
        return Scale(start, end, 0, 1).ticks(6)
    return [float(number * step) for number in range(math.ceil(start / step - 1e-9), int(end / step + 1e-9) + 1)]


def _track(track: Track, across: Scale, up: Scale) -> list[Markup]:
    """The line in pieces; a point without neighbours is a dot."""
    parts = []
    for run in _runs(track.points):
        places = [(across(x), up(y)) for x, y in run]
        if track.stepped:
            places = [corner for i, (x, y) in enumerate(places) for corner in _corner(places, i, x, y)]
        if len(places) == 1:
            x, y = places[0]
            parts.append(element("circle", class_=f"point {track.look}", cx=x, cy=y, r=2.6))
        else:
            drawn = " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in places)
            parts.append(element("polyline", class_=f"line {track.look}", points=drawn))
    return parts


def _band(track: Track, across: Scale, up: Scale) -> list[Markup]:
    """The intervals as an area behind the line, in pieces."""
    parts: list[Markup] = []
    whole = [
        (x, low, high) if isfinite(low) and isfinite(high) else (x, math.nan, math.nan) for x, low, high in track.band
    ]
    lows, highs = [(x, low) for x, low, _ in whole], [(x, high) for x, _, high in whole]
    for low, high in zip(_runs(lows), _runs(highs), strict=True):
        if len(low) > 1:
            around = " ".join(f"{coordinate(across(x))},{coordinate(up(y))}" for x, y in [*high, *reversed(low)])
            parts.append(element("polygon", class_=f"band {track.look}", points=around))
        else:
            parts += [
                element("line", class_=f"whisker {track.look}", x1=across(x), x2=across(x), y1=up(y), y2=up(top))
                for (x, y), (_, top) in zip(low, high, strict=True)
            ]
    return parts


def _corner(places: list[tuple[float, float]], i: int, x: float, y: float) -> list[tuple[float, float]]:
    return [(x, y)] if i == 0 else [(x, places[i - 1][1]), (x, y)]


def _runs(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if isfinite(x) and isfinite(y):
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _apart(marks: Sequence[tuple[float, str]], across: Scale) -> list[tuple[float, str]]:
    """Marks with their names, but for names that would lie on the one before."""
    found: list[tuple[float, str]] = []
    free = -math.inf
    for at, name in marks:
        if not isfinite(at):
            continue
        x = across(at)
        shown = name if x - _HALF_LETTER * len(name) >= free else ""
        if shown:
            free = x + _HALF_LETTER * len(name) + 4
        found.append((at, shown))
    return found


def _mark(x: float, name: str) -> list[Markup]:
    parts = [element("line", class_="marked", x1=x, x2=x, y1=_TOP - 4, y2=_HEIGHT - _BOTTOM)]
    if name:
        place = min(max(x, _HALF_LETTER * len(name)), _WIDTH - _HALF_LETTER * len(name))
        parts.append(element("text", name, class_="marked", x=place, y=_TOP - 9, text_anchor="middle"))
    return parts


def _limit(value: float, name: str, across: Scale, up: Scale) -> list[Markup]:
    y = up(value)
    return [
        element("line", class_="threshold", x1=across.start, x2=across.end, y1=y, y2=y),
        element("text", name, class_="threshold", x=across.start + 6, y=y - 5, text_anchor="start"),
    ]
