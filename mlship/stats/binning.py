"""Bins drawn from reference rows, and rows counted into them, a million at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Rows that are looked at in one go: small enough for a processor's memory, large enough for numpy.
CHUNK = 1_000_000
#: Each bin of the PSI is cut so fine again for Wasserstein's distance.
_FINER = 5
#: And so fine at both ends, where a heavy tail travels far.
_TAILS = (0.0002, 0.001, 0.005, 0.01, 0.99, 0.995, 0.999, 0.9998)
#: So few distinct numbers may be codes: each has a bin, also with fewer bins than that.
_FEW = 20


@dataclass(eq=False)
class Counted:
    """Rows of one side, by fine bin and by window."""

    rows: NDArray[np.int64]
    """Shape (fine bins,); the last is for missing values."""
    sums: NDArray[np.float64]
    """Sum of the values of each fine bin, about `Numbers.centre`; zeros for categories."""
    windows: NDArray[np.int64]
    """Rows by (window, PSI bin)."""
    squares: float = 0.0
    """Sum of squares about `Numbers.centre`."""
    unseen: int = 0
    """Rows with a category that the reference lacks."""
    example: str | None = None
    """The first such category."""
    infinite: int = 0

    @property
    def missing(self) -> int:
        """Rows without a value."""
        return int(self.rows[-1])

    @property
    def total(self) -> int:
        """All rows."""
        return int(self.rows.sum())


@dataclass(frozen=True, eq=False)
class Bins:
    """What numbers and categories have in common: fine bins, and which of them make one bin of the PSI."""

    coarse: NDArray[np.int64]
    """For each fine bin its bin of the PSI, shape (fine bins,)."""

    def psi_counts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows by fine bin, folded into the bins of the PSI."""
        import numpy as np

        return np.bincount(self.coarse, weights=rows, minlength=self.coarse.max() + 1).astype(np.int64)

    def empty(self, windows: int) -> Counted:
        """Nothing counted yet."""
        import numpy as np

        fine = len(self.coarse)
        width = int(self.coarse.max()) + 1
        return Counted(np.zeros(fine, np.int64), np.zeros(fine), np.zeros((windows, width), np.int64))

    def add(self, to: Counted, codes: NDArray[np.intp], window: NDArray[np.int32] | None) -> None:
        """Count rows by their fine bin and, where there are windows, by window (negative: in none)."""
        import numpy as np

        to.rows += np.bincount(codes, minlength=len(to.rows))
        if window is not None and to.windows.size:
            count, width = to.windows.shape
            # Rows of no window go to one more, which is thrown away.
            cell = np.where(window < 0, count, window).astype(np.int64) * width + self.coarse[codes]
            to.windows += np.bincount(cell, minlength=(count + 1) * width)[: count * width].reshape(count, width)


