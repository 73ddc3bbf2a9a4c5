"""Pictures of a line's height: sparklines, evidence against its threshold, and a column's shares then and now. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from markupsafe import Markup

from mlship.report import figures
from mlship.report.cells import shortened
from mlship.report.monitor_seen import Share
from mlship.report.svg import Scale, coordinate, element

_WIDTH, _HEIGHT = 132.0, 30.0
_EDGE = 3.0
#: More bins than these are drawn as columns, whose names only some have.
_ROWS = 16
_BROAD, _ROW, _NAME = 520.0, 22.0, 150.0
_TALL = 210.0


def spark(
    values: Sequence[float | None], title: str, limit: float | None = None, *, around: Sequence[float] = ()
) -> Markup:
    """A line without axes; its last point is a dot, a limit a dashed line. None breaks it.

    Parameters
    ----------
    around
        Values that its height takes in besides, so that noise does not look like news: zero, a usual limit.
    """
    finite = [value for value in values if value is not None and isfinite(value)]
    if not finite:
        return Markup("")
    scale = Scale.over([*finite, *around, *([] if limit is None else [limit])], _HEIGHT - _EDGE, _EDGE)
    across = Scale(0.0, max(1, len(values) - 1), _EDGE, _WIDTH - _EDGE)
    parts, run = [], list[tuple[float, float]]()
    if limit is not None:
        parts.append(
            element("line", class_="threshold", x1=0.0, x2=_WIDTH, y1=scale(limit), y2=scale(limit)),
        )
    last = (0.0, 0.0)
    for index, value in enumerate([*values, None]):
        if value is not None and isfinite(value):
            last = (across(index), scale(value))
            run.append(last)
        elif run:
            places = " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in run)
            parts.append(element("polyline", class_="line candidate", points=places))
            run = []
    parts.append(element("circle", class_="point candidate", cx=last[0], cy=last[1], r=2.6))
    ends = f"from {figures.number(finite[0])} to {figures.number(finite[-1])}, at most {figures.number(max(finite))}"
    return _svg(f"{title}: {ends}", "spark", (_WIDTH, _HEIGHT), parts)


def meter(evidence: float, threshold: float, *, alarm: bool) -> Markup:
    """Evidence, log10 of an e-value, as a bar towards the threshold from which on it is an alarm."""
    full = max(threshold, 1e-9)
    scale = Scale(0.0, 1.25 * full, 0.0, 90.0)
    reach = scale(min(max(evidence, 0.0), 1.25 * full))
    at = scale(full)
    parts = [
        element("rect", class_="lane", x=0.0, y=3.0, width=90.0, height=10.0, rx=2.0),
        element(
            "rect", class_=f"reach {'failed' if alarm else 'within'}", x=0.0, y=3.0, width=reach, height=10.0, rx=2.0
        ),
        element("line", class_="limit", x1=at, x2=at, y1=0.0, y2=16.0),
    ]
    said = f"evidence 10^{figures.number(round(evidence, 1))}, alarm from 10^{figures.number(round(threshold, 1))} on"
    return _svg(said, "meter", (90.0, 16.0), parts)


def shares(title: str, bins: Sequence[Share]) -> Markup:
    """Two bars a bin: the baseline's share of it, and what it is now."""
    most = max((max(one.then, one.now) for one in bins), default=0.0) or 1.0
    told = "; ".join(f"{one.name}: {figures.share(one.then)}, now {figures.share(one.now)}" for one in bins[:40])
    if len(bins) <= _ROWS:
        parts, size = _lying(bins, most), _ROW * len(bins) + 4
    else:
        parts, size = _standing(bins, most), _TALL
    return _svg(title, "plot shares", (_BROAD, size), parts, told)


def _lying(bins: Sequence[Share], most: float) -> list[Markup]:
    parts, across = [], Scale(0.0, most, _NAME, _BROAD - 56)
    for index, one in enumerate(bins):
        y = _ROW * index + 2
        parts.append(
            element("text", shortened(one.name, 22), class_="tick", x=_NAME - 8, y=y + 13, text_anchor="end"),
        )
        for share, look, top in ((one.then, "champion", y + 1), (one.now, "candidate", y + 9)):
            parts.append(
                element(
                    "rect", class_=f"bar {look}", x=_NAME, y=top, width=max(0.6, across(share) - _NAME), height=7.0
                ),
            )
        parts.append(
            element("text", figures.share(one.now), class_="tick", x=across(max(one.then, one.now)) + 6, y=y + 13),
        )
    return parts


def _standing(bins: Sequence[Share], most: float) -> list[Markup]:
    up, width = Scale(0.0, most, _TALL - 24, 8.0), (_BROAD - 46) / len(bins)
    parts, free = [], 0.0
    for tick in up.ticks(4):
        y = up(tick)
        parts.append(element("line", class_="grid", x1=40.0, x2=_BROAD, y1=y, y2=y))
        parts.append(element("text", figures.share(tick), class_="tick", x=34.0, y=y + 4, text_anchor="end"))
    for index, one in enumerate(bins):
        x = 42 + index * width
        for share, look, left in ((one.then, "champion", x), (one.now, "candidate", x + width * 0.45)):
            parts.append(
                element(
                    "rect", class_=f"bar {look}", x=left, y=up(share), width=width * 0.42, height=up.start - up(share)
                ),
            )
        name = shortened(one.name, 14)
        half = 3.3 * len(name)
        if x + width / 2 - half >= free and x + width / 2 + half <= _BROAD:
            free = x + width / 2 + half + 10
            parts.append(
                element("text", name, class_="tick", x=x + width / 2, y=_TALL - 7, text_anchor="middle"),
            )
    return parts


def _svg(title: str, look: str, size: tuple[float, float], parts: Sequence[Markup], told: str = "") -> Markup:
    described = [element("desc", told)] if told else []
    return element(
        "svg",
        element("title", title),
        *described,
        *parts,
        class_=look,
        viewBox=f"0 0 {size[0]:.0f} {size[1]:.0f}",
        role="img",
    )
