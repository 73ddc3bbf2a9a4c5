"""The forecast beside the judge: `python tests/benchmarks/planning.py [--runs 150] [--seed 7] [--only WORD]`.

What `plan` and `validate` tell in advance (the smallest regression that a stage sees with a chance of 80 %, requests
that show it, requests that a certificate takes) beside what the real judge does in simulated rollouts, through its
public interface (`planning_worlds.py`): healthy before the stage, looked at ten times in each. In each rollout the
smallest ratio that is convicted is found by halving, with the same luck at every ratio; 80 % of these are below the
simulation's figure.

A table on stderr as it goes, with the 95 % interval of each figure; the last line of stdout is one JSON object. Exit
code 1 when a forecast is off by more than 20 % from the nearer end of its interval.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).parents[2]))

from mlship.rollout import judge
from mlship.rollout.foresee import WORSE, WRONG, Sight, foresee, takes
from mlship.rollout.judge import Evidence, Guards
from mlship.types import ArmWindow, LabelWindow, Observation
from tests.benchmarks.planning_worlds import CASES, DEFAULT, STRICT, Case, least, weights

#: A forecast may be off by so much.
TOLERATED = 0.2
#: The chance that is told.
RELIABLY = 0.8

#: Guards, weight, stable's errors, the canary's over these.
SEEN = (
    (DEFAULT, 0.05, 0.005, 2.0),
    (DEFAULT, 0.05, 0.005, 10.0),
    (STRICT, 0.25, 0.005, 2.0),
    (DEFAULT, 0.5, 0.02, 3.0),
    (DEFAULT, 0.01, 0.001, 20.0),
)
#: Factor, weight, negligible rate, stable's errors.
PROVED = ((3.0, 0.5, 0.0, 0.005), (2.0, 0.25, 0.0, 0.005), (1.5, 0.5, 0.0, 0.02), (3.0, 0.1, 0.01, 0.0005))


@dataclass(frozen=True)
class Figure:
    """One forecast beside its simulation; None: nothing is seen, or never."""

    case: str
    what: str
    told: float | None
    seen: float | None
    low: float | None
    high: float | None
    """The 95 % interval of `seen`."""

    @property
    def off(self) -> float:
        """By how much the forecast is above the simulation, as a share of this."""
        if self.told is None or self.seen is None:
            return 0.0 if self.told is self.seen else math.inf
        return self.told / self.seen - 1

    @property
    def missed(self) -> bool:
        """Whether it is surely off by more than what is tolerated."""
        if self.told is None:
            return self.low is not None and self.high is not None
        return self.told > (1 + TOLERATED) * (self.high or math.inf) or (
            self.told < (1 - TOLERATED) * (self.low or math.inf)
        )


def figure(case: str, what: str, told: float | None, found: Sequence[float], share: float) -> Figure:
    """The quantile of what was found, with the interval of its order statistics."""
    ordered, n = sorted(found), len(found)
    ranks = [math.ceil(share * n) - 1, int(binom.ppf(0.025, n, share)) - 1, int(binom.ppf(0.975, n, share))]
    seen = [ordered[min(max(rank, 0), n - 1)] for rank in ranks]
    told = told if told is not None and math.isfinite(told) else None
    return Figure(case, what, told, *(one if math.isfinite(one) else None for one in seen))


def sights(case: Case, runs: int, random: np.random.Generator) -> Iterator[Figure]:
    """What every stage sees, and all stages together: the canary's rate."""
    foresight = foresee(case.guards, case.steps, case.traffic)
    spans = [((index, index), stage) for index, stage in enumerate(foresight.stages)]
    spans.append(((0, len(case.steps) - 1), foresight.whole))
    for span, stage in spans:
        step = case.steps[span[0]]
        alone = f"{step.mirror:.0%} copies" if step.mirror else f"{step.weight:.0%}"
        for sight in stage.sights:
            found = [sight.base * least(case, sight.signal, sight.base, span, random) for _ in range(runs)]
            what = f"{'all of it' if span[0] != span[1] else alone}: {sight.signal} {100 * sight.base:g} % ->"
            yield figure(case.name, what, sight.least, found, RELIABLY)


