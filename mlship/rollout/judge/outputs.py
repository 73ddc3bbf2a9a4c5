"""What both arms predict: classes one against the rest and all together, scores beyond stable's quantiles. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from mlship.rollout.judge.bets import shift
from mlship.rollout.judge.evidence import Count, Evidence, Outputs, Signal
from mlship.stats import eprocess, histogram, multinomial
from mlship.stats.eprocess import EProcess
from mlship.types import Observation, Predictions

#: Predictions of stable that fix the classes and cuts; until then a window gives no evidence about them.
WARM_UP = 200
#: Classes that are looked at by themselves, the most frequent ones; the others are one more.
CLASSES = 12
#: Stable's quantiles that become cuts. Counted is the smaller side, where a ratio says most.
CUTS: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
#: Share of the bet on all classes together, against one class against the rest.
TOGETHER = 0.5


def look(signal: Signal, evidence: Evidence, observation: Observation) -> Signal:
    """The signal after one window in which the arms were assigned at random, or one got copies.

    Classes, cuts and guesses are those of EARLIER windows only: a bet that peeks at its own window is void.
    """
    known, canary, stable = evidence.outputs, observation.canary.predictions, observation.stable.predictions
    if known is None or known.names is None or canary is None or stable is None or observation.testers:
        return signal
    (*xs, nc), (*ys, ns) = _counts(known, canary), _counts(known, stable)
    if not nc + ns:
        return signal
    windows = [((x, y), (nc, ns)) for x, y in zip(xs, ys, strict=True)]
    copies = bool(observation.mirror)
    singles = [
        eprocess.update_all(process, [window], copies=copies)
        for process, window in zip(signal.processes, windows, strict=False)
    ]
    if known.names:
        won = multinomial.growth(_classes(known), (xs[: _width(known)], ys[: _width(known)]), evidence.margin)
        purse = signal.processes[-1]
        singles.append(eprocess.with_sums(purse, (s + won for s in purse.sums)))
    signal = replace(
        signal,
        processes=tuple(singles),
        inflation=evidence.units.rows_per_request * evidence.units.requests_per_user,
    )
    return _shown(signal, _added(known, (*xs, nc), (*ys, ns)))


def learn(evidence: Evidence, observation: Observation) -> Evidence:
    """The evidence with this window's predictions remembered; fixes what to bet on once stable has shown enough."""
    known, stable = evidence.outputs, observation.stable.predictions
    if known is None or stable is None:
        return evidence
    if known.names is not None:
        canary = observation.canary.predictions
        if canary is None or observation.testers:
            return evidence
        return replace(evidence, outputs=_added(known, _counts(known, canary), _counts(known, stable)))
    classes = Counter(dict(known.classes)) + Counter(dict(stable.classes))
    scores = Counter(dict(known.scores)) + Counter(dict(stable.scores))
    known = replace(known, classes=tuple(sorted(classes.items())), scores=tuple(sorted(scores.items())))
    if classes.total() + scores.total() < WARM_UP:
        return replace(evidence, outputs=known)
    known = _fixed(classes, scores)
    signals = tuple(
        _opened(signal, known, evidence) if signal.name == "predictions" else signal for signal in evidence.signals
    )
    return replace(evidence, outputs=known, signals=signals)


def category(known: Outputs, index: int) -> str:
    """One category or cut, as people call it."""
    names = known.names or ()
    if index < len(names):
        return f"'{names[index]}'"
    if names and index == len(names):
        return "other classes"
    share = CUTS[index - _width(known)]
    side = "up to" if share < 0.5 else "above"
    return f"scores {side} stable's {100 * share:g} % quantile"


def told(signal: Signal, known: Outputs) -> int:
    """Index of the category or cut that says most, of those that were seen at all."""
    single = signal.processes[: len(known.canary) - 1]
    logs = [
        eprocess.log_e(process) if mine + theirs else -math.inf
        for process, mine, theirs in zip(single, known.canary, known.stable, strict=False)
    ]
    return logs.index(max(logs))


def _fixed(classes: Counter[str], scores: Counter[int]) -> Outputs:
    names = tuple(sorted(name for name, _ in sorted(classes.items(), key=lambda item: (-item[1], item[0]))[:CLASSES]))
    buckets = sorted(scores)
    counts = [scores[bucket] for bucket in buckets]
    cuts = tuple(buckets[histogram.quantile_bucket(counts, share) or 0] for share in CUTS) if buckets else ()
    nothing = (0,) * (len(names) + bool(names) + len(cuts) + 1)
    return Outputs(names=names, cuts=cuts, canary=nothing, stable=nothing)


def _opened(signal: Signal, known: Outputs, evidence: Evidence) -> Signal:
    """The signal with its bets, once it is known on what; each has as much on it as the stages so far."""
    staked = 1 - sum(evidence.stakes)
    classes, cuts = _width(known), len(known.cuts)
    single = (shift(evidence.margin, staked),) * (classes + cuts)
    if not classes:
        return replace(signal, processes=single)
    half = 0.5 if cuts else 1.0
    each = (*((half * (1 - TOGETHER) / classes,) * classes), *(((1 - half) / cuts,) * cuts if cuts else ()))
    purse = EProcess((1.0,), (math.log(staked),), evidence.margin, (), 1 - staked)
    return replace(signal, processes=(*single, purse), weights=(*each, half * TOGETHER))


def _counts(known: Outputs, predictions: Predictions) -> tuple[int, ...]:
    """By class and the others, then beyond each cut, then all; what is of another kind than stable's counts as well."""
    total = predictions.total
    counts = []
    if known.names:
        named = [predictions.classes.get(name, 0) for name in known.names]
        rest = total - sum(named) - (sum(predictions.scores.values()) if known.cuts else 0)
        counts = [*named, rest]
    if known.cuts:
        counts += _beyond(known.cuts, predictions)
    return (*counts, total)


def _beyond(cuts: Sequence[int], predictions: Predictions) -> list[int]:
    buckets = sorted(predictions.scores)
    running = [0, *accumulate(predictions.scores[bucket] for bucket in buckets)]
    counts = []
    for share, cut in zip(CUTS, cuts, strict=True):
        up_to = running[sum(bucket <= cut for bucket in buckets)]
        counts.append(up_to if share < 0.5 else running[-1] - up_to)
    return counts


def _width(known: Outputs) -> int:
    """How many categories of classes there are, the others included."""
    return len(known.names or ()) + bool(known.names)


def _classes(known: Outputs) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return known.canary[: _width(known)], known.stable[: _width(known)]


def _added(known: Outputs, canary: Sequence[int], stable: Sequence[int]) -> Outputs:
    return replace(
        known,
        canary=tuple(map(sum, zip(known.canary, canary, strict=True))),
        stable=tuple(map(sum, zip(known.stable, stable, strict=True))),
    )


def _shown(signal: Signal, known: Outputs) -> Signal:
    """The signal with the counts of the category that says most."""
    index = told(signal, known)
    mine: Count = (known.canary[index], known.canary[-1])
    return replace(signal, canary=mine, stable=(known.stable[index], known.stable[-1]))
