"""What the predictions of candidate and champion earn, per prediction, with paired intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlship.gates.metrics import cells
from mlship.gates.metrics.apart import Function
from mlship.gates.metrics.side import Array, Side, same
from mlship.stats import bootstrap
from mlship.stats.linear import Linear

if TYPE_CHECKING:
    from mlship.stats.thresholds import Payoffs

_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Worth:
    """Value per prediction."""

    values: list[float]
    """Of candidate and, when there is one, champion."""
    ends: list[tuple[float, float]]
    """Of their 95 % intervals."""
    gain: tuple[float, float, float] | None
    """Candidate minus champion, with the ends of its interval; None without a champion."""
    source: str


def by_table(payoffs: Payoffs, sides: list[Side], seed: int) -> Worth:
    """Two classes: the rows as a table of label and each model's answer, drawn from its posterior.

    Raises ``ValueError`` when the models do not predict two classes.
    """
    import numpy as np

    if not all(side.is_binary for side in sides):
        raise ValueError("a payoff table is for two classes; use `function` for anything else")
    table = cells.table(sides)
    assert table is not None, "two classes are a small table"
    _, grid, actual, prior = table
    pay = np.array([[payoffs.tn, payoffs.fp], [payoffs.fn, payoffs.tp]])
    earned = np.stack([pay[grid[0], column] for column in grid[1:]], axis=1)
    values = actual @ earned / actual.sum()
    drawn = bootstrap.posterior_cells(actual, prior, _DRAWS, seed) @ earned / actual.sum()
    ends = [_ends(drawn[:, i], float(values[i])) for i in range(len(sides))]
    gain = None
    if len(sides) == 2:
        apart = float(values[0] - values[1])
        alike = same(*sides)
        gain = (0.0, 0.0, 0.0) if alike else (apart, *_ends(drawn[:, 0] - drawn[:, 1], apart))
    return Worth([float(value) for value in values], ends, gain, "paired bootstrap")


def _ends(drawn: Array, estimate: float) -> tuple[float, float]:
    found = bootstrap.interval(drawn) or (estimate, estimate)
    return min(found[0], estimate), max(found[1], estimate)


def by_function(function: Function, sides: list[Side]) -> Worth:
    """The team's function says what each prediction earns.

    Raises ``ValueError`` when it fails, or gives anything but one finite number a row.
    """
    import numpy as np

    found = []
    for side in sides:
        earned = np.asarray(function.call(side.said, side.chosen), dtype=float)
        if earned.shape != (len(side.label),):
            rows = f"{len(side.label):,} rows"
            raise ValueError(
                f"{function.name} gives an array of shape {earned.shape}, not one number for each of {rows}"
            )
        if not np.isfinite(earned).all():
            raise ValueError(f"{function.name} gives NaN or infinite values")
        found.append(_linear(earned))
    n = len(sides[0].label)
    intervals = [one.interval(n, bootstrap.CONFIDENCE) for one in found]
    ends = [end or (one.value, one.value) for end, one in zip(intervals, found, strict=True)]
    gain = None
    if len(found) == 2:
        apart = found[0].minus(found[1])
        gain = (apart.value, *(apart.interval(n, bootstrap.CONFIDENCE) or (apart.value, apart.value)))
    return Worth([one.value for one in found], ends, gain, f"influence of each row; {function.source}")


def _linear(earned: Array) -> Linear:
    value = float(earned.mean())
    return Linear(value, len(earned), lambda part: earned[part] - value)
