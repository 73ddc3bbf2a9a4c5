"""Curves as SVG: axes at round numbers, lines with their intervals, and what they are compared with."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from math import isfinite

from markupsafe import Markup

from mlship.exhibits import Curves, Series
from mlship.report import figures
from mlship.report.cells import shortened
from mlship.report.svg import Scale, coordinate, element, tick_labels

_WIDTH, _HEIGHT = 520.0, 330.0
_TOP, _RIGHT, _BOTTOM = 14.0, 14.0, 48.0
#: When no line has more points than these, each point is drawn, and its interval as a bar.
_POINTS = 20
#: More points than these cannot be told apart.
_MOST_POINTS = 400
#: Colours and dashes that the style sheet has.
COLOURS = 7
_HALF_LETTER = 3.3


def curves(plot: Curves) -> Markup:
    """The plot without its legend; `colour` tells the class of each series, for a legend beside it."""
    plot = replace(plot, series=tuple(map(_thinned, plot.series)))
    xs = [x for series in plot.series for x in series.x]
    ys = [y for series in plot.series for group in (series.y, series.low, series.high) for y in group]
    if plot.marked is not None:
        xs.append(plot.marked[0])
    if plot.diagonal:
        xs = ys = [*xs, *ys]
    across, up = _share(Scale.over(xs, 0, 1)), _nice(Scale.over(ys, 0, 1))
    if plot.diagonal:
        across = up
    labels = tick_labels(up.ticks())
    left = 28.0 + 2 * _HALF_LETTER * max(map(len, labels), default=1)
    across = Scale(across.low, across.high, left, _WIDTH - _RIGHT)
    up = Scale(up.low, up.high, _HEIGHT - _BOTTOM, _TOP)
    parts = _axes(plot, across, up)
    if plot.diagonal:
        ends = max(across.low, up.low), min(across.high, up.high)
        parts.append(_line("diagonal", [(across(end), up(end)) for end in ends]))
    pointed = all(len(series.x) <= _POINTS for series in plot.series)
    for index, series in reversed(list(enumerate(plot.series))):  # the first, the candidate, on top
        parts += _series(series, colour(plot, index), across, up, pointed=pointed)
    if plot.marked is not None:
        parts += _mark(*plot.marked, across)
    return element(
        "svg",
        element("title", plot.title),
        element("desc", describe(plot)),
        *parts,
        class_="plot",
        viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}",
        role="img",
    )


def colour(plot: Curves, index: int) -> str:
    """The class of one series: candidate and champion look the same in every plot.

    Where there are several of each (a line per kind of noise, say), a pair shares its colour, the champion dashed.
    """
    names = [series.name.strip().lower() for series in plot.series]
    for side in ("candidate", "champion"):
        of_side = [i for i, name in enumerate(names) if name.startswith(side)]
        if of_side == [index]:
            return side
    kinds = [_SIDE.sub("", name).strip(" ,:()-") for name in names]
    distinct = list(dict.fromkeys(kinds))
    dashed = " dashed" if "champion" in names[index] else ""
    return f"s{distinct.index(kinds[index]) % COLOURS}{dashed}"


_SIDE = re.compile(r"\b(candidate|champion)('s)?\b")


def describe(plot: Curves) -> str:
    """The plot in words, for who cannot see it: each line's ends."""
    said = []
    for series in plot.series:
        points = [(x, y) for x, y in zip(series.x, series.y, strict=True) if isfinite(x) and isfinite(y)]
        if points:
            (x0, y0), (x1, y1) = points[0], points[-1]
            said.append(
                f"{series.name}: from {figures.number(y0)} at {figures.number(x0)}"
                f" to {figures.number(y1)} at {figures.number(x1)}"
            )
    return f"{plot.y} by {plot.x}. " + "; ".join(said)


def _nice(scale: Scale) -> Scale:
    """Stretched to the next tick at both ends, so that no line touches the frame by chance."""
    ticks = scale.ticks()
    if len(ticks) < 2:
        return scale
    step = ticks[1] - ticks[0]
    low = scale.low if abs(scale.low - ticks[0]) < step * 1e-6 else ticks[0] - step
    high = scale.high if abs(scale.high - ticks[-1]) < step * 1e-6 else ticks[-1] + step
    return Scale(low, high, scale.start, scale.end)


def _share(scale: Scale) -> Scale:
    """From 0 to 1 when what is drawn nearly does so: a recall, a threshold, a probability."""
    is_share = scale.low >= -1e-9 and scale.high <= 1 + 1e-9 and scale.high - scale.low > 0.7
    return Scale(0.0, 1.0, scale.start, scale.end) if is_share else scale


