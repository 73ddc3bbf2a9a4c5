"""The bets that each signal makes: alternatives and how much is put on each, all fixed in advance (decision 014)."""

from __future__ import annotations

from mlship.rollout.judge.evidence import Evidence, Outputs, Proof, Signal
from mlship.rollout.judge.guards import Guards, stage_shares
from mlship.rollout.judge.latency import QUANTILES, freeze
from mlship.rollout.judge.telemetry import COUNTS
from mlship.stats import eprocess, onearm
from mlship.stats.eprocess import EProcess

#: Shares of the stake on each ratio of ``eprocess.RARE`` and ``eprocess.COMMON``.
RARE_WEIGHTS: tuple[float, ...] = (0.08, 0.16, 0.26, 0.17, 0.11, 0.08, 0.06, 0.05, 0.03)
COMMON_WEIGHTS: tuple[float, ...] = (0.1, 0.15, 0.2, 0.2, 0.15, 0.12, 0.08)
#: Alternatives for one class, or one range of scores; there are many of them, and one bet on all of them together.
SHIFTS: tuple[float, ...] = (1.25, 1.5, 2.0, 4.0)
#: Alternatives for arms of which one is counted less than the router's weight says, beyond `COUNTED`.
TILTS: tuple[float, ...] = (1.05, 1.2, 1.5, 3.0, 20.0)
#: So much more or less may be counted without an objection: requests under way at the edges of a window.
COUNTED = 1.05
#: Signals whose rate can be certified.
PROVABLE = ("errors", "timeouts", "latency", "labels")
#: Ratios of the canary's rate to stable's that certificates bet on.
FINE: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25)


def begin(guards: Guards, history: tuple[int, ...] = (), stages: int = 1) -> Evidence:
    """Evidence that has seen nothing.

    Parameters
    ----------
    guards
        The signals to watch.
    history
        Stable's latency histogram from before the canary had traffic, if there is one.
    stages
        How often `restart` may be called, and once more.
    """
    now, *later = stage_shares(stages)
    budget = guards.budget
    signals = tuple(
        Signal(
            name,
            _processes(name, guards, now),
            action=action,
            budget=budget.get(name, 0.0),
            weights=tuple(weight for _, _, weight in QUANTILES) if name == "latency" else (),
        )
        for name, action in guards.actions.items()
    )
    evidence = Evidence(
        guards.limit,
        signals,
        proofs=tuple(_proof(name, factor, guards.negligible) for name, factor in guards.certify),
        stakes=tuple(later),
        warm_up=tuple(history),
        limits=guards.slow,
        outputs=None if guards.predictions is None else Outputs(),
        margin=guards.predictions or 1.0,
    )
    return freeze(evidence)


def rare(margin: float, staked: float = 1.0) -> EProcess:
    """The bet on a rate that is usually small."""
    return eprocess.begin(eprocess.RARE, margin, weights=RARE_WEIGHTS, staked=staked)


def common(margin: float, staked: float = 1.0) -> EProcess:
    """The bet on a rate of some percent and above."""
    return eprocess.begin(eprocess.COMMON, margin, weights=COMMON_WEIGHTS, staked=staked)


def shift(margin: float, staked: float = 1.0) -> EProcess:
    """The bet on a class, or a range of scores, that the canary predicts more or less often."""
    return eprocess.begin(SHIFTS, margin, two_sided=True, staked=staked)


def _processes(name: str, guards: Guards, staked: float) -> tuple[EProcess, ...]:
    """The bets of one signal; those of predictions come when stable's first predictions have fixed what to bet on."""
    if name in ("errors", "timeouts"):
        return (rare(getattr(guards, name), staked),)
    if name == "latency":
        return tuple((rare if tail else common)(guards.latency or 1.0, staked) for _, tail, _ in QUANTILES)
    if name in ("refusals", "labels"):  # callers may make many mistakes
        return (common(getattr(guards, name), staked),)
    if name == "telemetry":
        return (eprocess.begin(TILTS, COUNTED, two_sided=True, staked=staked),) * len(COUNTS)
    shares = {
        "latency limits": tuple(1 - share for share, _ in guards.slow),
        "agreement": (1 - (guards.agreement or 0.0),),
    }
    return tuple(onearm.against_at_most(share, staked=staked) for share in shares.get(name, ()))


def _proof(name: str, factor: float, negligible: float) -> Proof:
    if name not in PROVABLE:
        raise ValueError(f"nothing can be proved about {name!r}")
    grid = tuple(ratio for ratio in FINE if ratio < factor)
    alone = onearm.against_at_least(negligible) if negligible > 0 else None
    return Proof(name, factor, negligible, eprocess.begin_below(grid, factor), alone)
