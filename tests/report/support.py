"""An evaluation as people meet it: every status, every kind of exhibit, figures that hang together."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from mlship.exhibits import Curves, Heat, Series, Table
from mlship.types import Candidate, Evaluation, GateResult, Measurement, ModelVersion, Status

CANDIDATE = Candidate(
    ModelVersion("flight-delay", "3", "sha256:" + "3f9a" * 16, Path("/nowhere"), "d41c5cf25ab04ad78bd2d23e9e2a3c11"),
    ModelVersion("flight-delay", "2", "sha256:" + "77b1" * 16, Path("/nowhere")),
)

_N = 28_293


def _points(n: int) -> list[float]:
    return [i / (n - 1) for i in range(n)]


def _roc(power: float) -> tuple[float, ...]:
    return tuple(x**power for x in _points(80))


ROC = Curves(
    "ROC",
    "false positive rate",
    "true positive rate",
    (
        Series("candidate (AUC 0.943)", tuple(_points(80)), _roc(0.11)),
        Series("champion (AUC 0.931)", tuple(_points(80)), _roc(0.15)),
    ),
    diagonal=True,
)
PRECISION_RECALL = Curves(
    "Precision and recall",
    "recall",
    "precision",
    (
        Series("candidate", tuple(_points(90)), tuple(1 - 0.68 * x**6 - 0.05 * x for x in _points(90))),
        Series("champion", tuple(_points(90)), tuple(1 - 0.68 * x**5 - 0.08 * x for x in _points(90))),
    ),
)
CALIBRATION = Curves(
    "Calibration",
    "predicted probability",
    "observed share of late flights",
    (
        Series(
            "candidate",
            (0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95),
            (0.04, 0.13, 0.26, 0.37, 0.44, 0.58, 0.68, 0.74, 0.87, 0.97),
            (0.03, 0.11, 0.23, 0.33, 0.40, 0.53, 0.63, 0.70, 0.84, 0.96),
            (0.05, 0.15, 0.29, 0.41, 0.48, 0.63, 0.73, 0.78, 0.90, 0.98),
        ),
        Series("champion", (0.05, 0.25, 0.5, 0.75, 0.95), (0.09, 0.31, 0.55, 0.71, 0.9)),
    ),
    diagonal=True,
    note="A bar is the 95 % interval of its bin.",
)
CONFUSION = Heat(
    "Confusion, by the label",
    ("predicted on time", "predicted late"),
    ("on time", "late"),
    ((0.958, 0.042), (0.242, 0.758)),
    shares=True,
    note="Rows of one label add up to 100 %.",
)
SLICES = Table(
    "Worst slices",
    ("slice", "rows", "recall", "champion", "95 % interval"),
    (
        ("origin=LGA, carrier=MQ", 1_012, 0.412, 0.447, "0.358 to 0.469"),
        ("carrier=HA", 31, None, None, "too few rows"),
        ("origin=EWR, distance=1,089 to 4,983", 2_411, 0.473, 0.461, "0.437 to 0.510"),
        ("carrier=EV", 4_640, 0.521, 0.518, "0.499 to 0.543"),
    ),
    note="Intervals hold for all 61 slices at once.",
)
DRIFT = Heat(
    "Distance from the first half of the year (PSI)",
    ("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    ("dep_delay", "hour", "carrier", "distance", "predictions", "outcomes"),
    (
        (0.012, 0.034, 0.281, 0.144, 0.131, 0.052),
        (0.002, 0.003, 0.004, 0.003, 0.004, 0.006),
        (0.004, 0.005, 0.009, 0.012, 0.021, 0.018),
        (0.001, 0.001, 0.002, 0.002, None, 0.003),
        (0.021, 0.044, 0.312, 0.187, 0.168, 0.061),
        (0.018, 0.039, 0.226, 0.121, 0.109, 0.044),
    ),
    limit=0.2,
    note="September differs most.",
)
SKEW = Table(
    "dep_delay: first rows that differ",
    ("flight_id", "offline", "online", "difference"),
    (("UA-1545-2013-07-01", 2.0, 0.0333, -1.9667), ("DL-461-2013-07-01", -6.0, -0.1, 5.9)),
    note="online = offline / 60: minutes in one, hours in the other?",
)
ROBUSTNESS = Curves(
    "Average precision under noise",
    "noise, in standard deviations",
    "average precision",
    (
        Series("candidate", (0, 0.05, 0.1, 0.2, 0.4), (0.893, 0.889, 0.871, 0.822, 0.741)),
        Series("champion", (0, 0.05, 0.1, 0.2, 0.4), (0.887, 0.884, 0.87, 0.83, 0.77)),
    ),
    marked=(0.1, "the policy's noise"),
)
VALUE = Curves(
    "Value by threshold",
    "threshold",
    "money per 1,000 predictions",
    (
        Series(
            "candidate",
            tuple(_points(60)),
            tuple(-2400 + 5200 * math.sin(math.pi * x**0.8) for x in _points(60)),
            tuple(-2500 + 5200 * math.sin(math.pi * x**0.8) for x in _points(60)),
            tuple(-2300 + 5200 * math.sin(math.pi * x**0.8) for x in _points(60)),
        ),
        Series("champion", tuple(_points(60)), tuple(-2600 + 5100 * math.sin(math.pi * x**0.8) for x in _points(60))),
    ),
    marked=(0.42, "earns most: 0.42"),
)


def measured(metric: str, value: float, half: float, n: int = _N) -> Measurement:
    """A measurement with a symmetric interval."""
    return Measurement(metric, value, value - half, value + half, n, "paired bootstrap")


RESULTS = (
    GateResult("ownership", "review_by", Status.PASSED, "not past", "the review is due on 2027-06-30"),
    GateResult("ownership", "runbook", Status.SKIPPED, "exists", "owner.runbook is not set"),
    GateResult(
        "security", "scan", Status.PASSED, "nothing unsafe", "3 files scanned: nothing that runs code on loading"
    ),
    GateResult(
        "contract",
        "max_missing",
        Status.PASSED,
        "<= 1%",
        "largest missing share is 0.12%, within the limit 1% (28,293 rows); column 'tailnum' lacks most",
        Measurement("largest missing share", 0.0012, n=_N),
    ),
    GateResult(
        "skew",
        "max_mismatch",
        Status.FAILED,
        "<= 0.1%",
        "dep_delay differs in 99.2% of 1,998 matched rows: online = offline / 60, such as 2 and 0.0333 for "
        "flight_id UA-1545-2013-07-01",
        Measurement("largest share of values that differ", 0.992, n=1998),
        exhibits=(SKEW,),
    ),
    GateResult(
        "drift",
        "predictions psi",
        Status.FAILED,
        "<= 0.1",
        "the predictions moved by PSI 0.312 in Sep, beyond the limit 0.1",
        Measurement("largest PSI", 0.312, n=104_218),
        exhibits=(DRIFT,),
    ),
    GateResult(
        "drift",
        "features psi",
        Status.PASSED,
        "<= 0.3",
        "dep_delay moved most, by PSI 0.281",
        Measurement("largest PSI", 0.281, n=104_218),
        exhibits=(DRIFT,),
    ),
    GateResult(
        "metrics",
        "average_precision min",
        Status.PASSED,
        ">= 0.8",
        "average_precision is 0.893 (95 % interval 0.888 to 0.898, 28,293 rows): its lower end keeps the limit 0.8",
        measured("average_precision", 0.893, 0.005),
        measured("average_precision", 0.887, 0.005),
        (ROC, PRECISION_RECALL, CALIBRATION, CONFUSION),
    ),
    GateResult(
        "metrics",
        "average_precision max_drop",
        Status.PASSED,
        ">= 0",
        "average_precision difference is 0.006: its lower end keeps the limit 0",
        measured("average_precision difference", 0.006, 0.0012),
        measured("average_precision", 0.887, 0.005),
    ),
    GateResult(
        "metrics",
        "recall min",
        Status.INCONCLUSIVE,
        ">= 0.75",
        "recall is 0.758 (95 % interval 0.749 to 0.767, 28,293 rows): the value keeps the limit 0.75 but its lower end "
        "does not; it needs about 36,000 rows",
        measured("recall", 0.758, 0.009),
        measured("recall", 0.741, 0.009),
    ),
    GateResult("metrics", "r2 min", Status.ERROR, ">= 0", "r2 needs numbers", Measurement("r2", float("nan"))),
    GateResult(
        "slices",
        "recall min",
        Status.INCONCLUSIVE,
        ">= 0.4",
        "the worst of 61 slices is origin=LGA, carrier=MQ: recall is 0.412 (0.358 to 0.469, 1,012 rows)",
        Measurement("recall of the worst slice", 0.412, 0.358, 0.469, 1012),
        Measurement("recall of the worst slice", 0.447, 0.392, 0.503, 1012),
        (SLICES,),
    ),
    GateResult(
        "value",
        "min_gain",
        Status.PASSED,
        ">= 0",
        "the gain over the champion is 212 per 1,000 predictions (95 % interval 160 to 264)",
        Measurement("gain", 212, 160, 264, _N),
        Measurement("value", 2_480, 2_400, 2_560, _N),
        (VALUE,),
    ),
    GateResult(
        "robustness",
        "noise max_drop",
        Status.PASSED,
        ">= -0.05",
        "average_precision falls by 0.022 under noise of 10%",
        Measurement("drop", -0.022, -0.026, -0.018, 20_000),
        Measurement("drop", -0.017, -0.021, -0.013, 20_000),
        (ROBUSTNESS,),
    ),
)

EVALUATION = Evaluation(
    "01jd5z0k3v8qf",
    CANDIDATE,
    "sha256:" + "51d3" * 16,
    "sha256:" + "e01a" * 16,
    RESULTS,
    1763690000.5,
    31.24,
    "9610d3bf948b47ddbd881864b1505b40",
    reference_digest="sha256:" + "b7f4" * 16,
    recent_digest="sha256:" + "aa01" * 16,
    who="ada@example.com",
)

#: Text that is markup, a mention, another script, a wide script, an emoji, or very long without a space.
NASTY = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>&amp;'",
    "]]></style></svg><b>",
    "@team | `code` [link](javascript:1)",
    "Verspätung über 15 Minuten",
    "\u202eright to left\u202c עברית العربية",
    "航空便の遅延予測モデル",
    "🛫🛬",
    "half a pair \ud800 and a bell \x07 and a null \x00",
    "a" * 400,
)


def nasty() -> Evaluation:
    """Every name and every text is something that a careless report would trip over."""
    names = NASTY
    table = Table(names[0], names[:4], tuple((name, None, 1.5, 3) for name in names), names[1], shares=(names[2],))
    heat = Heat(names[2], names[:3], names[3:6], ((0.1, None, math.nan), (1e9, -1e-9, 0.0), (math.inf, 2, 3)), names[4])
    curve = Curves(
        names[1],
        names[0],
        names[9],
        tuple(Series(name, (0.0, 1.0, math.nan, 2.0), (0.0, math.inf, 1.0, 2.0)) for name in names),
        marked=(0.5, names[0]),
    )
    results = tuple(
        GateResult(name, names[-1 - i], status, name, f"{name} said", exhibits=(table, heat, curve))
        for i, (name, status) in enumerate(zip(names, [*Status, *Status], strict=True))
    )
    version = replace(CANDIDATE.version, model=names[0], version=names[1])
    return replace(EVALUATION, candidate=Candidate(version, None), results=results, run_id=names[2], who=names[3])


def many(count: int = 40) -> Evaluation:
    """An evaluation of many rules over a few gates, each with exhibits of its own."""
    results = []
    for number in range(count):
        base = RESULTS[number % len(RESULTS)]
        exhibits = tuple(replace(each, title=f"{each.title} {number}") for each in base.exhibits)
        results.append(replace(base, rule=f"{base.rule} {number}", exhibits=exhibits))
    return replace(EVALUATION, results=tuple(results))
