"""The bet on all categories together is Turner's, is fair when both arms are alike, and learns where they differ."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from mlship.stats import multinomial

PAST = ((30, 12, 8), (500, 300, 200))


def test_without_a_margin_it_is_the_published_one() -> None:
    """Sum of X ln(pc / p0) + Y ln(ps / p0), written out."""
    now = ((5, 3, 2), (40, 35, 15))
    stable = [(count + 0.5) / 1001.5 for count in PAST[1]]
    canary = [(seen + 50 * usual) / 100 for seen, usual in zip(PAST[0], stable, strict=True)]
    w = 0.1
    mixed = [w * a + (1 - w) * b for a, b in zip(canary, stable, strict=True)]
    want = sum(
        x * math.log(a / m) + y * math.log(b / m) for x, y, a, b, m in zip(*now, canary, stable, mixed, strict=True)
    )
    assert multinomial.growth(PAST, now) == pytest.approx(want, rel=1e-12)


def outcomes(n: int, shares: tuple[float, ...]) -> Iterator[tuple[tuple[int, int, int], float]]:
    for a in range(n + 1):
        for b in range(n + 1 - a):
            c = n - a - b
            ways = math.factorial(n) / (math.factorial(a) * math.factorial(b) * math.factorial(c))
            yield (a, b, c), ways * shares[0] ** a * shares[1] ** b * shares[2] ** c


@pytest.mark.parametrize(
    ("margin", "mine"),
    [(1.0, (0.5, 0.3, 0.2)), (1.5, (0.5, 0.3, 0.2)), (1.5, (0.6, 0.2, 0.2)), (1.5, (0.5, 0.2, 0.3))],
)
@pytest.mark.parametrize("past", [PAST, ((9, 1, 90), (500, 300, 200)), ((0, 0, 0), (0, 0, 0))])
def test_within_the_margin_no_window_is_worth_more_than_it_costs(
    margin: float, mine: tuple[float, ...], past: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    """Every outcome of three canary and four stable predictions, whatever was guessed from earlier ones."""
    mean = math.fsum(
        p * q * math.exp(multinomial.growth(past, (x, y), margin))
        for x, p in outcomes(3, mine)
        for y, q in outcomes(4, (0.5, 0.3, 0.2))
    )
    assert mean <= 1 + 1e-9


def test_it_learns_a_difference_that_no_window_shows() -> None:
    random = np.random.default_rng(4)
    canary, stable, won = np.zeros(3, int), np.array((500, 300, 200)), 0.0
    for _ in range(100):
        x, y = random.multinomial(20, (0.4, 0.3, 0.3)), random.multinomial(180, (0.5, 0.3, 0.2))
        won += multinomial.growth(
            (list(map(int, canary)), list(map(int, stable))), (list(map(int, x)), list(map(int, y)))
        )
        canary, stable = canary + x, stable + y
    assert won > math.log(100)
    assert multinomial.growth(PAST, ((0, 0, 0), (0, 0, 0))) == 0.0
