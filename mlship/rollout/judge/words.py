"""What the evidence says, in sentences a person would say. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mlship.rollout.judge import outputs, telemetry
from mlship.rollout.judge.evidence import Count, Evidence, Signal
from mlship.rollout.judge.latency import COLD_START, SHOWN, WARM_UP
from mlship.rollout.judge.numbers import number, percent, rate
from mlship.stats import eprocess
from mlship.types import LATENCY_BOUNDS_MS

#: What a signal says that has seen nothing of the canary, or nothing to compare it with.
_NOTHING = "nothing seen yet"
#: Signals that a sentence tells of at most.
_TOLD = 2
#: What the evidence of a signal that only pauses or warns weighs in a sentence, beside those that roll back.
_ASIDE = 0.1


@dataclass(frozen=True, slots=True)
class Row:
    """One signal, for a view."""

    name: str
    e_value: float
    share_of_budget: float
    """Its part of the rollout's error budget; 0 when it only pauses or warns, with an alpha of its own."""
    canary: Count
    """(bad, counted)"""
    stable: Count
    """(bad, counted); (0, 0) where the canary is compared with a limit instead."""
    action: str
    """rollback | pause | warn"""
    sentence: str


def rows(evidence: Evidence) -> tuple[Row, ...]:
    """Every signal, in the order in which they are told."""
    return tuple(
        Row(
            signal.name,
            eprocess.e_value(signal.log_e),
            signal.budget,
            signal.canary,
            signal.stable,
            signal.action,
            _say(signal, evidence),
        )
        for signal in evidence.signals
    )


def say(evidence: Evidence, name: str) -> str:
    """What one signal says."""
    return next((_say(signal, evidence) for signal in evidence.signals if signal.name == name), name)


def sentence(evidence: Evidence) -> str:
    """What the signals say, on one line: `errors 0.4 % against 0.5 %, evidence 0.3 of 100 (nothing yet of labels)`.

    At most two of them: those that weigh against the canary, the heaviest first; the first that has seen anything where
    none does. `rows` has them all.
    """
    if not evidence.signals:
        return "nothing is watched"
    judging = [signal for signal in evidence.signals if signal.name != "telemetry"]
    waiting = {signal.name: waits for signal in judging if (waits := _waits(signal, evidence))}
    speaking = [signal for signal in judging if signal.name not in waiting]
    heavy = sorted((signal for signal in speaking if _weight(signal) > 0), key=_weight, reverse=True)
    doubts = [signal for signal in evidence.signals if signal.name == "telemetry" and telemetry.lacking(evidence)]
    said = [_say(signal, evidence) for signal in [*doubts, *(heavy or speaking[:1])][:_TOLD]]
    bad, of = evidence.testers
    if bad or (of and not said):
        said.append(f"testers: {bad:,} of {of:,} requests failed (no evidence: they were chosen)")
    if not said:
        return next((f"{name}: {waits}" for name, waits in waiting.items() if waits != _NOTHING), _NOTHING)
    silent = [signal.name for signal in judging if signal.action == "rollback" and signal.name in waiting]
    tail = f" (nothing yet of {', '.join(silent)})" if silent and speaking else ""
    return ", ".join([*said, f"evidence {number(evidence.total)} of {evidence.limit:g}"]) + tail


def _weight(signal: Signal) -> float:
    """How much more than nothing a signal adds to the total, or to its own verdict: log of its e-value by its share."""
    share = signal.budget if signal.action == "rollback" else _ASIDE
    return signal.log_e + math.log(share) if share > 0 else -math.inf


def accusation(evidence: Evidence) -> str:
    """What the signal says that weighs most in the total."""
    judges = [signal for signal in evidence.signals if signal.action == "rollback"]
    if not judges:
        return "nothing is watched"
    return _say(max(judges, key=lambda signal: signal.log_e + math.log(signal.budget)), evidence)


def objections(evidence: Evidence) -> tuple[str, ...]:
    """Names of the signals that have convicted the canary, and only ask for a pause."""
    return tuple(signal.name for signal in evidence.convicted if signal.action == "pause")


