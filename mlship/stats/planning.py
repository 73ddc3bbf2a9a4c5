"""How much an e-process can see: canary requests that a regression takes, and the smallest one that so many show. Pure.

The bets are those of ``stats.eprocess``: after n canary requests the log wealth of each is close to normal, with mean
`n*g` and variance `n*V` (``drift``), and they move together; the sum of their wealth has to reach the limit. Against
simulation (five-minute stages at 5 to 5,000 requests a second, weights of 1 to 50 %, a base rate of 0.5 %, with and
without a margin) the smallest ratio seen with a chance of 80 % is told 3 % too low to 5 % too high.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlship.stats.eprocess import log_mean

#: Quantile of the standard normal for a chance of 80 %: "reliably". 0 is the median.
RELIABLY = 0.8416
#: Halvings of an interval of ratios, on a logarithmic scale: far below a thousandth of the ratio.
_HALVINGS = 40


@dataclass(frozen=True, slots=True)
class Bets:
    """What is bet on one signal: ratios of the canary's rate over stable's, and how much on each."""

    ratios: tuple[float, ...]
    """All above `margin` (evidence against the canary), or all below it (a certificate for it)."""
    shares: tuple[float, ...]
    """Each one's share of the whole budget, such as 1/9 of a signal's half: what of the total wealth it began with."""
    margin: float = 1.0
    """The ratio under the null hypothesis."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Traffic with one weight."""

    weight: float
    """The canary's share of the requests, above 0 and below 1."""
    requests: float
    """Requests on the canary."""


def drift(ratio: float, psi: float, margin: float, *, weight: float, base: float) -> tuple[float, float]:
    """Mean and variance of what one bet's log wealth gains in a canary request.

    With canary rate `c = base*ratio`, stable rate `base`, `a = ln(psi/margin)`,
    `b = ln(1 + w*(psi - 1)) - ln(1 + w*(margin - 1))` and `s = (1 - w)/w` stable requests to each of the canary's:

        g = c*a - (c + base*s)*b
        V = c*(1 - c)*(a - b)^2 + s*base*(1 - base)*b^2
    """
    rate = min(1.0, base * ratio)
    others = (1 - weight) / weight
    a = math.log(psi / margin)
    b = math.log1p(weight * (psi - 1)) - math.log1p(weight * (margin - 1))
    gain = rate * a - (rate + base * others) * b
    return gain, rate * (1 - rate) * (a - b) ** 2 + others * base * (1 - base) * b * b


def needed(ratio: float, bets: Bets, *, weight: float, base: float, limit: float = 100.0, z: float = RELIABLY) -> float:
    """Canary requests until the bets have convicted (or certified) a canary of this ratio; infinite when never.

    Parameters
    ----------
    ratio
        The canary's true rate over stable's.
    weight
        The canary's share of the requests.
    base
        Stable's rate of bad outcomes, above 0.
    limit
        The total e-value that decides.
    z
        Normal quantile of the chance to have it by then.
    """
    enough = min(
        _alone(*drift(ratio, psi, bets.margin, weight=weight, base=base), math.log(limit / share), z)
        for psi, share in zip(bets.ratios, bets.shares, strict=True)
    )
    if math.isinf(enough):
        return enough
    low, high = 0.0, enough  # the other bets win, too: together they are there earlier
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if decides(ratio, bets, [Stretch(weight, middle)], base=base, limit=limit, z=z):
            high = middle
        else:
            low = middle
    return high


def decides(
    ratio: float,
    bets: Bets,
    stretches: Sequence[Stretch],
    *,
    base: float,
    limit: float = 100.0,
    z: float = RELIABLY,
) -> bool:
    """Whether all this traffic, in one go, convicts (or certifies) a canary of this ratio with the chance of `z`."""
    logs = []
    for psi, share in zip(bets.ratios, bets.shares, strict=True):
        mean = variance = 0.0
        for stretch in stretches:
            if stretch.requests > 0:
                gain, spread = drift(ratio, psi, bets.margin, weight=stretch.weight, base=base)
                mean, variance = mean + stretch.requests * gain, variance + stretch.requests * spread
        logs.append(math.log(share) + mean - z * math.sqrt(variance))
    return log_mean(logs, (1.0,) * len(logs)) >= math.log(limit)


def smallest(
    bets: Bets, stretches: Sequence[Stretch], *, base: float, limit: float = 100.0, z: float = RELIABLY
) -> float | None:
    """The smallest ratio that this traffic shows; None when it would not even show a canary of nothing but bad answers.

    `needed` turned round: the same traffic sees everything above.
    """
    low, high = math.log(bets.margin), math.log(1 / base)
    if high <= low or not decides(math.exp(high), bets, stretches, base=base, limit=limit, z=z):
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if decides(math.exp(middle), bets, stretches, base=base, limit=limit, z=z):
            high = middle
        else:
            low = middle
    return math.exp(high)


def _alone(gain: float, variance: float, due: float, z: float) -> float:
    """Requests until one bet has won `due`: the root of `n*g - z*sqrt(n*V) = due`."""
    if gain <= 0:
        return math.inf
    spread = z * math.sqrt(variance)
    return float(((spread + math.sqrt(spread * spread + 4 * gain * due)) / (2 * gain)) ** 2)
