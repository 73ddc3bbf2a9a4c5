"""Evidence as JSON, read back as the same value to the last bit."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

from mlship.rollout.judge import bets
from mlship.rollout.judge.evidence import Evidence, Outputs, Proof, Rows, Signal, Units
from mlship.stats import eprocess, onearm
from mlship.stats.eprocess import EProcess

#: Alternatives by the name under which they are written down, so that a journal's line stays short. A rollout may
#: outlive a version of this program: never change what a name means, add another one.
_NAMES = ("rare-1", "common-1", "shift-1", "tilts-1", "fine-1", "odds-1", "scarce-1")


def to_json(evidence: Evidence) -> dict[str, Any]:
    """A document that `from_json` reads back as the same value, to the last bit."""
    return {
        "limit": evidence.limit,
        "signals": [
            {
                "name": signal.name,
                "bets": [_bet(process) for process in signal.processes],
                "canary": list(signal.canary),
                "stable": list(signal.stable),
                "action": signal.action,
                "budget": signal.budget,
                "weights": list(signal.weights),
                "inflation": signal.inflation,
                "inflations": list(signal.inflations),
                "counts": [[list(canary), list(stable)] for canary, stable in signal.counts],
                "told": signal.told,
            }
            for signal in evidence.signals
        ],
        "proofs": [
            {
                "name": proof.name,
                "factor": proof.factor,
                "negligible": proof.negligible,
                "ratio": _bet(proof.ratio),
                "alone": None if proof.alone is None else _bet(proof.alone),
                "canary": list(proof.canary),
                "stable": list(proof.stable),
                "weight": proof.weight,
                "inflation": proof.inflation,
            }
            for proof in evidence.proofs
        ],
        "stakes": list(evidence.stakes),
        "fresh": evidence.fresh,
        "warm_up": list(evidence.warm_up),
        "thresholds": None if evidence.thresholds is None else list(evidence.thresholds),
        "limits": [list(limit) for limit in evidence.limits],
        "cold": evidence.cold,
        "outputs": None if evidence.outputs is None else dataclasses.asdict(evidence.outputs),
        "margin": evidence.margin,
        "units": dataclasses.asdict(evidence.units),
        "spans": [list(span) for span in evidence.spans],
        "until": evidence.until,
        "testers": list(evidence.testers),
    }


def from_json(document: dict[str, Any]) -> Evidence:
    """Evidence as `to_json` wrote it."""
    outputs = document["outputs"]
    return Evidence(
        **{
            **document,
            "signals": tuple(map(_signal, document["signals"])),
            "proofs": tuple(map(_proof, document["proofs"])),
            "stakes": tuple(document["stakes"]),
            "warm_up": tuple(document["warm_up"]),
            "thresholds": None if document["thresholds"] is None else tuple(document["thresholds"]),
            "limits": tuple((share, limit) for share, limit in document["limits"]),
            "outputs": None if outputs is None else _outputs(outputs),
            "units": _units(document["units"]),
            "spans": tuple((first, last, weight) for first, last, weight in document["spans"]),
            "testers": (document["testers"][0], document["testers"][1]),
        }
    )


def _signal(document: dict[str, Any]) -> Signal:
    return Signal(
        **{key: value for key, value in document.items() if key != "bets"}
        | {
            "processes": tuple(map(_process, document["bets"])),
            "canary": tuple(document["canary"]),
            "stable": tuple(document["stable"]),
            "weights": tuple(document["weights"]),
            "inflations": tuple(document["inflations"]),
            # Evidence that was written before these were counted has none.
            "counts": tuple((tuple(canary), tuple(stable)) for canary, stable in document.get("counts", ())),
        }
    )


def _proof(document: dict[str, Any]) -> Proof:
    return Proof(
        **document
        | {
            "ratio": _process(document["ratio"]),
            "alone": None if document["alone"] is None else _process(document["alone"]),
            "canary": tuple(document["canary"]),
            "stable": tuple(document["stable"]),
        }
    )


def _units(document: dict[str, Any]) -> Units:
    return Units(**{**document, "canary": Rows(**document["canary"]), "stable": Rows(**document["stable"])})


def _outputs(document: dict[str, Any]) -> Outputs:
    return Outputs(
        classes=tuple((name, count) for name, count in document["classes"]),
        scores=tuple((bucket, count) for bucket, count in document["scores"]),
        names=None if document["names"] is None else tuple(document["names"]),
        cuts=tuple(document["cuts"]),
        canary=tuple(document["canary"]),
        stable=tuple(document["stable"]),
    )


def _bet(process: EProcess) -> list[Any]:
    """[alternatives, edge of the null, idle share, sums]; the alternatives by name, or in full."""
    for name in _NAMES:
        known = _alternatives(name, process.margin)
        if known == (process.grid, process.weights, process.below):
            return [name, process.margin, process.idle, list(process.sums)]
    spelled = [list(process.grid), list(process.weights), process.below]
    return [spelled, process.margin, process.idle, list(process.sums)]


def _process(document: list[Any]) -> EProcess:
    what, margin, idle, sums = document
    if isinstance(what, str):
        known = _alternatives(what, margin)
        if known is None:
            raise ValueError(f"evidence names bets that this version does not know: {what}")
        grid, weights, below = known
    else:
        grid, weights, below = tuple(what[0]), tuple(what[1]), what[2]
    return EProcess(grid, tuple(sums), margin, weights, idle, below)


@lru_cache(maxsize=256)
def _alternatives(name: str, margin: float) -> tuple[tuple[float, ...], tuple[float, ...], bool] | None:
    """(grid, weights, below) that a name stands for at this edge of the null; None where it stands for nothing."""
    if name in ("odds-1", "scarce-1"):
        if not 0 < margin < 1:
            return None
        process = (onearm.against_at_most if name == "odds-1" else onearm.against_at_least)(margin)
    elif margin < 1:
        return None
    elif name == "rare-1":
        process = bets.rare(margin)
    elif name == "common-1":
        process = bets.common(margin)
    elif name == "shift-1":
        process = bets.shift(margin)
    elif name == "tilts-1":
        process = eprocess.begin(bets.TILTS, margin, two_sided=True)
    elif name == "fine-1" and margin > bets.FINE[0]:
        process = eprocess.begin_below([ratio for ratio in bets.FINE if ratio < margin], margin)
    else:
        return None
    return process.grid, process.weights, process.below
