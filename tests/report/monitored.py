"""A pass of the monitor as the reports get it: a flight-delay model after the shift of September, and kinder ones."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import UTC, datetime

from mlship.report.monitor_seen import (
    BaselineSeen,
    ColumnSeen,
    Done,
    Example,
    FigureSeen,
    Line,
    Seen,
    Share,
    SourceSeen,
)
from mlship.types.monitoring import Finding, Incident, IncidentEvent, Trouble

DAY = 86400.0
#: When the pass was.
NOW = datetime(2026, 9, 12, 14, 5, tzinfo=UTC).timestamp()
CHANGED = datetime(2026, 9, 3, 6, tzinfo=UTC).timestamp()
_DAYS = 72
_FIRST = NOW - NOW % DAY - _DAYS * DAY + DAY / 2


def line(start: float, after: float, *, noise: float, seed: int, band: float = 0.0, until: int = _DAYS) -> Line:
    """One figure by day, which moves when everything does; nothing was measured on two of the days."""
    chance = random.Random(seed)
    at = tuple(_FIRST + day * DAY for day in range(until))
    value = tuple(
        None if 20 <= day < 22 else max(0.0, (start if when < CHANGED else after) + chance.gauss(0, noise))
        for day, when in enumerate(at)
    )
    if not band:
        return Line(at, value)
    low = tuple(None if one is None else one - band for one in value)
    high = tuple(None if one is None else one + band for one in value)
    return Line(at, value, low, high)


def _shares(centre: float, bins: int = 10) -> tuple[Share, ...]:
    then = [math.exp(-(((i + 0.5) / bins - 0.45) ** 2) / 0.08) for i in range(bins)]
    now = [math.exp(-(((i + 0.5) / bins - centre) ** 2) / 0.08) for i in range(bins)]
    return tuple(
        Share(f"{100 * i / bins:g} to {100 * (i + 1) / bins:g}", a / sum(then), b / sum(now))
        for i, (a, b) in enumerate(zip(then, now, strict=True))
    )


_SENTENCE = "the predictions have moved: PSI 0.164 since 3 September, limit 0.1; `late` was 31%, and is 44%"
_HOUR = "dep_hour has moved: PSI 0.262, limit 0.2; 17 to 20 h were 22% of the rows, and are 35%"
_RECALL = "recall is 0.571 [0.549, 0.593] of 8,112 labelled rows, limit >= 0.6"

FINDINGS = (
    Finding(
        "predictions",
        "predictions",
        "psi",
        0.164,
        "psi <= 0.1",
        True,
        6.2,
        True,
        CHANGED,
        _SENTENCE,
        n=12345,
        severity=2,
    ),
    Finding(
        "features",
        "dep_hour",
        "psi",
        0.262,
        "psi <= 0.2",
        True,
        5.4,
        True,
        CHANGED + 3600,
        _HOUR,
        n=12345,
        severity=1,
    ),
    Finding("features", "origin", "psi", 0.031, "psi <= 0.2", False, 1.2, False, None, "origin is as it was", n=12345),
    Finding(
        "features",
        "wind_speed",
        "missing",
        0.064,
        "missing <= 5%",
        True,
        2.1,
        False,
        None,
        "6.4% of wind_speed is missing",
        expected=0.012,
    ),
    Finding(
        "performance",
        "recall",
        "recall",
        0.571,
        ">= 0.6",
        True,
        5.1,
        True,
        CHANGED + DAY,
        _RECALL,
        0.549,
        0.593,
        0.662,
        8112,
        1,
    ),
    Finding("age", "model", "days", 71.0, "age <= 90 d", False, 0.0, False, None, "the model is 71 days old"),
)


def _incident(number: int, finding: Finding, detail: str, worst: int) -> Incident:
    assert finding.since is not None
    return Incident(
        f"{finding.kind}-{number}",
        "flight-delay",
        "3",
        finding.kind,
        finding.subject,
        finding.since + 40 * 3600,
        finding.since,
        worst,
        finding.sentence,
        detail=detail,
    )


INCIDENTS = (
    _incident(1, FINDINGS[0], "The score of flights after 17 h moved most: 62% of the PSI.", 2),
    _incident(2, FINDINGS[1], "17 to 20 h: 22% of the rows before, 35% now.", 1),
    _incident(3, FINDINGS[4], "", 1),
    Incident(
        "features-0",
        "flight-delay",
        "3",
        "features",
        "visib",
        NOW - 40 * DAY,
        NOW - 42 * DAY,
        1,
        "visib has moved: PSI 0.21, limit 0.2",
        resolved=NOW - 30 * DAY,
    ),
)

FEATURES = (
    ColumnSeen(
        "dep_hour",
        "numbers",
        12345,
        0.262,
        0.41,
        0.0,
        0.0,
        None,
        5.4,
        CHANGED + 3600,
        ("psi",),
        True,
        _HOUR,
        _shares(0.66),
        line(0.015, 0.24, noise=0.012, seed=1),
    ),
    ColumnSeen(
        "wind_speed",
        "numbers",
        12345,
        0.05,
        0.11,
        0.064,
        0.012,
        None,
        2.1,
        None,
        ("missing",),
        False,
        "6.4% of wind_speed is missing",
        _shares(0.5),
        line(0.02, 0.05, noise=0.01, seed=2),
    ),
    ColumnSeen(
        "origin",
        "categories",
        12345,
        0.031,
        None,
        0.0,
        0.0,
        0.002,
        1.2,
        line=line(0.02, 0.03, noise=0.01, seed=3),
        shares=(Share("EWR", 0.36, 0.35), Share("JFK", 0.33, 0.36), Share("LGA", 0.31, 0.29)),
    ),
    *(
        ColumnSeen(
            name,
            "numbers",
            12345,
            0.01 * number,
            0.02 * number,
            0.001,
            0.001,
            None,
            0.3 * number,
            line=line(0.02, 0.02, noise=0.008, seed=10 + number),
        )
        for number, name in enumerate(("distance", "temp", "humid", "precip", "visib"))
    ),
)

BREACH = Seen(
    "flight-delay",
    "3",
    "mlship.yaml",
    NOW,
    4.94,
    FINDINGS,
    INCIDENTS,
    (IncidentEvent(INCIDENTS[2], "opened", NOW), IncidentEvent(INCIDENTS[0], "worsened", NOW)),
    since=NOW - 9 * DAY,
    until=NOW - 300,
    windows=24,
    rows=12345,
    judged=22,
    features=FEATURES,
    predictions=ColumnSeen(
        "predictions",
        "categories",
        12345,
        0.164,
        None,
        0.0,
        0.0,
        0.0,
        6.2,
        CHANGED,
        ("psi",),
        True,
        _SENTENCE,
        (Share("on time", 0.69, 0.56), Share("late", 0.31, 0.44)),
        line(0.01, 0.15, noise=0.012, seed=4),
    ),
    scores=ColumnSeen(
        "score",
        "numbers",
        12345,
        0.142,
        0.3,
        evidence=4.1,
        shares=_shares(0.58, 40),
        line=line(0.01, 0.13, noise=0.012, seed=5),
    ),
    figures=(
        FigureSeen(
            "recall",
            ">= 0.6",
            0.662,
            0.571,
            0.549,
            0.593,
            8112,
            0.583,
            0.55,
            0.616,
            evidence=5.1,
            since=CHANGED + DAY,
            breach=True,
            sentence=_RECALL,
            line=line(0.66, 0.57, noise=0.018, seed=6, band=0.03, until=_DAYS - 4),
            estimate=line(0.655, 0.585, noise=0.01, seed=7, band=0.045),
        ),
        FigureSeen(
            "value",
            ">= 120",
            168.2,
            141.5,
            129.0,
            154.0,
            8112,
            why_not="value is not estimated: of 9 weeks the estimate was outside its interval in 3",
            evidence=1.1,
            line=line(165, 142, noise=9, seed=8, band=14, until=_DAYS - 4),
        ),
    ),
    slices=tuple(
        FigureSeen(f"origin={name} recall", ">= 0.6", 0.66, value, value - 0.03, value + 0.03, 2700, evidence=e)
        for name, value, e in (("EWR", 0.551, 3.1), ("JFK", 0.59, 1.0), ("LGA", 0.612, 0.1))
    ),
    coverage=0.83,
    covered=line(0.97, 0.83, noise=0.01, seed=9, until=_DAYS - 2),
    traffic=line(1400, 1500, noise=90, seed=11),
    sources=(
        SourceSeen("log", "predictions/*.parquet", 12345, NOW - 200, 310, 12),
        SourceSeen("labels", "warehouse, table arrivals", 10246, NOW - 2 * DAY),
    ),
    baseline=BaselineSeen(
        NOW - 71 * DAY,
        162_000,
        f"sha256:{'ab' * 32}",
        f"sha256:{'cd' * 32}",
        f"sha256:{'ef' * 32}",
        "5f0c3d9e8b7a4c1d",
        datetime(2026, 1, 1, tzinfo=UTC).timestamp(),
        datetime(2026, 6, 30, 23, tzinfo=UTC).timestamp(),
        "flights-2026-h1.parquet",
        zone="America/New_York",
        season=("hour", "weekday"),
    ),
    examples=(
        Example("features", "dep_hour", ("dep_hour=19, origin=JFK, dest=LAX", "dep_hour=18, origin=EWR, dest=ORD")),
        Example("predictions", "predictions", ("req-7f3a", "req-80b1", "req-80c4")),
    ),
    done=(
        Done("notify", NOW, "done", "2 addresses were told that recall was opened"),
        Done("retrain", NOW, "skipped", "the last training was asked for 2 d ago; the cool-down is 7 d"),
    ),
    age=71 * DAY,
    before=NOW - 3600,
    facts=(("owner", "flight-ops"),),
)

TROUBLES = (
    Trouble("registry", "the registry does not answer (connection refused)", NOW - 7200),
    Trouble("labels", "labels/*.parquet: there is no such file", NOW),
)

#: All is well.
WITHIN = replace(
    BREACH,
    findings=tuple(replace(one, over=False, alarm=False, since=None, severity=0) for one in FINDINGS),
    incidents=INCIDENTS[3:],
    events=(),
    features=tuple(replace(one, breach=False, over=(), since=None, evidence=0.4) for one in FEATURES),
    figures=tuple(replace(one, breach=False, since=None, evidence=0.2) for one in BREACH.figures),
    examples=(),
    done=(),
)
#: Nobody could be asked, and nothing is known to be wrong.
DEAD = replace(WITHIN, troubles=TROUBLES)
#: The first pass, without a window.
EMPTY = Seen("flight-delay", "3", "mlship.yaml", NOW, 4.94)
