"""Rows become windows: each cell is counted in its window, whole and by slice, a batch at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlship.monitor.reading.cells import HIDDEN
from mlship.types.monitoring import Baseline, Counts, Labelled, Tally

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Places = NDArray[np.int16]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some rows in the baseline's terms; each array has shape (rows,)."""

    windows: Ints
    """Number of the window: its start divided by its length."""
    features: Mapping[str, Places | None]
    """Position of each cell; None: the column is not there."""
    answers: Places | None = None
    scores: Places | None = None
    slices: Mapping[str, Places] = ()  # type: ignore[assignment]  # an empty one that nobody can change
    """By column, the place of the row's value among the slices; -1: none of them."""
    labels: Places | None = None
    """Place of the row's label; -1: not told."""
    errors: NDArray[np.float64] | None = None
    """Numbers: answer - label; nan where either is missing."""

    def part(self, chosen: Any) -> Batch:
        """Some of its rows, by a mask."""

        def of(column: Any) -> Any:
            return None if column is None else column[chosen]

        return Batch(
            self.windows[chosen],
            {name: of(column) for name, column in self.features.items()},
            of(self.answers),
            of(self.scores),
            {name: of(column) for name, column in dict(self.slices).items()},
            of(self.labels),
            of(self.errors),
        )


class Table:
    """Sums by window: one line of numbers each."""

    def __init__(self, width: int, kind: str = "int64") -> None:
        import numpy as np

        self._kind = kind
        self.lines: NDArray[Any] = np.zeros((0, width), dtype=kind)

    def add(self, slots: Ints, more: NDArray[Any]) -> None:
        """Add lines at places that all differ."""
        import numpy as np

        most = int(slots.max(initial=-1)) + 1
        if most > len(self.lines):
            grown = np.zeros((max(most, 2 * len(self.lines), 64), self.lines.shape[1]), dtype=self._kind)
            grown[: len(self.lines)] = self.lines
            self.lines = grown
        self.lines[slots] += more.reshape(len(slots), -1)

    def line(self, slot: int) -> list[Any]:
        """The sums of one window, as Python's numbers."""
        return self.lines[slot].tolist() if slot < len(self.lines) else [0] * self.lines.shape[1]


