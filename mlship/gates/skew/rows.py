"""Causes of skew that show only across rows: renumbered categories, another column's values, stale or shifted rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlship.gates.skew.units import Cause, duration
from mlship.gates.skew.values import Compared

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: A cause is named when it explains this share of the differing rows of its kind.
EXPLAINS = 0.9
#: With fewer differing rows than this everything fits, so nothing is named.
FEWEST = 5
#: Causes are looked for in so many rows, evenly spread.
SAMPLE = 20_000
#: Two figures that agree to this are the same when a cause is tried: float32 on one side must not hide a factor.
CLOSE = 1e-5
#: Steps back in an entity's history in which a stale value is looked for.
_BACK = 48


@dataclass(frozen=True, slots=True, eq=False)
class Around:
    """What else can be asked about the rows of the sample."""

    earlier: Callable[[NDArray[np.int64], int], NDArray[np.int64]]
    """(rows, steps): positions of the offline rows so many steps back in the same entity's history, or -1."""
    ages: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64] | None]
    """(rows, offline positions): seconds from the offline rows to the online rows; None without times."""
    others: Callable[[NDArray[np.int64]], Iterator[tuple[str, NDArray[Any]]]]
    """Names and offline values of the other compared columns of the same kind, at these rows."""


def spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most `most` of the rows, evenly spread over them; the same ones every time."""
    import numpy as np

    return rows if rows.size <= most else rows[np.linspace(0, rows.size - 1, most).astype(np.int64)]


def recoded(column: Compared, rows: Any) -> Iterator[Cause]:
    """Each value has become one other value, in all rows: swapped or renumbered categories."""
    import numpy as np

    every = spread(np.arange(len(column.offline)), 5 * SAMPLE)
    ours, asked = column.offline[every], column.online[every]
    known = (ours >= 0) & (asked >= 0) if column.kind == "text" else ~(np.isnan(ours) | np.isnan(asked))
    ours, asked = ours[known], asked[known]
    values, left = np.unique(ours, return_inverse=True)
    targets, right = np.unique(asked, return_inverse=True)
    if column.kind == "number" and not bool((values == np.trunc(values)).all()):
        return  # measured, not counted or coded
    if len(values) < 2 or len(values) * 5 > len(ours) or len(values) * len(targets) > 4_000_000:
        return
    counts = np.bincount(left * len(targets) + right, minlength=len(values) * len(targets)).reshape(len(values), -1)
    best = counts.argmax(axis=1)
    pure = counts.max(axis=1) >= EXPLAINS * counts.sum(axis=1)
    moved = pure & (targets[best] != values) & (counts.sum(axis=1) >= FEWEST)
    if int(moved.sum()) < 2 or len(set(best[moved].tolist())) < int(moved.sum()):
        return
    table = dict(zip(values[moved].tolist(), targets[best[moved]].tolist(), strict=True))
    new = np.array([table.get(value, np.nan) for value in values.tolist()], dtype=float)
    at = np.searchsorted(values, np.clip(column.offline[rows], values[0], values[-1]))
    share = float((new[at] == column.online[rows]).mean())
    pairs = [
        f"{column.said(was)} is {column.said(is_)}"
        for was, is_ in sorted(table.items(), key=lambda pair: column.said(pair[0]))[:3]
    ]
    more = "" if len(table) <= 3 else f", {len(table)} values in all"
    swapped = set(table) == set(table.values())
    yield Cause(
        f"values {'are exchanged' if swapped else 'have other names or numbers'} online ({', '.join(pairs)}{more})",
        share,
        "an encoder that was fitted again, or categories in another order"
        if swapped
        else "another code list or encoder",
    )


def other_column(column: Compared, rows: Any, asked: Any, around: Around) -> Iterator[Cause]:
    """The values of another column: exchanged in an array, or a wrong name in a query."""
    import numpy as np

    few = np.linspace(0, len(rows) - 1, min(len(rows), 2000)).astype(np.int64)
    sought = (
        asked[few] if column.kind != "text" else np.array([column.texts[code] for code in asked[few]], dtype=object)
    )
    best: tuple[float, str] = (0.0, "")
    for name, values in around.others(rows[few]):
        share = _same(values, sought)
        # Constant columns match at every row; only a column that follows row by row counts.
        if share >= EXPLAINS and _same(_strangers(values), sought) <= share / 2:
            best = max(best, (share, name))
    if best[1]:
        yield Cause(
            f"online holds the offline values of '{best[1]}'", best[0], "columns in another order, or a wrong name"
        )


def _strangers(values: NDArray[Any]) -> NDArray[Any]:
    """The values in another order, always the same one: what fits these too, fits by chance."""
    import numpy as np

    return np.asarray(values[np.random.default_rng(len(values)).permutation(len(values))])


def _same(values: Any, sought: Any) -> float:
    import numpy as np

    if sought.dtype == object:
        return float((values == sought).mean())
    with np.errstate(invalid="ignore"):
        return float((np.abs(values - sought) <= CLOSE * np.abs(sought)).mean())


def stale(column: Compared, rows: Any, asked: Any, around: Around) -> Iterator[Cause]:
    """A value from earlier in the entity's history. What chance does is seen by giving rows each other's values."""
    import numpy as np

    few = np.linspace(0, len(rows) - 1, min(len(rows), 5000)).astype(np.int64)
    chosen, sought = rows[few], asked[few]
    strangers = _strangers(sought)
    close = 0.0 if column.kind == "text" else 1e-9
    found = np.zeros(len(chosen), dtype=bool)
    by_chance = np.zeros(len(chosen), dtype=bool)
    place = np.full(len(chosen), -1, dtype=np.int64)
    guess = "stale: written too late, cached, or not refreshed"
    for back in range(1, _BACK + 1):
        position = around.earlier(chosen, back)
        there = position >= 0
        if not there.any():
            break
        values = column.history[np.where(there, position, 0)]
        with np.errstate(invalid="ignore"):
            hit = there & (np.abs(values - sought) <= close * np.abs(sought))
            chance = there & (np.abs(values - strangers) <= close * np.abs(strangers))
        if hit.mean() >= EXPLAINS and chance.mean() <= hit.mean() / 2:
            which = "previous offline row" if back == 1 else f"offline row {back} before"
            claim = f"online is the value of the entity's {which}"
            yield Cause(claim + _old(around, chosen[hit], position[hit]), float(hit.mean()), guess)
            return
        place[hit & ~found] = position[hit & ~found]
        found |= hit
        by_chance |= chance
    if found.mean() >= EXPLAINS and by_chance.mean() <= found.mean() / 2:
        claim = f"online is an earlier offline value of the entity{_old(around, chosen[found], place[found])}"
        yield Cause(claim, float(found.mean()), guess)


def _old(around: Around, rows: NDArray[np.int64], place: NDArray[np.int64]) -> str:
    """The age of the values at the time of the online rows."""
    import numpy as np

    ages = around.ages(rows, place)
    return "" if ages is None else f", {duration(float(np.median(ages)))} old in the median"


def other_rows(column: Compared, rows: Any) -> Iterator[Cause]:
    """The right values in the wrong rows: shifted by one, or in another order."""
    import numpy as np

    if len(column.offline) < 2 * FEWEST or len(np.unique(column.offline[rows])) < 10:
        return
    for step, word in ((1, "before"), (-1, "after")):
        inside = rows[(rows - step >= 0) & (rows - step < len(column.offline))]
        share = float((column.offline[inside - step] == column.online[inside]).mean()) if inside.size else 0.0
        elsewhere = (
            float((_strangers(column.offline[inside - step]) == column.online[inside]).mean()) if inside.size else 1.0
        )
        if elsewhere <= share / 2:
            yield Cause(f"online is the offline value of the row {word}", share, "rows are shifted by one")
    differs = column.differs & ~column.lost & ~column.filled
    if np.array_equal(np.sort(column.offline[differs]), np.sort(column.online[differs])):
        yield Cause("online holds the same values in other rows", 1.0, "joined on a wrong key, or in another order")
