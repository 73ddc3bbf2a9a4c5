"""What the judge remembers between two looks. Values only, constant in size."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlship.stats import eprocess
from mlship.stats.eprocess import EProcess

#: Windows that are too few to tell how uneven requests are.
_FEW = 20
#: Signals that compare the canary with a limit, not with stable.
ONE_ARM = ("latency limits", "agreement")
#: (bad, counted)
Count = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal: its bets, averaged, and its counts over the whole rollout."""

    name: str
    processes: tuple[EProcess, ...]
    canary: Count = (0, 0)
    """(bad, counted)"""
    stable: Count = (0, 0)
    """(bad, counted); (0, 0) where the canary is compared with a limit instead."""
    action: str = "rollback"
    """rollback | pause | warn: what happens when it convicts."""
    budget: float = 1.0
    """Its share of the rollout's error budget; 0 when it does not roll back, and spends an alpha of its own."""
    weights: tuple[float, ...] = ()
    """Share of each bet; empty: equal shares."""
    inflation: float = 1.0
    """How many outcomes come together (rows of a request, requests of a user): E is raised to one over it."""
    inflations: tuple[float, ...] = ()
    """The same of each bet, where they differ."""
    counts: tuple[tuple[Count, Count], ...] = ()
    """(canary, stable) of each threshold, where there are several; `canary` and `stable` are those of one of them."""
    told: int | None = None
    """Which one; None: the usual one."""

    @property
    def seen(self) -> bool:
        """Whether it has seen of both arms what it compares: without stable's requests nothing speaks against any."""
        return bool(self.canary[1]) and (self.name in ONE_ARM or bool(self.stable[1]))

    @property
    def logs(self) -> tuple[float, ...]:
        """Natural logarithm of each bet's e-value."""
        inflations = self.inflations or (self.inflation,) * len(self.processes)
        return tuple(eprocess.log_e(one) / each for one, each in zip(self.processes, inflations, strict=True))

    @property
    def log_e(self) -> float:
        """Natural logarithm of the signal's e-value."""
        return eprocess.log_mean(self.logs, self.weights or None)


@dataclass(frozen=True, slots=True)
class Proof:
    """A certificate on its way: evidence that the canary's rate is low enough to be promoted."""

    name: str
    """The signal it is about."""
    factor: float
    """To be shown: below so many times stable's rate,"""
    negligible: float
    """or below this rate."""
    ratio: EProcess
    alone: EProcess | None
    """Against "the rate is `negligible` or more"; None when nothing is negligible."""
    canary: Count = (0, 0)
    stable: Count = (0, 0)
    weight: float = 0.0
    """The canary's part of the latest window's requests, for the forecast."""
    inflation: float = 1.0

    @property
    def log_e(self) -> float:
        """Natural logarithm of the evidence."""
        logs = [eprocess.log_e(one) for one in (self.ratio, self.alone) if one is not None]
        return eprocess.log_mean(logs) / self.inflation


@dataclass(frozen=True, slots=True)
class Outputs:
    """What both arms have predicted so far, by categories and cuts that stable's first predictions have fixed."""

    classes: tuple[tuple[str, int], ...] = ()
    """Stable's first classes with their counts, until they are fixed."""
    scores: tuple[tuple[int, int], ...] = ()
    """Stable's first scores by bucket, until the cuts are fixed."""
    names: tuple[str, ...] | None = None
    """The fixed classes; one more category holds all others. None until they are fixed; empty: there are none."""
    cuts: tuple[int, ...] = ()
    """Buckets of stable's q10, q30, q50, q70 and q90; empty: there are no scores."""
    canary: tuple[int, ...] = ()
    """By category and the others (when there are classes), then beyond each cut, then all."""
    stable: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows one arm's requests have, told by what its windows differ in."""

    rows: int = 0
    requests: int = 0
    windows: int = 0
    squares: float = 0.0
    """Sum over the windows of rows squared, per request."""

    @property
    def inflation(self) -> float:
        """Variance inflation of rows that come together in requests of s rows: E[s^2] / E[s].

        The variance of s is that of a window's rows, over its requests: what windows differ by, beyond their lengths.
        """
        if not self.requests or not self.rows:
            return 1.0
        if self.windows < _FEW:
            return _inflation(self.rows, self.requests)
        mean = self.rows / self.requests
        spread = (self.squares - mean * self.rows) / (self.windows - 1)
        return max(1.0, mean + max(0.0, spread) / mean)

    def add(self, rows: int, requests: int) -> Rows:
        """With one more window."""
        if requests <= 0:
            return self
        return Rows(self.rows + rows, self.requests + requests, self.windows + 1, self.squares + rows**2 / requests)


