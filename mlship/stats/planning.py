"""How much an e-process can see: canary requests that a regression takes, and the smallest one that so many show.

Pure. The bets are those of ``stats.eprocess`` and ``stats.onearm``: after n canary requests the log wealth of each is
close to normal, with mean `n*g` and variance `n*V` (``Bets.drift``), and they move together; the sum of their wealth
has to reach the limit. `tests/benchmarks/planning.py` holds it against the judge itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlship.stats.eprocess import log_mean

#: Quantile of the standard normal for a chance of 80 %, "reliably": 74 % are convicted at the end of the traffic, and
#: 6 % at an earlier look and not any more at the end. (A walk with mean M and variance 2M, as that of a bet on the
#: truth, touches 7 = ln 1000 with the chance `Phi((M - 7) / sqrt(2M)) + exp(7) Phi(-(M + 7) / sqrt(2M))`.)
RELIABLY = 0.64
#: The same for the median, "about": 39 % at the end, 11 % before.
ABOUT = -0.28
#: Halvings of an interval on a logarithmic scale: far below a thousandth.
_HALVINGS = 20
#: More canary requests than anybody will see.
_NEVER = 1e12


@dataclass(frozen=True, slots=True)
class Stretch:
    """Traffic with one weight."""

    weight: float
    """The canary's share of the requests, above 0; at 1 there is nothing to compare it with."""
    requests: float
    """Requests on the canary."""


@dataclass(frozen=True, slots=True)
class Bets:
    """Bets on one signal: ratios of the canary's rate over stable's, and how much is on each."""

    ratios: tuple[float, ...]
    """All above `margin` (evidence against the canary), or all below it (a certificate for it)."""
    shares: tuple[float, ...]
    """Each one's share of the whole budget, such as 1/9 of a signal's half: what of the total wealth it begins with."""
    margin: float = 1.0
    """The ratio under the null hypothesis."""
    alone: bool = False
    """They are about the canary's rate itself: `ratios` and `margin` are rates, and stable does not matter."""

    def drift(self, psi: float, ratio: float, *, weight: float, base: float) -> tuple[float, float]:
        """Mean and variance of what the bet on `psi` gains in a canary request, in nats.

        With canary rate `c = base*ratio`, stable rate `base`, `a = ln(psi/margin)`,
        `b = ln(1 + w*(psi - 1)) - ln(1 + w*(margin - 1))` and `s = (1 - w)/w` stable requests to each of the canary's:

            g = c*a - (c + base*s)*b
            V = c*(1 - c)*(a - b)^2 + s*base*(1 - base)*b^2

        Of the canary alone, with `b = ln(1 - psi) - ln(1 - margin)`: `g = c*a + (1 - c)*b`, `V = c*(1 - c)*(a - b)^2`.
        """
        rate = min(1.0, base * ratio)
        a = math.log(psi / self.margin)
        if self.alone:
            b = math.log1p(-psi) - math.log1p(-self.margin)
            return rate * a + (1 - rate) * b, rate * (1 - rate) * (a - b) ** 2
        others = (1 - weight) / weight
        b = math.log1p(weight * (psi - 1)) - math.log1p(weight * (self.margin - 1))
        gain = rate * a - (rate + base * others) * b
        return gain, rate * (1 - rate) * (a - b) ** 2 + others * base * (1 - base) * b * b

    def usual(self, psi: float, ratio: float, base: float, stretches: Sequence[Stretch]) -> float:
        """What the bet on a rate of `psi` has won after the median number of bad requests, in nats.

        A bet on a rate that is next to nothing loses nearly all by one bad request: its mean says little.
        """
        requests = math.fsum(stretch.requests for stretch in stretches)
        expected = requests * min(1.0, base * ratio)
        bad = max(0, math.floor(expected + 1 / 3 - 0.02 / max(expected, 0.02)))  # of a Poisson count
        a, b = math.log(psi / self.margin), math.log1p(-psi) - math.log1p(-self.margin)
        return bad * a + (requests - bad) * b

    def after(self, stretch: Stretch, *, base: float) -> Bets:
        """What is left of these bets after traffic with a canary that is as good as stable: in the mean of the log."""
        left = []
        for psi, share in zip(self.ratios, self.shares, strict=True):
            gain, _ = self.drift(psi, 1.0, weight=stretch.weight, base=base)
            left.append(share * math.exp(stretch.requests * gain))
        return replace(self, shares=tuple(left))


def decides(
    ratio: float,
    bets: Sequence[Bets],
    stretches: Sequence[Stretch],
    *,
    base: float,
    limit: float = 100.0,
    z: float = RELIABLY,
) -> bool:
    """Whether all this traffic, in one go, convicts (or certifies) a canary of this ratio with the chance of `z`.

    Parameters
    ----------
    ratio
        The canary's true rate over stable's.
    bets
        Everything that is bet on this signal.
    stretches
        The traffic.
    base
        Stable's rate of bad outcomes, above 0.
    limit
        The total e-value that decides.
    z
        Normal quantile of the chance.
    """
    logs = []
    for one in bets:
        for psi, share in zip(one.ratios, one.shares, strict=True):
            if one.alone and psi < one.margin:
                logs.append(math.log(share) + one.usual(psi, ratio, base, stretches))
                continue
            mean = variance = 0.0
            for stretch in stretches:
                if stretch.requests > 0:
                    gain, spread = one.drift(psi, ratio, weight=stretch.weight, base=base)
                    mean, variance = mean + stretch.requests * gain, variance + stretch.requests * spread
            logs.append(math.log(share) + mean - z * math.sqrt(variance))
    return log_mean(logs, (1.0,) * len(logs)) >= math.log(limit)


def needed(
    ratio: float,
    bets: Sequence[Bets],
    *,
    weight: float,
    base: float,
    limit: float = 100.0,
    z: float = RELIABLY,
    before: Sequence[Stretch] = (),
) -> float:
    """Canary requests at this weight, after what was `before`, until the bets have decided; infinite when never."""

    def enough(requests: float) -> bool:
        return decides(ratio, bets, [*before, Stretch(weight, requests)], base=base, limit=limit, z=z)

    if enough(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while not enough(high):
        low, high = high, 2 * high
        if high > _NEVER:
            return math.inf
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def smallest(
    bets: Sequence[Bets], stretches: Sequence[Stretch], *, base: float, limit: float = 100.0, z: float = RELIABLY
) -> float | None:
    """The smallest ratio that this traffic shows; None when it would not even show a canary of nothing but bad answers.

    `needed` turned round: the same traffic sees everything above. For evidence against a canary only.
    """
    edges = [one.margin / base if one.alone else one.margin for one in bets]
    low, high = math.log(max(edges)), math.log(1 / base)
    if high <= low or not decides(math.exp(high), bets, stretches, base=base, limit=limit, z=z):
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if decides(math.exp(middle), bets, stretches, base=base, limit=limit, z=z):
            high = middle
        else:
            low = middle
    return math.exp(high)