def _axes(plot: Curves, across: Scale, up: Scale) -> list[Markup]:
    parts = []
    ticks = up.ticks()
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        y = up(tick)
        parts.append(element("line", class_="grid", x1=across.start, x2=across.end, y1=y, y2=y))
        parts.append(element("text", label, class_="tick", x=across.start - 7, y=y + 3.8, text_anchor="end"))
    ticks = across.ticks(6)
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        x = across(tick)
        parts.append(element("line", class_="grid", x1=x, x2=x, y1=up.end, y2=up.start))
        place = min(x, _WIDTH - 2 - _HALF_LETTER * len(label))
        parts.append(element("text", label, class_="tick", x=place, y=up.start + 17, text_anchor="middle"))
    parts.append(element("line", class_="axis", x1=across.start, x2=across.end, y1=up.start, y2=up.start))
    middle = (across.start + across.end) / 2
    parts.append(element("text", shortened(plot.x, 70), class_="name", x=middle, y=_HEIGHT - 8, text_anchor="middle"))
    y = (up.start + up.end) / 2
    parts.append(
        element(
            "text",
            shortened(plot.y, 42),
            class_="name",
            x=12.0,
            y=y,
            text_anchor="middle",
            transform=f"rotate(-90 12 {coordinate(y)})",
        )
    )
    return parts


def _series(series: Series, name: str, across: Scale, up: Scale, *, pointed: bool) -> list[Markup]:
    parts = []
    runs = _runs(series)
    bounded = len(series.low) == len(series.x) == len(series.high) and len(series.x) > 0
    if bounded and not pointed:
        for run in runs:
            band = [(i, series.high[i]) for i in run] + [(i, series.low[i]) for i in reversed(run)]
            if all(isfinite(y) for _, y in band):
                path = " ".join(f"{coordinate(across(series.x[i]))},{coordinate(up(y))}" for i, y in band)
                parts.append(element("polygon", class_=f"band {name}", points=path))
    for run in runs:
        if len(run) > 1:
            parts.append(_line(f"line {name}", [(across(series.x[i]), up(series.y[i])) for i in run]))
    if pointed:
        for i in [i for run in runs for i in run]:
            x, y = across(series.x[i]), up(series.y[i])
            if bounded and isfinite(series.low[i]) and isfinite(series.high[i]):
                ends = up(series.low[i]), up(series.high[i])
                parts.append(element("line", class_=f"whisker {name}", x1=x, x2=x, y1=ends[0], y2=ends[1]))
            parts.append(element("circle", class_=f"point {name}", cx=x, cy=y, r=3.2))
    return parts


def _runs(series: Series) -> list[list[int]]:
    """Indices of neighbouring points that can be drawn; a value that is not finite breaks the line."""
    runs: list[list[int]] = [[]]
    for index, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
        if isfinite(x) and isfinite(y):
            runs[-1].append(index)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _thinned(series: Series) -> Series:
    """At most so many points as can be told apart, both ends among them."""
    n = len(series.x)
    if n <= _MOST_POINTS:
        return series
    step = (n - 1) / (_MOST_POINTS - 1)
    kept = sorted({round(number * step) for number in range(_MOST_POINTS)})
    pick = [
        tuple(group[i] for i in kept) if len(group) == n else ()
        for group in (series.x, series.y, series.low, series.high)
    ]
    return Series(series.name, *pick)


def _mark(at: float, text: str, across: Scale) -> list[Markup]:
    """A vertical line with its name beside it, on the side that has room."""
    if not isfinite(at):
        return []
    x = across(at)
    name = shortened(text, 34)
    right = x + 6 + 2 * _HALF_LETTER * len(name) < _WIDTH - _RIGHT
    place, anchor = (x + 5, "start") if right else (x - 5, "end")
    return [
        element("line", class_="marked", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _BOTTOM),
        element("text", name, class_="marked", x=place, y=_TOP + 11, text_anchor=anchor),
    ]


def _line(name: str, points: list[tuple[float, float]]) -> Markup:
    return element(
        "polyline", class_=name, points=" ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in _distinct(points))
    )


def _distinct(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without neighbours that fall on the same tenth of a unit."""
    kept = points[:1]
    kept += [
        b for a, b in pairwise(points) if (coordinate(a[0]), coordinate(a[1])) != (coordinate(b[0]), coordinate(b[1]))
    ]
    return kept
