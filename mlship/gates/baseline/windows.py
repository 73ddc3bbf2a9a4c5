"""The baseline's rows in windows of traffic, and how a column's figures vary from one such window to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlship.policy.monitor import Monitor
from mlship.stats import steady, streams
from mlship.stats.binning import slices
from mlship.types.monitoring import Bins, Counts, Steady

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DAY = 86400.0
#: Windows that are learned from: of more, the latest.
_MOST = 100_000
#: A sample of the rows has fewer in each window: never below this.
_LEAST = 10


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The windows that have rows enough to say something, in the order of time."""

    of: NDArray[np.int32]
    """For each row its window, shape (rows,); -1: in none of these."""
    cells: tuple[int, ...]
    """For each window its cell of the season."""
    count_of_cells: int
    a_day: int
    """Windows of a usual day."""

    @classmethod
    def cut(cls, moments: NDArray[np.float64], monitor: Monitor, share: float = 1.0) -> Windows:
        """The windows of rows at these Unix times (NaN: none); `share`: which part of all rows these are."""
        import numpy as np

        numbers = np.floor(moments / monitor.window)
        known = np.isfinite(numbers)
        found, place, rows = np.unique(numbers[known], return_inverse=True, return_counts=True)
        enough = np.flatnonzero(rows >= (monitor.min_rows if share >= 1 else max(_LEAST, monitor.min_rows * share)))
        enough = enough[-_MOST:]
        kept = np.full(len(found), -1, np.int32)
        kept[enough] = np.arange(len(enough), dtype=np.int32)
        of = np.full(len(moments), -1, np.int32)
        of[known] = kept[place]
        starts = found[enough] * monitor.window
        days = len(np.unique(np.floor(starts / _DAY)))
        return cls(
            of,
            tuple(steady.cell(at + monitor.window / 2, monitor.season, monitor.zone) for at in starts.tolist()),
            steady.cells(monitor.season),
            max(1, round(len(enough) / days)) if days else 1,
        )

    def __len__(self) -> int:
        return len(self.cells)

    def table(self, positions: NDArray[np.int16], width: int) -> NDArray[np.int64]:
        """Cells of each window by position, shape (windows, width)."""
        import numpy as np

        total = np.zeros(len(self) * width, np.int64)
        for where in slices(len(positions)):
            window = self.of[where]
            inside = window >= 0
            place = window[inside].astype(np.int64) * width + positions[where][inside]
            total += np.bincount(place, minlength=len(total))
        return total.reshape(len(self), width)

    def learn(self, positions: NDArray[np.int16], bins: Bins, counts: Counts) -> Mapping[str, Steady]:
        """How each stream of a column behaves while nothing has moved; without those that too few windows tell."""
        import numpy as np

        if not len(self):
            return {}
        table = self.table(positions, bins.width)
        found: dict[str, Steady] = {}
        for stream in streams.streams(bins, counts):
            counted, weights = np.array(stream.counted, dtype=float), np.array(stream.weights)
            rows = table @ counted
            there = np.flatnonzero(rows)
            values = (table[there] @ (weights * counted)) / rows[there]
            learned = steady.learn(
                values.tolist(),
                rows[there].astype(int).tolist(),
                [self.cells[place] for place in there.tolist()],
                self.count_of_cells,
                noise=_noise(weights, counted * np.array(counts)),
                a_day=self.a_day,
            )
            if learned is not None:
                found[stream.name] = learned
        return found


def _noise(weights: Any, counts: Any) -> float:
    """Variance of one cell's score."""
    total = float(counts.sum())
    if not total:
        return 0.0
    mean = float(counts @ weights) / total
    return float(counts @ (weights - mean) ** 2) / total