@dataclass(frozen=True, slots=True)
class Units:
    """How outcomes come together: rows in requests, requests in users, users in stages."""

    canary: Rows = Rows()
    stable: Rows = Rows()
    served: int = 0
    """Requests while users were counted,"""
    counted: int = 0
    """users as they were counted, anew at each stage,"""
    here: int = 0
    """and at this stage."""
    most: int = 0
    """The most users of any stage: so many different ones there are at least."""

    @property
    def rows_per_request(self) -> float:
        """Variance inflation of rows that come together in requests, in the arm where it is larger."""
        return max(self.canary.inflation, self.stable.inflation)

    @property
    def requests_per_user(self) -> float:
        """Variance inflation of requests that come from the same users."""
        return _inflation(self.served, self.most)

    @property
    def counts_per_user(self) -> float:
        """Variance inflation of users who were counted at several stages."""
        return max(1.0, self.counted / self.most) if self.most else 1.0


def _inflation(members: int, groups: int) -> float:
    """sum(s^2) / sum(s) of groups whose sizes s are geometric with this mean: 2 mean - 1. Even groups have less."""
    return max(1.0, 2 * members / groups - 1) if groups else 1.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything the judge remembers; constant in size, and kept with the rollout, since a reset would spend alpha
    again."""

    limit: float
    signals: tuple[Signal, ...]
    proofs: tuple[Proof, ...] = ()
    stakes: tuple[float, ...] = ()
    """Shares of every bet that later stages will make."""
    fresh: bool = True
    """Nothing was observed since the start, or since the last restart."""
    warm_up: tuple[int, ...] = ()
    """Stable's latency histogram until the thresholds are frozen."""
    thresholds: tuple[int, ...] | None = None
    """Bucket of each frozen threshold; slower means a later bucket."""
    limits: tuple[tuple[float, float], ...] = ()
    """Limits of the canary's own latency: (quantile, milliseconds)."""
    cold: int = 0
    """Canary requests so far, up to `COLD_START`."""
    outputs: Outputs | None = None
    """None when predictions are not watched."""
    margin: float = 1.0
    """Tolerated ratio of predictions."""
    units: Units = Units()
    spans: tuple[tuple[int, int, float], ...] = ()
    """Seconds (first, last) in which every request was split between the arms by one weight, and that weight."""
    until: float = 0.0
    """End of the last window."""
    testers: Count = (0, 0)
    """(failed, answered) requests of chosen callers, which are no evidence."""

    @property
    def total(self) -> float:
        """The e-value of the whole rollout: the mean over the signals that may roll back, by their budgets."""
        judges = [signal for signal in self.signals if signal.action == "rollback"]
        logs = [signal.log_e for signal in judges]
        return eprocess.e_value(eprocess.log_mean(logs, [signal.budget for signal in judges]))

    @property
    def shares(self) -> dict[str, float]:
        """Each signal's e-value, by its name."""
        return {signal.name: eprocess.e_value(signal.log_e) for signal in self.signals}

    @property
    def unseen(self) -> tuple[str, ...]:
        """Signals that may roll back, and have not seen anything of the canary yet, or of stable to compare it with."""
        return tuple(s.name for s in self.signals if s.action == "rollback" and not s.seen)

    @property
    def convicted(self) -> tuple[Signal, ...]:
        """Signals that only pause or warn, and whose own evidence has reached the limit."""
        log = math.log(self.limit)
        return tuple(signal for signal in self.signals if signal.action != "rollback" and signal.log_e >= log)
