"""Why two columns differ: the few mistakes behind most skew, each claimed only when it explains the differing rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlship.gates.skew.rows import (
    CLOSE,
    EXPLAINS,
    FEWEST,
    SAMPLE,
    Around,
    other_column,
    other_rows,
    recoded,
    spread,
    stale,
)
from mlship.gates.skew.texts import text_causes
from mlship.gates.skew.units import Cause, factor_said, offset_said
from mlship.gates.skew.values import Compared

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def causes(column: Compared, around: Around) -> list[Cause]:
    """The likely causes of a column's differences, the one that explains most rows first; empty when nothing fits.

    Rows that have a value on both sides, on one only and on the other only are explained apart. A cause must explain
    90 % of its rows, of which at least five are needed, and be no accident: what fits random values is not claimed.
    """
    import numpy as np

    differing = int(column.differs.sum())
    found: list[Cause] = []
    for rows, explain in (
        (np.flatnonzero(column.differs & ~column.lost & ~column.filled), _apart),
        (np.flatnonzero(column.filled), _filled),
        (np.flatnonzero(column.lost), _lost),
    ):
        if rows.size < FEWEST:
            continue
        weight = rows.size / differing
        for cause in explain(column, spread(rows, SAMPLE), around):
            if cause.share >= EXPLAINS:
                found.append(Cause(cause.claim, cause.share * weight, cause.guess))
                break
    return sorted(found, key=lambda cause: -cause.share)


def _apart(column: Compared, rows: NDArray[np.int64], around: Around) -> Iterator[Cause]:
    """Causes of rows that have two values, the most specific first."""
    ours, asked = column.offline[rows], column.online[rows]
    if column.kind == "types":
        yield from text_causes(column, rows)
        return
    if column.kind != "text":
        yield from _constant(column, ours, asked)
    yield from stale(column, rows, asked, around)
    if column.kind == "text":
        yield from text_causes(column, rows)
    else:
        yield from _precision(column, ours, asked)
        yield from _arithmetic(column, ours, asked)
    yield from recoded(column, rows)
    yield from other_column(column, rows, asked, around)
    yield from other_rows(column, rows)
    if column.kind == "number":
        yield from _linear(ours, asked)


def _constant(column: Compared, ours: Any, asked: Any) -> Iterator[Cause]:
    """One value wherever it differs: a default, a clip, or a column that was never filled."""
    import numpy as np

    values, counts = np.unique(asked, return_counts=True)
    value, share = values[counts.argmax()], float(counts.max() / counts.sum())
    if len(np.unique(ours)) < 3:
        return
    shown = column.said(value)
    every = column.online[spread(np.arange(len(column.online)), SAMPLE)]
    if float((every == value).mean()) > 0.999:
        yield Cause(f"online is always {shown}", share, "a default, because the feature is never computed or looked up")
        return
    left = ours[asked == value]
    if bool((left < value).all()) and float(np.nanmin(every)) >= value:
        yield Cause(
            f"online is cut off at {shown} (offline goes down to {column.said(left.min())})",
            share,
            "clipped on one side only",
        )
    elif bool((left > value).all()) and float(np.nanmax(every)) <= value:
        yield Cause(
            f"online is cut off at {shown} (offline goes up to {column.said(left.max())})",
            share,
            "clipped on one side only",
        )
    else:
        yield Cause(f"online is {shown} whatever offline is", share, "a default, because the look-up finds nothing")


def _precision(column: Compared, ours: Any, asked: Any) -> Iterator[Cause]:
    """The same value with fewer digits."""
    import numpy as np

    for full, less, coarse, fine in ((ours, asked, "online", "offline"), (asked, ours, "offline", "online")):
        if column.kind == "time":
            for unit, word in ((1.0, "second"), (60.0, "minute"), (3600.0, "hour"), (86400.0, "day")):
                yield Cause(
                    f"{coarse} is {fine} without what follows the {word}",
                    float((np.abs(np.floor(full / unit) * unit - less) <= 1.5e-6).mean()),
                )
            return
        with np.errstate(over="ignore", invalid="ignore"):
            for kind in (np.float32, np.float16):
                yield Cause(
                    f"{coarse} is {fine} as {kind.__name__}",
                    _hits(full.astype(kind).astype(float), less, 0.0),
                    "stored in a smaller type",
                )
            if bool((less == np.trunc(less)).mean() >= EXPLAINS):
                yield Cause(
                    f"{coarse} is {fine} cut to a whole number", _hits(np.trunc(full), less, 0.0), "cast to an integer"
                )
            for digits in range(-3, 7):
                step = 10.0**-digits
                on_grid = np.abs(less / step - np.round(less / step)) <= 1e-6 * np.maximum(1, np.abs(less / step))
                near = np.abs(full - less) <= step * 0.5 * (1 + 1e-6)
                # Of noise smaller than the step, and of whole numbers on a grid of tens, half a step would be common.
                fits = on_grid & near
                if fits.mean() >= EXPLAINS and len(np.unique(less)) >= 3:
                    said = (
                        f"rounded to {digits} digit{'s' if digits != 1 else ''}"
                        if digits > 0
                        else "rounded to a whole number"
                        if digits == 0
                        else f"rounded to {int(step):,}s"
                    )
                    yield Cause(f"{coarse} is {fine} {said}", float(fits.mean()), "rounded on one side only")


def _arithmetic(column: Compared, ours: Any, asked: Any) -> Iterator[Cause]:
    """A constant factor or offset, or a function of the value."""
    import numpy as np

    if len(np.unique(ours)) < 3:
        return
    functions: tuple[tuple[str, Any], ...] = (
        ("the logarithm of", np.log),
        ("log(1 + x) of", np.log1p),
        ("the square root of", np.sqrt),
    )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if column.kind == "number":
            ratios = asked / ours
            factor = float(np.nanmedian(ratios[np.isfinite(ratios)])) if np.isfinite(ratios).any() else 0.0
            if factor != 0 and abs(factor - 1) > 1e-3:  # nearer than that, it is rounding
                claim, guess, factor = factor_said(factor)
                if factor == -1 and (column.online < 0).mean() < 0.1 * (column.offline < 0).mean():
                    claim, guess = "online is offline without its sign", "transformed on one side only"
                yield Cause(claim, _hits(ours * factor, asked, rounding=_rounding(asked)), guess)
        moved = asked - ours
        if np.isfinite(moved).any():
            offset = float(np.nanmedian(moved[np.isfinite(moved)]))
            scale = max(abs(offset), 1e-300)
            steady = np.abs(moved - offset) <= (1.5e-6 if column.kind == "time" else 1e-6 * scale + 1e-9 * np.abs(ours))
            claim, guess = offset_said(offset, is_time=column.kind == "time")
            yield Cause(claim, float(steady.mean()), guess)
        if column.kind == "number":
            for name, function in functions:
                yield Cause(f"online is {name} offline", _hits(function(ours), asked), "transformed on one side only")
                yield Cause(f"offline is {name} online", _hits(function(asked), ours), "transformed on one side only")


def _linear(ours: Any, asked: Any) -> Iterator[Cause]:
    """Both a factor and an offset: standardised, or another temperature scale. By the median slope (Theil and Sen)."""
    import numpy as np

    if len(np.unique(ours)) < FEWEST or len(np.unique(asked)) < FEWEST:
        return
    by = np.argsort(ours, kind="stable")
    half = len(by) // 2
    low, high = by[:half], by[half : 2 * half]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slopes = (asked[high] - asked[low]) / (ours[high] - ours[low])
        slopes = slopes[np.isfinite(slopes)]
        if not slopes.size or float(np.median(slopes)) == 0:
            return
        slope = float(np.median(slopes))
        start = float(np.median(asked - slope * ours))
        spread_of = float(np.std(asked[np.isfinite(asked)]))
        share = float((np.abs(asked - slope * ours - start) <= 1e-4 * spread_of).mean())
    if abs(slope - 1.8) < 1e-3 and abs(start - 32) < 0.05:
        yield Cause("online is offline x 1.8 + 32", share, "Celsius against Fahrenheit")
    elif abs(slope - 1 / 1.8) < 1e-3:
        yield Cause("online is (offline - 32) / 1.8", share, "Fahrenheit against Celsius")
    else:
        centre, width = -start / slope, 1 / slope
        sign = "+" if centre < 0 else "-"
        claim = f"online is (offline {sign} {abs(centre):.4g}) / {width:.4g}"
        yield Cause(claim, share, "standardised or scaled on one side only")


def _filled(column: Compared, rows: NDArray[np.int64], _around: Around) -> Iterator[Cause]:
    """Online has a value where offline has none."""
    import numpy as np

    asked = column.online[rows]
    values, counts = np.unique(asked, return_counts=True)
    value, share = values[counts.argmax()], float(counts.max() / counts.sum())
    if share >= EXPLAINS:
        what = column.said(value)
        if column.kind in ("number", "time") and (known := _named(column, float(value))):
            what += f", {known}"
        yield Cause(f"online is {what} where offline is missing", share, "a default is filled in online only")
    yield Cause(
        "online has values where offline is missing", 1.0, "offline lost them in a join, or online fills them in"
    )


def _named(column: Compared, value: float) -> str:
    """The mean or the median of the offline column, when the value is that."""
    import numpy as np

    for name, figure in (("the mean of the offline values", np.nanmean), ("their median", np.nanmedian)):
        if value not in (0.0, -1.0) and abs(float(figure(column.offline)) - value) <= 1e-3 * abs(value):
            return name.replace("their", "the offline")
    return ""


def _lost(column: Compared, rows: NDArray[np.int64], _around: Around) -> Iterator[Cause]:
    """Online has no value where offline has one."""
    import numpy as np

    ours = column.offline[rows]
    values, counts = np.unique(ours, return_counts=True)
    share = float(counts.max() / counts.sum())
    everywhere = column.offline[spread(np.arange(len(column.offline)), SAMPLE)]
    value = values[counts.argmax()]
    if share >= EXPLAINS and float((everywhere == value).mean()) < share / 2 + 0.45 and len(rows) < len(column.offline):
        shown = column.said(value)
        yield Cause(f"online is missing where offline is {shown}", share, "a default is filled in offline only")
    yield Cause("online is missing", 1.0, "not found in the look-up, expired, or the join key has another type online")


def _hits(expected: Any, seen: Any, close: float = CLOSE, rounding: float = 0.0) -> float:
    """Share of rows in which the expectation is met, within `close` of the value or `rounding`, whichever is more."""
    import numpy as np

    with np.errstate(invalid="ignore", over="ignore"):
        allowed = np.maximum(close * np.abs(seen), rounding)
        return float(((np.abs(expected - seen) <= allowed) | (expected == seen)).mean())


def _rounding(seen: Any) -> float:
    """Half of the last decimal place that is used, when the values have so many places that this is next to nothing."""
    import numpy as np

    finite = np.abs(seen[np.isfinite(seen) & (seen != 0)])
    if not finite.size:
        return 0.0
    usual = float(np.median(finite))
    for places in range(1, 10):
        half = 0.5 * 10.0**-places
        if half <= 1e-3 * usual and bool((np.abs(finite - np.round(finite, places)) <= 1e-12 * finite).all()):
            return half * (1 + 1e-6)
    return 0.0
