"""What others do about drift, for comparison: a limit of the PSI, or a test, anew in each window of the scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstwobign

Numbers = NDArray[np.float64]
#: Fewer rows decide nothing: with five, as the policy has it, they would alarm even more often.
LEAST = 20
#: By name: hours or days, PSI or Kolmogorov and Smirnov's test, the limit.
PEERS = {
    f"{name}, each {span}": (span, kind, limit)
    for span in ("hour", "day")
    for name, kind, limit in (
        ("PSI > 0.1", "psi", 0.1),
        ("PSI > 0.2", "psi", 0.2),
        ("KS test at 5 %", "ks", 0.05),
        ("KS test at 1 %", "ks", 0.01),
    )
}


@dataclass(frozen=True)
class Peers:
    """The baseline as they keep it: its scores in order, cut into tenths."""

    scores: Numbers

    @classmethod
    def of(cls, baseline: Numbers) -> Peers:
        return cls(np.sort(baseline))

    def alarms(self, scores: Numbers, hours: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """By peer, the hours in which an alarming window begins; the rows in the order of their hours."""
        found = {}
        for span, hours_each in (("hour", 1), ("day", 24)):
            starts, window, rows = np.unique(hours // hours_each * hours_each, return_inverse=True, return_counts=True)
            enough = rows >= LEAST
            figures = {"psi": self._psi(scores, window, rows), "ks": self._ks(scores, window, rows)}
            for name, (which, kind, limit) in PEERS.items():
                if which == span:
                    over = figures[kind] > limit if kind == "psi" else figures[kind] < limit
                    found[name] = starts[enough & over]
        return found

    def _psi(self, scores: Numbers, window: NDArray[Any], rows: NDArray[Any]) -> Numbers:
        """By window; a tenth without rows counts half a row."""
        ends = np.unique(self.scores[len(self.scores) // 10 * np.arange(1, 10)])
        bins = len(ends) + 1
        then = np.bincount(np.searchsorted(ends, self.scores), minlength=bins) / len(self.scores)
        place = window * bins + np.searchsorted(ends, scores)
        now = np.bincount(place, minlength=len(rows) * bins).reshape(-1, bins)
        share = np.maximum(now, 0.5) / rows[:, None]
        found: Numbers = ((share - then) * np.log(share / then)).sum(axis=1)
        return found

    def _ks(self, scores: Numbers, window: NDArray[Any], rows: NDArray[Any]) -> Numbers:
        """P-values by window, asymptotic."""
        order = np.lexsort((scores, window))
        first = np.concatenate([[0], np.cumsum(rows)[:-1]])
        rank = np.arange(len(scores)) - np.repeat(first, rows)
        below = np.searchsorted(self.scores, scores[order], "left") / len(self.scores)
        until = np.searchsorted(self.scores, scores[order], "right") / len(self.scores)
        n = np.repeat(rows, rows)
        apart = np.maximum((rank + 1) / n - until, below - rank / n)
        largest = np.maximum.reduceat(apart, first)
        found: Numbers = kstwobign.sf(largest * np.sqrt(rows * (len(self.scores) / (rows + len(self.scores)))))
        return found