@dataclass(frozen=True, eq=False)
class Numbers(Bins):
    """Bins of a column of numbers, cut at the reference's quantiles; missing values have one of their own."""

    edges: NDArray[np.float64] = field(kw_only=True)
    """Upper ends of all fine bins but the last; with `exact`, the values themselves."""
    exact: bool = field(kw_only=True)
    """At most 20 distinct values: each is a fine bin, and so is each gap between them; all gaps are one PSI bin."""
    centre: float = field(kw_only=True)
    ends: tuple[float, float] = field(kw_only=True)
    """Smallest and largest finite value of the sample: there infinite values are put for means."""

    @classmethod
    def of(cls, sample: NDArray[np.float64], bins: int) -> Numbers:
        """Bins from reference values (a sample will do); missing and infinite ones do not count."""
        import numpy as np

        values = sample[np.isfinite(sample)]
        if not values.size:
            return cls(np.arange(2), edges=np.zeros(0), exact=False, centre=0.0, ends=(0.0, 0.0))
        distinct = np.unique(values)
        ends, centre = (float(distinct[0]), float(distinct[-1])), float(np.median(values))
        if distinct.size <= max(bins, _FEW):
            # gap, value, gap, ..., value, gap, missing
            coarse = np.full(2 * distinct.size + 2, distinct.size)
            coarse[1:-1:2] = np.arange(distinct.size)
            coarse[-1] += 1
            return cls(coarse, edges=distinct, exact=True, centre=centre, ends=ends)
        levels = np.arange(1, bins * _FINER) / (bins * _FINER)
        cuts = np.quantile(values, levels, method="inverted_cdf")
        wide = np.unique(cuts[_FINER - 1 :: _FINER])
        # A cut at the largest value leaves nothing above it.
        fine = np.unique(np.concatenate([cuts, np.quantile(values, _TAILS, method="inverted_cdf")]))
        fine, wide = fine[fine < ends[1]], wide[wide < ends[1]]
        inner = np.searchsorted(wide, fine)
        coarse = np.concatenate([inner, [wide.size, wide.size + 1]])
        return cls(coarse, edges=fine, exact=False, centre=centre, ends=ends)

    def count(
        self, chunks: Iterator[tuple[slice, NDArray[np.float64]]], window: NDArray[np.int32] | None, windows: int
    ) -> Counted:
        """Count a column that comes in chunks of (where, values)."""
        import numpy as np

        found = self.empty(windows)
        last = len(self.coarse) - 1
        for where, values in chunks:
            codes = np.searchsorted(self.edges, values)
            if self.exact:
                inside = np.minimum(codes, self.edges.size - 1)
                codes = 2 * codes + (self.edges[inside] == values)
            missing = np.isnan(values)
            if missing.any():
                codes[missing] = last
            infinite = np.isinf(values)
            beyond = int(infinite.sum())
            if beyond:
                found.infinite += beyond
            with np.errstate(over="ignore", invalid="ignore"):
                about = np.where(missing, 0.0, values - self.centre)
                if beyond:
                    low, high = self.ends
                    about[infinite] = np.where(values[infinite] > 0, high, low) - self.centre
                found.sums += np.bincount(codes, weights=about, minlength=len(found.sums))
                found.squares += float(np.dot(about, about))
            self.add(found, codes, None if window is None else window[where])
        return found

    def atoms(self, counted: Counted) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(rows, mean about the centre) of each fine bin that is not for missing values, for `wasserstein`."""
        import numpy as np

        rows = counted.rows[:-1]
        return rows, counted.sums[:-1] / np.maximum(rows, 1)

    def deviation(self, counted: Counted) -> float:
        """Standard deviation of the values that are there; nan without any."""
        import numpy as np

        n = counted.total - counted.missing
        if not n:
            return float("nan")
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.sqrt(max(counted.squares / n - (counted.sums[:-1].sum() / n) ** 2, 0.0)))


@dataclass(frozen=True, eq=False)
class Categories(Bins):
    """The reference's most frequent categories, one bin each; one for all others, and one for missing values."""

    known: NDArray[np.uint64] = field(kw_only=True)
    """Hashes of all categories of the reference, sorted."""
    bin_of: NDArray[np.int64] = field(kw_only=True)
    """For each of `known` its bin."""

    @classmethod
    def of(cls, chunks: Iterator[Texts], most: int) -> Categories:
        """Bins for the `most` frequent categories of a column that comes in chunks."""
        import numpy as np

        names, rows = np.zeros(0, np.uint64), np.zeros(0, np.int64)
        for chunk in chunks:
            counts = np.bincount(chunk.codes[chunk.codes >= 0], minlength=len(chunk.hashes))
            both, back = np.unique(np.concatenate([names, chunk.hashes]), return_inverse=True)
            rows = np.bincount(back, weights=np.concatenate([rows, counts]), minlength=both.size).astype(np.int64)
            names = both
        bin_of = np.full(names.size, min(most, names.size))
        frequent = np.lexsort((names, -rows))[:most]
        bin_of[frequent] = np.arange(frequent.size)
        return cls(np.arange(frequent.size + 2), known=names, bin_of=bin_of)

    def count(self, chunks: Iterator[Texts], window: NDArray[np.int32] | None, windows: int) -> Counted:
        """Count a column that comes in chunks."""
        import numpy as np

        found = self.empty(windows)
        other, last = len(self.coarse) - 2, len(self.coarse) - 1
        for chunk in chunks:
            at = np.minimum(np.searchsorted(self.known, chunk.hashes), max(self.known.size - 1, 0))
            new = self.known[at] != chunk.hashes if self.known.size else np.ones(len(chunk.hashes), bool)
            bins = np.where(new, other, self.bin_of[at] if self.known.size else other)
            # The last place is for code -1, which means missing.
            codes = np.append(bins, last)[chunk.codes]
            if new.any():
                rows = np.bincount(chunk.codes[chunk.codes >= 0], minlength=len(new))
                found.unseen += int(rows[new].sum())
                if found.example is None and rows[new].any():
                    found.example = chunk.name(int(np.flatnonzero(new & (rows > 0))[0]))
            self.add(found, codes, None if window is None else window[chunk.where])
        return found


@dataclass(frozen=True, eq=False)
class Texts:
    """Some rows of a column of categories."""

    where: slice
    codes: NDArray[np.intp]
    """Index into `hashes` for each row; -1: missing."""
    hashes: NDArray[np.uint64]
    """A 64-bit key of each distinct category."""
    name: Callable[[int], str]
    """The category itself, by its index."""


def slices(n: int) -> Iterator[slice]:
    """Where the chunks of n rows begin and end; one empty one when there are none."""
    return iter([slice(start, min(start + CHUNK, n)) for start in range(0, max(n, 1), CHUNK)])


@lru_cache(maxsize=8)
def some(n: int, most: int, seed: int) -> Any:
    """Which rows to look at when all are too many: sorted indices, shape (most,), or all rows as a slice."""
    import numpy as np

    draw = np.random.default_rng(seed)
    return slice(None) if n <= most else np.sort(draw.choice(n, most, replace=False, shuffle=False))
