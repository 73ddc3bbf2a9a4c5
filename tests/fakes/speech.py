"""What servers of the fake engine say, and who asked: predictions, answers by request id, first requests of users."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from mlship.stats.buckets import counted
from mlship.stats.sketch_numbers import NumberSketch
from mlship.types import LATENCY_BOUNDS_MS, Counts, Prediction, Predictions

#: Answers that a server remembers.
REMEMBERED = 4096
Generator = np.random.Generator


@dataclass
class Speech:
    """What one process has said since its start."""

    classes: dict[str, int] = field(default_factory=dict)
    scores: dict[int, int] = field(default_factory=dict)
    answers: deque[tuple[str, Prediction]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    users: Counts = field(default_factory=Counts)

    def predict(
        self, random: Generator, answers: int, classes: dict[str, float], score: tuple[float, float] | None
    ) -> None:
        """Count predictions of so many requests: classes by their shares, or scores by mean and standard deviation."""
        if classes:
            shares = np.array(list(classes.values())) / sum(classes.values())
            for name, times in zip(classes, random.multinomial(answers, shares).tolist(), strict=True):
                self.classes[name] = self.classes.get(name, 0) + times
        if score is not None:
            sketch = NumberSketch()
            sketch.add(random.normal(*score, size=answers).tolist())
            for index, times in counted(sketch).items():
                self.scores[index] = self.scores.get(index, 0) + times

    @property
    def predictions(self) -> Predictions:
        return Predictions(dict(self.classes), dict(self.scores))

    def meet(self, random: Generator, counts: Counts, share: float) -> None:
        """Users whose first request is among these: a share of the requests, as good and as bad as the others."""
        first = int(random.binomial(counts.requests, share))
        errors = int(random.hypergeometric(counts.errors, counts.requests - counts.errors, first)) if first else 0
        timeouts = int(random.hypergeometric(counts.timeouts, counts.errors - counts.timeouts, errors)) if errors else 0
        good = np.array(counts.latency)
        good[-1] -= counts.errors
        latency = random.multivariate_hypergeometric(good, first - errors)
        latency[-1] += errors
        fine = counts.requests - counts.errors - counts.refused
        refused = int(random.hypergeometric(counts.refused, fine, first - errors)) if counts.refused else 0
        before = self.users.latency or (0,) * (len(LATENCY_BOUNDS_MS) + 1)
        self.users = Counts(
            self.users.requests + first,
            self.users.errors + errors,
            self.users.timeouts + timeouts,
            tuple(int(sum(pair)) for pair in zip(before, latency, strict=True)),
            self.users.refused + refused,
        )


_NUMBERS = itertools.count()


def both(random: Generator, stable: Speech, canary: Speech, answers: int, disagree: float) -> None:
    """Answers of both to the same requests, some of them different."""
    different = int(random.binomial(answers, disagree)) if disagree else 0
    for position, number in zip(range(answers), _NUMBERS, strict=False):
        stable.answers.append((f"{number:x}", "a"))
        canary.answers.append((f"{number:x}", "b" if position < different else "a"))
