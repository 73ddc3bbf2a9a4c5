"""What others do, on the same simulated rollouts: each says at which look it goes back, or that it never does.

The settings are those of the projects' own documentation, with the threshold that online-judge comparisons use:

- Flagger: every minute the canary's success rate of that minute must be 99 % and its p99 at most 500 ms; it goes back
  at the fifth failed check.
- Argo Rollouts: every minute a success rate of 99 % (`successCondition`); it goes back at the fourth failure
  (`failureLimit: 3`).
- Kayenta: a two-sided Mann-Whitney test at 98 % with its tolerance of 0.25 of the Hodges-Lehmann estimate, on points
  of 10 s of all that was seen so far, from the fifth minute on and then every minute; any of four metrics (error rate,
  p50, p90, p99 of latency) being "high" sends it back.
- z: the error rates of everything so far, compared at 5 % (one-sided) at every look.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from mlship.types import LATENCY_BOUNDS_MS
from tests.benchmarks.judge_worlds import Floats, Ints, Rollout

#: A judge: the look at which it goes back.
Judge = Callable[[Rollout], int | None]

_EDGES = np.array([0.0, *LATENCY_BOUNDS_MS, 2 * LATENCY_BOUNDS_MS[-1]])


def threshold(rollout: Rollout, *, failures: int, p99: float | None) -> int | None:
    """Checks once a minute against fixed limits; a minute without canary requests is no failed check."""
    looks, groups = _grouped(rollout, 60.0)
    requests = np.add.reduceat(rollout.requests[:, 1], groups)
    errors = np.add.reduceat(rollout.errors[:, 1], groups)
    failed = errors > 0.01 * requests
    if p99 is not None:
        slow = _quantile(np.add.reduceat(rollout.latency[:, 1], groups, axis=0), 0.99) > p99
        failed |= slow & (requests > 0)
    count = np.cumsum(failed)
    return int(looks[np.argmax(count >= failures)]) if count[-1] >= failures else None


def flagger(rollout: Rollout) -> int | None:
    """Success rate and p99; five failed checks."""
    return threshold(rollout, failures=5, p99=500.0)


def argo(rollout: Rollout) -> int | None:
    """Success rate; three failures are let through."""
    return threshold(rollout, failures=4, p99=None)


def kayenta(rollout: Rollout) -> int | None:
    """Mann-Whitney on points of 10 s, any of four metrics."""
    looks, groups = _grouped(rollout, 10.0)
    requests = np.add.reduceat(rollout.requests, groups, axis=0)
    errors = np.add.reduceat(rollout.errors, groups, axis=0)
    latency = np.add.reduceat(rollout.latency, groups, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = errors / requests
    series = [rates, *(np.stack([_quantile(latency[:, arm], q) for arm in (0, 1)], axis=1) for q in (0.5, 0.9, 0.99))]
    seconds = rollout.ended[looks] - rollout.started[0]
    due = 300.0
    for index, now in enumerate(seconds):
        if now < due:
            continue
        due = now - now % 60 + 60
        if any(_high(one[: index + 1, 1], one[: index + 1, 0]) for one in series):
            return int(looks[index])
    return None


def z_test(rollout: Rollout) -> int | None:
    """A test made for one look, at every look."""
    requests, errors = rollout.requests.cumsum(axis=0), rollout.errors.cumsum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = errors / requests
        pooled = errors.sum(axis=1) / requests.sum(axis=1)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / requests[:, 0] + 1 / requests[:, 1]))
        seen = (rates[:, 1] - rates[:, 0]) / spread > ndtri(0.95)
    return int(np.argmax(seen)) if seen.any() else None


PEERS: dict[str, Judge] = {"Flagger": flagger, "Argo": argo, "Kayenta": kayenta, "z at 5 %": z_test}


def _high(experiment: Floats, control: Floats) -> bool:
    """Whether the confidence interval of the difference lies above the tolerated part of its estimate."""
    experiment, control = experiment[~np.isnan(experiment)], control[~np.isnan(control)]
    n, m = len(experiment), len(control)
    if not n or not m:
        return False
    gaps = np.subtract.outer(experiment, control).ravel()
    rank = max(0, round(n * m / 2 - ndtri(0.99) * np.sqrt(n * m * (n + m + 1) / 12)))
    middle = n * m // 2
    parts = np.partition(gaps, (rank, middle))
    return bool(parts[rank] > 0.25 * abs(parts[middle]))


def _grouped(rollout: Rollout, seconds: float) -> tuple[Ints, Ints]:
    """The last and the first look of each stretch of so many seconds, or of one look where that is longer."""
    number = np.ceil((rollout.ended - rollout.started[0]) / seconds - 1e-6).astype(np.int64)
    first = np.flatnonzero(np.diff(number, prepend=-1))
    return np.append(first[1:] - 1, len(number) - 1), first


def _quantile(counts: Ints, share: float) -> Floats:
    """A quantile of each row's histogram, interpolated inside its bucket as Prometheus does; NaN without any."""
    total = counts.cumsum(axis=1)
    rank = share * total[:, -1]
    bucket = np.argmax(total >= rank[:, None], axis=1)
    row = np.arange(len(counts))
    inside = counts[row, bucket]
    below = total[row, bucket] - inside
    with np.errstate(invalid="ignore", divide="ignore"):
        part = (rank - below) / inside
    found: Floats = _EDGES[bucket] + part * (_EDGES[bucket + 1] - _EDGES[bucket])
    return np.where(total[:, -1] > 0, found, np.nan)
