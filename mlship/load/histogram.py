"""Durations in an HDR histogram: three significant digits from a microsecond to ten minutes, mergeable, as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

#: Longest duration that is told apart, in microseconds; what took longer counts as this.
LONGEST = 600_000_000
_DIGITS = 3


def encoded(seconds: Iterable[float]) -> str:
    """Durations in seconds as the text of an HDR histogram of microseconds (V2 compressed, base64)."""
    histogram = _empty()
    for second in seconds:
        histogram.record_value(min(max(round(second * 1e6), 0), LONGEST))
    return _text(histogram)


def merged(texts: Iterable[str]) -> str:
    """The sum of several histograms, in the same form."""
    histogram = _empty()
    for text in texts:
        histogram.add(_read(text))
    return _text(histogram)


def cells(text: str) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """What a histogram holds: ascending durations in seconds, and how many took about that long (0.1 % wide)."""
    histogram = _read(text)
    held = [(index, count) for index, count in enumerate(histogram.counts) if count]
    return tuple(_middle(histogram, index) for index, _ in held), tuple(count for _, count in held)


def total(text: str) -> int:
    """How many durations it holds."""
    return int(_read(text).get_total_count())


def _middle(histogram: HdrHistogram, index: int) -> float:
    low = histogram.get_value_from_index(index)
    return float(low + histogram.get_highest_equivalent_value(low)) / 2e6


def _empty() -> HdrHistogram:
    from hdrh.histogram import HdrHistogram

    return HdrHistogram(1, LONGEST, _DIGITS)


def _read(text: str) -> HdrHistogram:
    from hdrh.histogram import HdrHistogram

    return HdrHistogram.decode(text)


def _text(histogram: HdrHistogram) -> str:
    blob: bytes | str = histogram.encode()
    return blob.decode("ascii") if isinstance(blob, bytes) else blob