def warnings(evidence: Evidence) -> tuple[str, ...]:
    """What the signals say that have convicted the canary, and only warn."""
    return tuple(
        f"{_say(signal, evidence)}, evidence {number(eprocess.e_value(signal.log_e))}"
        for signal in evidence.convicted
        if signal.action == "warn"
    )


def _say(signal: Signal, evidence: Evidence) -> str:
    said = _said(signal, evidence)
    doubted = telemetry.doubted(evidence, signal.name)
    return f"{said} (incomplete: {' and '.join(doubted)} missing from one arm)" if doubted else said


def _said(signal: Signal, evidence: Evidence) -> str:
    name, canary, stable = signal.name, signal.canary, signal.stable
    waits = _waits(signal, evidence)
    if waits:
        return f"{name}: {waits}"
    if name in _OWN:
        return f"{name}: {_OWN[name](signal, evidence)}"
    of = " of the users" if evidence.units.most else ""
    if name == "refusals":
        return f"refused {rate(*canary)} of {canary[1]:,} (4xx) against {rate(*stable)}{of}"
    return f"{name} {rate(*canary)} against {rate(*stable)}{of}"


def _labels(signal: Signal, _evidence: Evidence) -> str:
    mine, theirs = signal.canary, signal.stable
    return f"{rate(*mine)} wrong of {mine[1]:,} against {rate(*theirs)} of {theirs[1]:,}"


def _latency(signal: Signal, evidence: Evidence) -> str:
    bucket = (evidence.thresholds or (0, 0, 0, 0))[SHOWN if signal.told is None else signal.told]
    bound = LATENCY_BOUNDS_MS[min(bucket, len(LATENCY_BOUNDS_MS) - 1)]
    return f"{rate(*signal.canary)} above {bound:g} ms against {rate(*signal.stable)}"


def _limits(signal: Signal, evidence: Evidence) -> str:
    share, limit = evidence.limits[-1 if signal.told is None else signal.told]
    return f"{rate(*signal.canary)} above {limit:g} ms, {percent(1 - share)} allowed"


def _predictions(signal: Signal, evidence: Evidence) -> str:
    known = evidence.outputs
    what = "" if known is None else f" {outputs.category(known, outputs.told(signal, known))}"
    return f"{rate(*signal.canary)}{what} against {rate(*signal.stable)}"


def _agreement(signal: Signal, _evidence: Evidence) -> str:
    allowed = percent(signal.processes[0].margin)
    return f"{rate(*signal.canary)} differ, {allowed} allowed"


def _telemetry(signal: Signal, evidence: Evidence) -> str:
    lacking = telemetry.lacking(evidence)
    if lacking:
        return f"{' and '.join(lacking)} are missing from one arm, so the evidence is incomplete"
    return f"{rate(*signal.canary)} counted on the canary"


def _waits(signal: Signal, evidence: Evidence) -> str:
    """What must be seen first, before the signal can say anything; empty when it can."""
    name, known = signal.name, evidence.outputs
    if name == "latency" and evidence.thresholds is None:
        seen = sum(evidence.warm_up[: len(LATENCY_BOUNDS_MS)])
        return f"{seen:,} of {WARM_UP} stable requests until it can be judged"
    if name == "predictions" and known is not None and known.names is None:
        seen = sum(count for _, count in known.classes) + sum(count for _, count in known.scores)
        return f"{seen:,} of {outputs.WARM_UP} stable predictions until it can be judged"
    if name in ("latency", "latency limits") and not signal.canary[1] and 0 < evidence.cold < COLD_START:
        return f"{evidence.cold} of {COLD_START} canary requests until it is warm"
    if name == "telemetry" and telemetry.lacking(evidence):
        return ""
    one_arm = name in ("latency limits", "agreement")
    return "" if signal.canary[1] and (one_arm or signal.stable[1]) else _NOTHING


_OWN: dict[str, Callable[[Signal, Evidence], str]] = {
    "labels": _labels,
    "latency": _latency,
    "latency limits": _limits,
    "predictions": _predictions,
    "agreement": _agreement,
    "telemetry": _telemetry,
}