class Counter:
    """Counts rows by window.

    Parameters
    ----------
    features
        Whether features are counted; labels alone are counted of windows that were given before.
    labelled
        Whether there are labels at all.
    """

    def __init__(self, baseline: Baseline, *, features: bool, labelled: bool) -> None:
        self._baseline, self._labelled = baseline, labelled
        self._slots: dict[int, int] = {}
        chosen = baseline.features if features else {}
        self._features = {name: Table(column.bins.width) for name, column in chosen.items()}
        self._absent = {name: Table(1) for name in chosen}
        self._pending = {name: Table(1) for name in chosen}
        self._groups = {"": 1} | {column: len(values) for column, values in baseline.slices.items()}
        self._classes = len(baseline.labels) + 1
        self._tables: dict[tuple[str, str], Table] = {}
        self.others = Table(1)

    def add(self, batch: Batch) -> None:
        """Count a batch."""
        import numpy as np

        if not len(batch.windows):
            return
        unique, inverse = np.unique(batch.windows, return_inverse=True)
        slots = self._places(unique)
        for name, table in self._features.items():
            column, width = batch.features.get(name), table.lines.shape[1]
            if column is None:
                self._pending[name].add(slots, np.bincount(inverse, minlength=len(slots)))
                continue
            seen = column != HIDDEN
            keys = inverse * width + column if seen.all() else inverse[seen] * width + column[seen]
            table.add(slots, np.bincount(keys, minlength=len(slots) * width))
        for group, size in self._groups.items():
            if not group:
                self._add_group("", 1, slots, inverse, batch)
            elif group in batch.slices:
                place = batch.slices[group]
                inside = place >= 0
                self._add_group(group, size, slots, inverse[inside] * size + place[inside], batch.part(inside))

    def add_others(self, windows: Ints) -> None:
        """Count rows of other versions."""
        import numpy as np

        unique, inverse = np.unique(windows, return_inverse=True)
        self.others.add(self._places(unique), np.bincount(inverse, minlength=len(unique)))

    def settle(self, named: frozenset[str]) -> None:
        """A file has ended: cells of columns that it names somewhere were missing, those of others nobody has told."""
        for name, table in self._pending.items():
            if len(table.lines):
                import numpy as np

                slots = np.flatnonzero(table.lines[:, 0])
                rows = table.lines[slots, 0]
                if name in named:
                    counts = self._features[name]
                    more = np.zeros((len(slots), counts.lines.shape[1]), dtype=np.int64)
                    more[:, self._baseline.features[name].bins.missing] = rows
                    counts.add(slots, more)
                else:
                    self._absent[name].add(slots, rows)
                self._pending[name] = Table(1)

    def windows(self, since: float | None, until: float) -> list[float]:
        """Starts of the windows with rows between two moments, in order."""
        length = self._baseline.window
        return sorted(
            number * length
            for number, slot in self._slots.items()
            if number * length < until
            and (since is None or number * length >= since)
            and self._table("", "rows", 1).line(slot)[0]
        )

    def rows_of_others(self, until: float) -> int:
        """How many rows of other versions there were before a moment."""
        length = self._baseline.window
        before = [slot for number, slot in self._slots.items() if number * length < until]
        return sum(int(self.others.line(slot)[0]) for slot in before)

    def tallies(self, starts: Sequence[float], labels_until: float | None) -> list[Tally]:
        """These windows, each with its slices; labels of those that end up to a moment (None: of none)."""
        return [tally for start in starts for tally in self._window(start, labels_until)]

    def _window(self, start: float, labels_until: float | None) -> list[Tally]:
        length = self._baseline.window
        slot = self._slots[round(start / length)]
        with_labels = self._labelled and labels_until is not None and start + length <= labels_until
        found = [self._tally(start, "", 0, slot, with_labels=with_labels)]
        for group, values in self._baseline.slices.items():
            of = [self._tally(start, group, place, slot, with_labels=with_labels) for place in range(len(values))]
            found += [tally for tally in of if tally.rows]
        return found

    def _tally(self, start: float, group: str, place: int, slot: int, *, with_labels: bool) -> Tally:
        size = self._groups[group]

        def line(kind: str, width: int) -> list[Any] | None:
            table = self._tables.get((group, kind))
            if table is None:
                return None
            whole = table.line(slot)
            return whole[place * width : (place + 1) * width]

        rows = (line("rows", 1) or [0])[0]
        baseline = self._baseline
        answers = line("answers", baseline.answers.bins.width) if baseline.answers else None
        scores = line("scores", baseline.scores.bins.width) if baseline.scores else None
        named = f"{group}={baseline.slices[group][place]}" if group else ""
        assert place < size, "one of the group's values"
        return Tally(
            start=start,
            seconds=baseline.window,
            rows=rows,
            features={} if group else self._counts(slot),
            answers=_counts(answers),
            scores=_counts(scores),
            labelled=self._labels(line) if with_labels else None,
            slice=named,
        )

    def _counts(self, slot: int) -> dict[str, Counts]:
        """Of the features; without those that no row of the window tells."""
        found: dict[str, Counts] = {}
        for name, table in self._features.items():
            counts = table.line(slot)
            absent = self._absent[name].line(slot)[0]
            if any(counts):
                counts[self._baseline.features[name].bins.missing] += absent
                found[name] = tuple(counts)
        return found

    def _labels(self, line: Any) -> Labelled:
        classes, baseline = self._classes, self._baseline
        rows = (line("labelled", 1) or [0])[0]

        def table(kind: str, width: int) -> tuple[tuple[int, ...], ...]:
            flat = line(kind, width * classes)
            if flat is None or not sum(flat):
                return ()
            return tuple(tuple(flat[at * classes : (at + 1) * classes]) for at in range(width))

        if baseline.task == "numbers":
            errors = line("errors", 4) or [0.0] * 4
            return Labelled(rows=rows, errors=(errors[0], errors[1], errors[2], errors[3]))
        return Labelled(
            rows=rows,
            scored=table("scored", baseline.scores.bins.width) if baseline.scores else (),
            answered=table("answered", baseline.answers.bins.width) if baseline.answers else (),
        )

    def _add_group(self, group: str, size: int, slots: Ints, keys: Ints, batch: Batch) -> None:
        """Count answers, scores and labels of one group of slices; `keys` are places among slots times size."""
        import numpy as np

        lines = len(slots) * size
        self._table(group, "rows", size).add(slots, np.bincount(keys, minlength=lines))
        baseline = self._baseline
        for kind, column, of in (
            ("answers", batch.answers, baseline.answers),
            ("scores", batch.scores, baseline.scores),
        ):
            if column is not None and of is not None:
                width = of.bins.width
                counts = np.bincount(keys * width + column, minlength=lines * width)
                self._table(group, kind, size * width).add(slots, counts)
        if batch.labels is not None:
            self._add_classes(group, size, slots, keys, batch)
        if batch.errors is not None:
            told = ~np.isnan(batch.errors)
            keys, errors = keys[told], batch.errors[told]
            self._table(group, "labelled", size).add(slots, np.bincount(keys, minlength=lines))
            sums = [
                np.bincount(keys, weights=each, minlength=lines)
                for each in (np.ones(len(errors)), errors, np.abs(errors), errors * errors)
            ]
            self._table(group, "errors", size * 4, "float64").add(slots, np.stack(sums, axis=1))

    def _add_classes(self, group: str, size: int, slots: Ints, keys: Ints, batch: Batch) -> None:
        import numpy as np

        assert batch.labels is not None, "asked before"
        told, lines, classes = batch.labels >= 0, len(slots) * size, self._classes
        keys, labels = keys[told], batch.labels[told]
        self._table(group, "labelled", size).add(slots, np.bincount(keys, minlength=lines))
        baseline = self._baseline
        for kind, column, of in (
            ("scored", batch.scores, baseline.scores),
            ("answered", batch.answers, baseline.answers),
        ):
            if column is not None and of is not None:
                width = of.bins.width * classes
                places = (keys * of.bins.width + column[told]) * classes + labels
                self._table(group, kind, size * width).add(
                    slots, np.bincount(places, minlength=lines * of.bins.width * classes)
                )

    def _table(self, group: str, kind: str, width: int, dtype: str = "int64") -> Table:
        return self._tables.setdefault((group, kind), Table(width, dtype))

    def _places(self, windows: Ints) -> Ints:
        import numpy as np

        slots = [self._slots.setdefault(number, len(self._slots)) for number in windows.tolist()]
        return np.array(slots, dtype=np.int64)


def _counts(line: list[int] | None) -> Counts | None:
    """None where nobody has told any."""
    return tuple(line) if line is not None and any(line) else None
