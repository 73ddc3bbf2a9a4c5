"""The value gate: what the model earns in money per 1,000 predictions, beside what the champion earns."""

from __future__ import annotations

from dataclasses import replace

from mlship.exhibits import Curves, Exhibit, Series
from mlship.gates import limits
from mlship.gates.base import GateContext, Limit, judge, noted, without
from mlship.gates.labelled import too_little
from mlship.gates.metrics.side import Side, same, used_threshold
from mlship.gates.worth import Worth, by_function, by_table
from mlship.policy.gates import ValueGate
from mlship.report.figures import number
from mlship.stats.thresholds import Payoffs, Thresholds, thresholds
from mlship.types import GateResult, Measurement, Status

_PER = 1000
_NAME = "value per 1,000 predictions"
_GAIN = "gain per 1,000 predictions"


class Value:
    """The rules of `gates.value`: least value, and least gain over the champion."""

    name = "value"

    def judge(self, context: GateContext) -> list[GateResult]:
        """A result for `min` and one for `min_gain`, where they are asked for."""
        rules = context.policy.gates.value
        if rules is None:
            return []
        asked = list(limits.value(rules).items())

        def none(status: Status, reason: str) -> list[GateResult]:
            return [without(self.name, kind, status, limit, reason) for kind, limit in asked]

        if (rules.payoff is None) == (rules.function is None):
            return none(Status.ERROR, "it needs one of `payoff` (two classes) and `function` (numbers)")
        if missing := too_little(context):
            return none(Status.INCONCLUSIVE, missing)
        assert context.evaluation is not None, "too_little has looked"
        assert context.evaluation.target is not None, "too_little has looked"
        label = context.evaluation.frame[context.evaluation.target]
        models = [model for model in context.predictions if model is not None]
        try:
            sides = [Side.of(label, model, None, rules.threshold) for model in models]
            worth = _worth(rules, sides, context)
            curves = [] if rules.payoff is None else _by_threshold(rules, sides, context.seed)
        except ValueError as error:
            return none(Status.ERROR, f"{_NAME} cannot be measured here: {' '.join(str(error).split())[:300]}")
        return self._judged(asked, worth, curves, sides, rules)

    def _judged(
        self,
        asked: list[tuple[str, Limit]],
        worth: Worth,
        curves: list[Thresholds],
        sides: list[Side],
        rules: ValueGate,
    ) -> list[GateResult]:
        n = len(sides[0].label)
        measured = [
            Measurement(_NAME, value * _PER, ends[0] * _PER, ends[1] * _PER, n=n, source=worth.source)
            for value, ends in zip(worth.values, worth.ends, strict=True)
        ]
        champion = measured[1] if len(measured) == 2 else None
        results = []
        for kind, limit in asked:
            if kind == "min":
                result = judge(self.name, kind, measured[0], limit, champion=champion)
            elif worth.gain is None:
                reason = "there is no champion yet to compare with"
                result = without(self.name, kind, Status.SKIPPED, limit, reason)
            else:
                value, low, high = (figure * _PER for figure in worth.gain)
                gain = Measurement(_GAIN, value, low, high, n=n, source=worth.source)
                told = f"candidate {number(measured[0].value)}, champion {number(measured[1].value)}"
                told += "; both models give the same predictions on every row" if same(*sides) else ""
                result = judge(self.name, kind, gain, limit, champion=champion, note=told)
            results.append(result)
        if curves and results:
            first = noted(results[0], _best(curves[0], worth.values[0]))
            results[0] = replace(first, exhibits=(_drawn(curves, sides, rules),))
        return results


def _worth(rules: ValueGate, sides: list[Side], context: GateContext) -> Worth:
    if rules.payoff is not None:
        return by_table(_payoffs(rules), sides, context.seed)
    from mlship.gates.metrics import apart

    assert rules.function is not None, "judge has looked"
    return by_function(apart.find(rules.function, context.resolve(".")), sides)


def _payoffs(rules: ValueGate) -> Payoffs:
    assert rules.payoff is not None, "the caller has looked"
    return Payoffs(rules.payoff.tp, rules.payoff.fp, rules.payoff.fn, rules.payoff.tn)


def _by_threshold(rules: ValueGate, sides: list[Side], seed: int) -> list[Thresholds]:
    """Of each model that gives probabilities; empty when the candidate does not."""
    if sides[0].scores is None or sides[0].scores.ndim != 2:
        return []
    return [
        thresholds(side.ranked, side.positive, _payoffs(rules), seed)
        for side in sides
        if side.scores is not None and side.scores.ndim == 2
    ]


def _best(curve: Thresholds, now: float) -> str:
    """The threshold that would earn most, with what it earns on rows that it was not chosen on."""
    gain = (curve.checked - now) * _PER
    if gain <= abs(now) * _PER * 0.005:
        return "another threshold would not earn more"
    best = "predicting the positive class never" if curve.best > 1 else f"a threshold of {number(curve.best)}"
    return (
        f"{best} would earn most: about {number(curve.checked * _PER)}, {number(gain)} more "
        "(chosen on four fifths of these rows and tried on the other, in turn)"
    )


def _drawn(curves: list[Thresholds], sides: list[Side], rules: ValueGate) -> Exhibit:
    """Value by threshold of candidate and champion, on at most 100 thresholds."""
    import numpy as np

    ours = curves[0].at
    spread = ours[np.linspace(0, len(ours) - 1, 49).astype(int)]
    x = np.unique(np.clip(np.concatenate([np.linspace(0, 1, 50), spread, [curves[0].best]]).round(4), 0, 1))
    named = zip(("candidate", "champion"), curves, strict=False)
    series = tuple(
        Series(name, tuple(map(float, x)), tuple(map(float, (curve.value_at(x) * _PER).round(4))))
        for name, curve in named
    )
    used = rules.threshold or _used(sides[0])
    return Curves(
        "Value by threshold",
        "threshold on the probability of the positive class",
        _NAME,
        series,
        note=f"the candidate's highest point is at {number(min(curves[0].best, 1.0))}",
        marked=None if used is None else (used, "in use"),
    )


def _used(side: Side) -> float | None:
    """The threshold that the model itself applies; None when its classes do not follow from one."""
    import numpy as np

    return used_threshold(np.asarray(side.scores)[:, 1], side.values == 1)
