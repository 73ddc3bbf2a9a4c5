"""When requests are to be sent: Poisson or constant arrivals, from a seed."""

from __future__ import annotations

import random
from array import array


def times(rate: float, seconds: float, arrivals: str, seed: str) -> array[float]:
    """Ascending send times in seconds, within [0, seconds); about `rate * seconds` of them.

    `poisson`: independent exponential gaps with mean 1/rate, as from many callers who do not know of each other.
    `constant`: gaps of exactly 1/rate.
    """
    if arrivals == "constant":
        return array("d", (number / rate for number in range(round(rate * seconds)) if number / rate < seconds))
    gap = random.Random(seed).expovariate
    sent = array("d")
    moment = gap(rate)
    while moment < seconds:
        sent.append(moment)
        moment += gap(rate)
    return sent
