"""Certificates: what is not proved yet about the canary, and how many more requests that may take. Pure."""

from __future__ import annotations

import math

from mlship.rollout.judge.evidence import Evidence, Proof
from mlship.rollout.judge.numbers import number, percent
from mlship.stats import eprocess, onearm

#: The evidence that proves.
PROVED = 100.0
#: So many canary requests are little.
LITTLE = 100
#: A forecast further off than this is none.
FAR = 1e7


def unproved(evidence: Evidence) -> str:
    """What is not proved yet and must be, before promotion, as people say it; empty when everything is."""
    return "; ".join(_say(proof) for proof in evidence.proofs if proof.log_e < math.log(PROVED))


def more(proof: Proof) -> float | None:
    """Canary requests that are still missing, if all goes on as so far; None when that leads nowhere, or not soon.

    Both bets grow by what they win per request at the rates seen so far; as long as the canary has shown little, it
    is taken to be as good as stable.
    """
    if proof.log_e >= math.log(PROVED):
        return 0.0
    (x, canary), (y, stable) = proof.canary, proof.stable
    if canary == 0 or stable == 0:
        return None
    theirs, w = y / stable, proof.weight
    mine = (x + LITTLE * (x + y) / (canary + stable)) / (canary + LITTLE)
    both = mine + theirs * (1 - w) / w
    grows = [mine * math.log(psi / proof.factor) - both * _tilt(w, psi, proof.factor) for psi in proof.ratio.grid]
    alone = () if proof.alone is None else onearm.growth(proof.alone, mine)

    def after(n: float) -> float:
        logs = [eprocess.log_mean([s + n * g for s, g in zip(proof.ratio.sums, grows, strict=True)])]
        if proof.alone is not None:
            sums = [s + n * g for s, g in zip(proof.alone.sums, alone, strict=True)]
            logs.append(eprocess.log_mean(sums, proof.alone.weights))
        return eprocess.log_mean(logs) / proof.inflation

    high = 1.0
    while after(high) < math.log(PROVED):
        high *= 2
        if high > FAR:
            return None
    low = high / 2
    while high - low > 0.02 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if after(middle) >= math.log(PROVED) else (middle, high)
    return high


def _tilt(w: float, psi: float, null: float) -> float:
    return math.log1p(w * (psi - 1)) - math.log1p(w * (null - 1))


def _say(proof: Proof) -> str:
    below = f"{proof.factor:g}x stable's"
    if proof.negligible:
        below += f" or {percent(proof.negligible)}"
    missing = more(proof)
    soon = "" if missing is None else f", about {_rounded(missing)} more canary {_things(proof)}"
    strength = number(eprocess.e_value(proof.log_e))
    return f"{proof.name}: not yet proved below {below} (evidence {strength} of {PROVED:g}{soon})"


def _things(proof: Proof) -> str:
    return "labels" if proof.name == "labels" else "requests"


def _rounded(value: float) -> str:
    """Two digits are as many as a forecast has."""
    step = 10 ** max(0, math.floor(math.log10(max(value, 1))) - 1)
    return f"{math.ceil(value / step) * step:,}"
