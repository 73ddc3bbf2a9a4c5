"""A rule in one small picture: where the value and its interval lie, where the limit is, and where the champion."""

from __future__ import annotations

import re
from math import isfinite

from markupsafe import Markup

from mlship.report import words
from mlship.report.svg import Scale, element
from mlship.types import GateResult, Measurement

_LIMIT = re.compile(r"(>=|<=) (-?[0-9][0-9,]*(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)(%?)")
_WIDTH, _HEIGHT = 220.0, 42.0
_EDGE = 8.0
_LANE, _LOWER_LANE, _BOTTOM = 11.0, 23.0, 30.0


def interval(result: GateResult) -> Markup | None:
    """The rule's picture; None when it has no value or no limit that is a number."""
    found, limit = result.measured, _LIMIT.fullmatch(result.limit)
    if limit is None or found is None or found.value is None or not isfinite(found.value):
        return None
    bound = float(limit[2].replace(",", "")) / (100 if limit[3] else 1)
    champion = result.champion if result.champion and result.champion.metric == found.metric else None
    # A difference is from the champion: its place is zero.
    zero = [0.0] if result.champion and not champion else []
    values = [bound, *zero, *_ends(found), *(_ends(champion) if champion else [])]
    scale = Scale.over(values, _EDGE, _WIDTH - _EDGE, padding=0.06)
    at = scale(bound)
    kept = (at, _WIDTH) if limit[1] == ">=" else (0.0, at)
    parts = [
        element("rect", class_="lane", x=0.0, y=0.0, width=_WIDTH, height=_BOTTOM, rx=3.0),
        element("rect", class_="kept", x=kept[0], y=0.0, width=max(0.0, kept[1] - kept[0]), height=_BOTTOM),
    ]
    if zero:
        parts.append(element("line", class_="zero", x1=scale(0), x2=scale(0), y1=0.0, y2=_BOTTOM))
    if champion is not None:
        parts += _measured(champion, scale, _LOWER_LANE, "champion")
    parts.append(element("line", class_="limit", x1=at, x2=at, y1=0.0, y2=_BOTTOM + 3))
    parts += _measured(found, scale, _LANE if champion else (_LANE + _LOWER_LANE) / 2 - 2, "candidate")
    parts.append(_label(result.limit.replace(">= ", "≥ ").replace("<= ", "≤ "), at))
    title = f"{result.rule}: {words.measured(result)}, limit {result.limit}"
    if champion is not None:
        title += f", champion {words.champion(result)}"
    return element(
        "svg",
        element("title", title),
        *parts,
        class_=f"interval {result.status}",
        viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}",
        role="img",
    )


def _ends(found: Measurement) -> list[float]:
    return [end for end in (found.value, found.low, found.high) if end is not None and isfinite(end)]


def _measured(found: Measurement, scale: Scale, y: float, side: str) -> list[Markup]:
    """The interval as a bar and the value on it: a dot for the candidate, a diamond for the champion."""
    parts = []
    if found.low is not None and found.high is not None and isfinite(found.low) and isfinite(found.high):
        parts.append(element("line", class_=f"bar {side}", x1=scale(found.low), x2=scale(found.high), y1=y, y2=y))
    if found.value is not None and isfinite(found.value):
        x = scale(found.value)
        if side == "candidate":
            parts.append(element("circle", class_=f"dot {side}", cx=x, cy=y, r=4.5))
        else:
            points = f"{x:.1f},{y - 4.5:.1f} {x + 4.5:.1f},{y:.1f} {x:.1f},{y + 4.5:.1f} {x - 4.5:.1f},{y:.1f}"
            parts.append(element("polygon", class_=f"dot {side}", points=points))
    return parts


def _label(text: str, x: float) -> Markup:
    """The limit's figure below its line, inside the picture."""
    half = 3.2 * len(text)
    place = min(max(x, half), _WIDTH - half)
    return element("text", text, class_="figure", x=place, y=_HEIGHT - 1, text_anchor="middle")
