"""What the judge is asked to watch, and how the one promise is shared out: fixed before the first request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: How much of the error budget each signal gets, relative to the others that may roll back (docs/decisions/014).
BUDGET: dict[str, float] = {
    "errors": 5.0,
    "timeouts": 1.0,
    "refusals": 0.5,
    "latency": 3.0,
    "latency limits": 1.0,
    "predictions": 1.0,
    "agreement": 1.0,
    "labels": 2.0,
}
#: Share of every bet that is made at the very start when there are several stages, and above that its part of the rest.
FIRST_STAGE = 0.5


@dataclass(frozen=True, slots=True)
class Guards:
    """Which signals are watched, each with the ratio that is tolerated; None is not watched."""

    errors: float | None = None
    latency: float | None = None
    labels: float | None = None
    false_rollback: float = 0.01
    """Chance that a healthy canary is ever rolled back, over all signals and looks."""
    timeouts: float | None = None
    slow: tuple[tuple[float, float], ...] = ()
    """Limits of the canary's own latency: (quantile, milliseconds)."""
    predictions: float | None = None
    predictions_action: str = "warn"
    """rollback | pause | warn"""
    agreement: float | None = None
    """Share of the mirrored requests on which both arms must agree."""
    agreement_action: str = "rollback"
    certify: tuple[tuple[str, float], ...] = ()
    """What must be proved before promotion: (signal, the canary's rate is below so many times stable's)."""
    negligible: float = 0.0
    """A rate below this is proof enough."""
    refusals: float | None = None

    @property
    def limit(self) -> float:
        """The total e-value at which the canary is rolled back."""
        return 1 / self.false_rollback

    @property
    def actions(self) -> dict[str, str]:
        """What each signal that is watched does when it convicts, by its name, in the order of showing."""
        watched = {
            "errors": "rollback" if self.errors is not None else "",
            "timeouts": "rollback" if self.timeouts is not None else "",
            "refusals": "rollback" if self.refusals is not None else "",
            "latency": "rollback" if self.latency is not None else "",
            "latency limits": "rollback" if self.slow else "",
            "predictions": self.predictions_action if self.predictions is not None else "",
            "agreement": self.agreement_action if self.agreement is not None else "",
            "labels": "rollback" if self.labels is not None else "",
        }
        asked = {name: action for name, action in watched.items() if action}
        return {**asked, "telemetry": "pause"} if asked else asked

    @property
    def budget(self) -> dict[str, float]:
        """Share of the error budget of each signal that may roll back; they sum to 1.

        Signals that pause or warn spend an alpha of their own, as large as `false_rollback`, and none of this.
        """
        names = [name for name, action in self.actions.items() if action == "rollback"]
        whole = sum(BUDGET[name] for name in names)
        return {name: BUDGET[name] / whole for name in names}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Guards:
        """Guards as ``dataclasses.asdict`` and JSON left them."""
        pairs = {name: tuple((a, b) for a, b in document[name]) for name in ("slow", "certify")}
        return cls(**{**document, **pairs})


def stage_shares(stages: int) -> tuple[float, ...]:
    """Share of every bet that is made at the start of each stage; they sum to 1.

    The first gets most, since most regressions are there from the start and early stages have the fewest requests.
    """
    if stages <= 1:
        return (1.0,)
    each = (1 - FIRST_STAGE) / stages
    return (FIRST_STAGE + each, *(each,) * (stages - 1))