def requests(runs: int, random: np.random.Generator) -> Iterator[Figure]:
    """Requests that show a regression, in 80 % of the rollouts; those that a certificate takes, in half of them."""
    for guards, weight, base, ratio in SEEN:
        case = Case("requests", guards, weights(weight), 100, base)
        told = takes(guards, case.steps, 0, sight=Sight("errors", base, None), worse=base * ratio, traffic=case.traffic)
        found = [_until(case, (base * ratio, base), told, _convicted, random) for _ in range(runs)]
        what = f"{weight:.0%}, margin {guards.errors:g}: errors {100 * base:g} -> {100 * base * ratio:g} %"
        yield figure(case.name, what, told, found, RELIABLY)
    for factor, weight, negligible, base in PROVED:
        guards = Guards(errors=1.25, certify=(("errors", factor),), negligible=negligible)
        case = Case("certificate, requests", guards, weights(weight, seconds=0.1), 1, base)
        told = foresee(guards, case.steps, case.traffic).certificates[0].requests
        found = [_until(case, (base, base), told, _proved, random) for _ in range(runs)]
        yield figure(case.name, f"{weight:.0%}: errors of {100 * base:g} % below {factor:g}x", told, found, 0.5)
    case = Case("labels", Guards(errors=1.25, latency=1.25, labels=1.1), weights(0.5), 100)
    labels = foresee(case.guards, case.steps, case.traffic).labels or math.inf
    found = [_until(case, (WORSE, WRONG), labels, _convicted, random, labels=True) for _ in range(runs)]
    yield figure(case.name, "50%: labels 10 -> 15 % wrong", labels, found, RELIABLY)


def _convicted(evidence: Evidence) -> bool:
    return evidence.total >= evidence.limit


def _proved(evidence: Evidence) -> bool:
    return not judge.unproved(evidence)


def _until(
    case: Case,
    rates: tuple[float, float],
    told: float,
    reached: Callable[[Evidence], bool],
    random: np.random.Generator,
    *,
    labels: bool = False,
) -> float:
    """Canary requests (or labels) until something is reached; a look is a thirtieth of what was told.

    `rates`: the canary's, stable's.
    """
    weight, length = case.steps[0].weight, max(1, round(told / 30))
    evidence, seen, at = judge.begin(case.guards, stages=1), 0, 1000
    while not reached(evidence):
        mine = max(1, int(random.poisson(length)))
        theirs = int(random.poisson(length * (1 - weight) / weight))
        bad, worse = int(random.binomial(theirs, rates[1])), int(random.binomial(mine, rates[0]))
        arms = (ArmWindow(theirs, bad, served=theirs), ArmWindow(mine, worse, served=mine))
        told_late: tuple[LabelWindow, ...] = ()
        if labels:
            arms, told_late = (ArmWindow(), ArmWindow()), (LabelWindow(at + 2, (mine, worse), (theirs, bad)),)
        evidence = judge.update(evidence, Observation(float(at), at + 4.0, weight, *arms, told_late))
        seen, at = seen + mine, at + 4
    return float(seen)


def figures(runs: int, seed: int, only: str = "") -> Iterator[Figure]:
    """All of them."""
    for index, case in enumerate(CASES):
        if only in case.name:
            yield from sights(case, runs, np.random.default_rng([seed, index]))
    if not only:
        yield from requests(runs, np.random.default_rng([seed, len(CASES)]))


def main() -> None:
    """Print the table, and the figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=150, help="rollouts behind each figure")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", default="", help="policies whose name has this")
    chosen = parser.parse_args()
    began, found = time.monotonic(), list[Figure]()
    print(f"{'':<29}{'':<42}{'told':>8}{'judge':>8}{'95 %':>16}{'off':>7}", file=sys.stderr)
    for one in figures(chosen.runs, chosen.seed, chosen.only):
        found.append(one)
        print(_row(one), file=sys.stderr, flush=True)
    off = [abs(one.off) for one in found]
    missed = sum(one.missed for one in found)
    print(f"\n{missed} of {len(found)} surely off by more than {TOLERATED:.0%}", file=sys.stderr)
    documents = [
        {**asdict(one), "off": round(one.off, 4) if math.isfinite(one.off) else None, "missed": one.missed}
        for one in found
    ]
    result = {
        "benchmark": "planning",
        "seed": chosen.seed,
        "runs": chosen.runs,
        "seconds": round(time.monotonic() - began, 1),
        "median_off": round(median(off), 4),
        "missed": missed,
        "figures": documents,
    }
    print(json.dumps(result))
    raise SystemExit(1 if missed else 0)


def _row(one: Figure) -> str:
    told, seen, low, high = (_number(one, value) for value in (one.told, one.seen, one.low, one.high))
    off = f"{100 * one.off:+.0f} %" if math.isfinite(one.off) else "-"
    return f"{one.case:<29}{one.what:<42}{told:>8}{seen:>8}{f'{low} to {high}':>16}{off:>7}{' !' * one.missed}"


def _number(one: Figure, value: float | None) -> str:
    if value is None:
        return "never"
    return f"{100 * value:.3g}" if one.what.endswith("->") else f"{value:,.0f}"


if __name__ == "__main__":
    main()
