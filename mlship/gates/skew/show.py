"""What a person sees of skew: sentences, the table per feature, and the first rows that differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlship.exhibits import Cell, Table
from mlship.gates.skew.join import Match, Met
from mlship.gates.skew.units import Cause, duration, plain
from mlship.gates.skew.values import Compared
from mlship.report.figures import count, listed, quoted, share, things

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: Rows in a table of examples.
_FIRST = 10
#: Lines in the table per feature.
_FEATURES = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """What came out about one column."""

    name: str
    share: float
    """Of the compared rows that differ."""
    compared: int
    differing: int = 0
    largest: str = ""
    """The largest difference, in words."""
    example: str = ""
    place: str = ""
    """Where the differing rows are, when that is somewhere."""
    causes: tuple[Cause, ...] = ()
    rows: Table | None = None
    empty: bool = False
    """No row has a value on any side."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The two tables and the columns by which a person finds a row again."""

    offline: pd.DataFrame
    online: pd.DataFrame
    keys: tuple[str, ...]
    time: str | None

    def name(self, row: int) -> str:
        """The online row by its key: `flight_id 17`."""
        return ", ".join(f"{key} {_cell(self.online[key].iloc[row])}" for key in self.keys)

    def cells(self, row: int) -> tuple[Cell, ...]:
        """The key's cells of an online row."""
        return tuple(_cell(self.online[key].iloc[row]) for key in self.keys)


def first_rows(
    column: Compared, why: list[Cause], place: str, *, shown: Shown, matched: Match, rows: NDArray[np.int64]
) -> Finding:
    """The finding about a column that differs, with its first rows and the one that differs most."""
    import numpy as np

    at = np.flatnonzero(column.differs)
    chosen = at[:_FIRST]
    most = column.largest()
    apart = most is not None and most[0] not in chosen
    if most is not None and apart:
        chosen = np.append(chosen, most[0])
    lines = []
    for row, (left, right) in zip(rows[chosen].tolist(), _pairs(column, chosen), strict=True):
        times: tuple[Cell, ...] = ()
        if shown.time is not None:
            met = int(matched.offline[row])
            times = (_cell(shown.online[shown.time].iloc[row]), _cell(shown.offline[shown.time].iloc[met]))
        lines.append((row + 1, *shown.cells(row), *times, *_texts(left, right, column), _difference(left, right)))
    timed = ("time", "offline time") if shown.time is not None else ()
    headings = ("row", *shown.keys, *timed, "offline", "online", "difference")
    note = f"the first {len(chosen) - apart} of {things(len(at), 'row')} that differ, by their row in the online data"
    note += "; the last line is the largest difference" if apart else ""
    shows, word, largest = int(at[0]), "first", ""
    if most is not None:
        shows, word = most[0], "most"
        largest = duration(most[1]) if column.kind == "time" else plain(most[1])
    first, second = _texts(*_pairs(column, np.array([shows]))[0], column)
    row = int(rows[shows])
    return Finding(
        name=column.name,
        share=column.share,
        compared=len(rows),
        differing=len(at),
        largest=largest,
        example=f"{word} in row {row + 1:,}, {shown.name(row)}: {first} offline, {second} online",
        place=place,
        causes=tuple(why),
        rows=Table("first rows that differ", headings, tuple(lines), note),
    )


def sentence(finding: Finding) -> str:
    """How many rows differ, why, and the example that shows it best."""
    return (
        f"{count(finding.differing)} of {things(finding.compared, 'row')} differ ({share(finding.share)})"
        f"{', ' * bool(finding.place)}{finding.place}: "
        f"{likely(finding)}; {finding.example}"
    )


def likely(finding: Finding) -> str:
    """Causes with their shares: `online is offline x 60 in 99.8% of them (hours against minutes?)`."""
    said = []
    for cause in finding.causes[:3]:
        where = "in all of them" if cause.share > 1 - 1e-9 else f"in {share(cause.share)} of them"
        said.append(f"{cause.claim} {where}" + (f" ({cause.guess}?)" if cause.guess else ""))
    return "; ".join(said) or "no single cause explains it"


def per_feature(findings: list[Finding], compared: int) -> Table:
    """One line per column that differs, the worst first."""
    differing = [finding for finding in findings if finding.differing]
    lines = tuple(
        (
            finding.name,
            finding.compared,
            finding.differing,
            finding.share,
            finding.largest or None,
            "; ".join(f"{cause.claim} ({share(cause.share)})" for cause in finding.causes[:2]) or None,
        )
        for finding in differing[:_FEATURES]
    )
    same = [finding.name for finding in findings if not finding.differing]
    note = f"{count(compared)} rows compared"
    if len(differing) > _FEATURES:
        note += f"; {len(differing) - _FEATURES} more columns differ"
    if same:
        note += f"; the same in every row: {listed(same, 12)}"
    columns = ("feature", "compared", "differing", "share", "largest difference", "likely cause")
    return Table("mismatch per feature", columns, lines, note, shares=("share",))


def why_unmatched(matched: Match, max_age: float | None) -> str:
    """The reasons with their counts, and what a common gap gives away."""
    import numpy as np

    words = {
        Met.UNKNOWN: "have a key that no offline row has",
        Met.LATER: "come before the first offline row of their key",
        Met.TOO_OLD: f"meet an offline row older than {duration(max_age or 0)}",
        Met.NO_KEY: "have no key or no readable time",
    }
    counts = [(int((matched.met == met).sum()), text) for met, text in words.items()]
    told = [f"{count(number)} {text}" for number, text in sorted(counts, reverse=True) if number]
    later = matched.met == Met.LATER
    if matched.ages is not None and later.sum() >= 5:
        gaps = -matched.ages[later]
        gap = float(np.median(gaps))
        if 0 < gap <= 14 * 3600 and gap % 900 == 0 and float((gaps == gap).mean()) > 0.5:
            told.append(
                f"the next offline row is {duration(gap)} later for most of them: is one side in another time zone?"
            )
    return "; ".join(told)


def unmatched_table(shown: Shown, matched: Match) -> Table:
    """The first online rows that met nothing."""
    import numpy as np

    alone = np.flatnonzero((matched.met != Met.MATCHED) & (matched.met != Met.AMBIGUOUS))
    words = {
        Met.UNKNOWN: "key is not offline",
        Met.LATER: "offline rows are all later",
        Met.TOO_OLD: "offline row is too old",
        Met.NO_KEY: "no key or time",
    }
    lines = []
    for row in alone[:_FIRST].tolist():
        times: tuple[Cell, ...] = ()
        if shown.time is not None:
            age = float("nan") if matched.ages is None else float(matched.ages[row])
            gap = None if np.isnan(age) else f"{duration(abs(age))} {'later' if age < 0 else 'earlier'}"
            times = (_cell(shown.online[shown.time].iloc[row]), gap)
        lines.append((row + 1, *shown.cells(row), *times, words[Met(int(matched.met[row]))]))
    columns = ("row", *shown.keys, *(("time", "nearest offline row") if shown.time else ()), "why")
    note = f"the first {len(lines)} of {things(len(alone), 'online row')} without an offline row"
    return Table("online rows without an offline row", columns, tuple(lines), note)


def twins_table(shown: Shown, matched: Match, rows: NDArray[np.int64]) -> Table:
    """The first online rows that several offline rows compete for."""
    lines = []
    for row in rows[:_FIRST].tolist():
        twins = matched.twins(row)
        lines.append((row + 1, *shown.cells(row), len(twins), listed([f"{at + 1:,}" for at in twins.tolist()], 4)))
    columns = ("row", *shown.keys, "offline rows", "which")
    return Table(
        "several offline rows for one online row", columns, tuple(lines), f"{things(len(rows), 'online row')} in all"
    )


def _pairs(column: Compared, rows: NDArray[np.int64]) -> list[tuple[Any, Any]]:
    """The values of both sides in some of the compared rows."""
    return list(zip(column.values("offline", rows), column.values("online", rows), strict=True))


def _texts(left: Any, right: Any, column: Compared) -> tuple[str, str]:
    """Two values as text, with enough digits that they look as different as they are."""
    if isinstance(left, float) and isinstance(right, float) and plain(left) == plain(right):
        return repr(left), repr(right)
    kinds = ("text", "text") if column.kind == "text" else column.kinds if column.kind == "types" else ("", "")
    first, second = (
        "missing" if value is None else quoted(value) if kind == "text" else str(_cell(value))
        for value, kind in zip((left, right), kinds, strict=True)
    )
    return first, second


def _difference(left: Any, right: Any) -> Cell:
    if isinstance(left, float) and isinstance(right, float):
        apart = right - left
        return f"{'+' if apart > 0 else ''}{plain(apart)}"
    if hasattr(left, "timestamp") and hasattr(right, "timestamp"):
        return f"{'+' if right > left else '-'}{duration(abs((right - left).total_seconds()))}"
    return None


def _cell(value: Any) -> Cell:
    """A value of the data for a cell."""
    import pandas as pd

    if value is None or value is pd.NaT or (isinstance(value, float) and value != value):  # noqa: PLR0124 - nan
        return "missing"
    if isinstance(value, str):
        return value if len(value) <= 60 else f"{value[:57]}..."
    if isinstance(value, float):
        return plain(value)
    if hasattr(value, "strftime"):
        return str(value)
    return str(getattr(value, "item", lambda: value)())
