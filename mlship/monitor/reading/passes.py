"""One pass over a log: what is complete and was not given before, as windows of the baseline's bins."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import DataError
from mlship.monitor.reading.counting import Counter
from mlship.monitor.reading.labels import Labels
from mlship.monitor.reading.logs import Files, Piece, Query, Source, Wanted
from mlship.monitor.reading.order import Order, Resolve, source_of, trouble
from mlship.monitor.reading.served import label_batches
from mlship.monitor.reading.taking import Times, batch, times
from mlship.monitor.reading.times import MICRO
from mlship.monitor.reading.values import Met, Progress, Read
from mlship.monitor.reading.windows import GRACE, floor, labelled_until, until
from mlship.report.figures import listed, things
from mlship.types.monitoring import Baseline, Tally, Trouble

if TYPE_CHECKING:
    import pandas as pd

    from mlship.policy.monitor import Monitor


@dataclass(slots=True)
class _Seen:
    """One file or query, so far."""

    piece: Piece
    windows: dict[int, int] = field(default_factory=dict)
    """Rows of the version by window."""
    newest: float | None = None
    unread: int = 0
    named: set[str] = field(default_factory=set)


def read(
    monitor: Monitor,
    baseline: Baseline,
    resolve: Resolve,
    *,
    version: str,
    since: float | None,
    now: float,
    progress: Progress | None = None,
    served: tuple[Path, ...] = (),
    redacted: frozenset[str] = frozenset(),
) -> Read:
    """Count the windows that are complete now and were not given before; raises nothing that a log can cause.

    A log that cannot be read leaves all as it was (`until` is `since`), and a trouble that says what, where and what to
    do: it is tried again by the next pass. The tallies are the same however passes cut the time.

    Parameters
    ----------
    resolve
        Makes a path of the policy absolute.
    since
        `Read.until` of the last pass; at the first the moment from which on traffic is looked at; None: all there is.
    now
        Unix time.
    progress
        `Read.progress` of the last pass; None at the first.
    served
        Without `monitor.log`: directories with the prediction logs of the model's servers.
    redacted
        Features that servers do not log: they are not missed.
    """
    try:
        return _Pass(Order(monitor, baseline, resolve, version, since, now, progress, served, redacted)).run()
    except DataError as error:
        source = "labels" if isinstance(error, _NoLabels) else "log"
        return Read(until=since, troubles=(trouble(source, error, now),), progress=progress or Progress())
    except OSError as error:
        told = DataError(f"cannot be read: {error.strerror or error}", where=str(error.filename or "the log"))
        return Read(until=since, troubles=(trouble("log", told, now),), progress=progress or Progress())


class _NoLabels(DataError):
    """Labels that cannot be read."""


class _Pass:
    def __init__(self, order: Order) -> None:
        self._order, self._monitor, self._baseline = order, order.monitor, order.baseline
        self._now, self._progress, self._window = order.now, order.progress, order.baseline.window
        # A window that was begun before is not whole.
        self._since = None if order.since is None else floor(order.since + self._window - 1e-6, self._window)
        self._source, self._names = source_of(order)
        monitor, known = order.monitor, order.progress
        has_labels = monitor.labels is not None or self._names.target is not None or monitor.log is None
        self._labels: Labels | None = None
        self._label_trouble: Trouble | None = None
        self._label_since = known.labelled if known is not None and known.begun else self._since
        last = floor(order.now - monitor.delay - GRACE, self._window)
        due = self._label_since is None or last > self._label_since
        self._label_until = last if has_labels and due else None
        self._counter = Counter(order.baseline, features=True, labelled=False)
        self._late = Counter(order.baseline, features=False, labelled=True)
        self._future = 0

    def run(self) -> Read:
        with ExitStack() as stack:
            reach = self._since
            if self._label_until is not None:
                reach = None if None in (reach, self._label_since) else min(reach or 0.0, self._label_since or 0.0)
            files = self._progress.files if self._progress is not None and self._progress.begun else None
            found = self._source.pieces(stack, files, reach)
            if self._label_until is not None:
                self._look_for_labels()
            seen = [self._piece(piece) for piece in found.pieces]
        newest = max((one.newest for one in seen if one.newest is not None), default=None)
        newest = max(filter(None, (newest, *(met.newest for met in found.skipped.values()))), default=None)
        done = until(newest, self._now, self._window, self._since)
        return self._read(seen, dict(found.skipped), found.notes, newest, done)

    def _look_for_labels(self) -> None:
        """Read the labels that are looked up by key; a source that cannot be read leaves labels for later."""
        try:
            if self._monitor.labels is not None:
                if self._names.key is None:
                    hint = "name it under monitor.log.key"
                    raise _NoLabels(
                        "labels find no prediction: nothing says which column of the log is the key", hint=hint
                    )
                self._labels = Labels(self._label_rows(), self._baseline)
            elif self._monitor.log is None:
                self._labels = Labels(label_batches(self._source), self._baseline)
        except DataError as error:
            self._label_trouble = trouble("labels", error, self._now)
            self._label_until = None

    def _label_rows(self) -> Iterator[tuple[pd.Series[Any], pd.Series[Any]]]:
        """(keys, labels) of the policy's own labels."""
        labels = self._monitor.labels
        assert labels is not None, "asked before"
        wanted = Wanted(labels.key, {labels.target: None}, frozenset({labels.key}))
        source: Source
        if labels.sql is not None:
            source = Query(labels.sql, self._order.resolve("."), wanted)
        else:
            assert labels.path is not None, "the policy has one of the two"
            source = Files(
                labels.path,
                self._order.resolve(labels.path),
                replace(wanted, required=frozenset({labels.target})),
                self._monitor.zone,
                self._now,
            )
        with ExitStack() as stack:
            for piece in source.pieces(stack, None, None).pieces:
                for chunk in piece.chunks():
                    if chunk.rows and labels.key in chunk.columns and labels.target in chunk.columns:
                        yield chunk.columns[labels.key], chunk.columns[labels.target]

    def _piece(self, piece: Piece) -> _Seen:
        """Count the rows of one file or query."""
        seen = _Seen(piece)
        length = round(self._window * MICRO)
        first = -math.inf if self._since is None else round(self._since / self._window)
        label_first = -math.inf if self._label_since is None else round(self._label_since / self._window)
        label_end = -math.inf if self._label_until is None else round(self._label_until / self._window)
        rows = 0
        for chunk in piece.chunks():
            rows += chunk.rows
            seen.named |= chunk.named
            if not chunk.rows:
                continue
            when = times(chunk, self._names, self._monitor.zone, self._order.version, self._now)
            seen.unread += when.unread
            self._future += when.future
            windows = when.at // length
            self._take_times(seen, when, windows)
            others = when.usable & ~when.ours & (windows >= first)
            if others.any():
                self._counter.add_others(windows[others])
            new = when.ours & (windows >= first)
            labelled = when.ours & (windows >= label_first) & (windows < label_end)
            chosen = new | labelled
            if not chosen.any():
                continue
            made = batch(chunk, (windows, chosen), self._names, self._baseline, self._labels)
            if new.any():
                self._counter.add(made if new.sum() == chosen.sum() else made.part(new[chosen]))
            if labelled.any():
                self._late.add(made if labelled.sum() == chosen.sum() else made.part(labelled[chosen]))
        self._counter.settle(frozenset(seen.named))
        if piece.damage.lines * 2 > rows + piece.damage.lines:
            what = f"more than half of its lines are no rows: {piece.damage.first}"
            raise DataError(what, where=piece.met.name, hint="is this the log that the policy means?")
        seen.unread += piece.damage.lines
        return seen

    def _take_times(self, seen: _Seen, when: Times, windows: Any) -> None:
        import numpy as np

        if not when.ours.any():
            return
        last = float(when.at[when.ours].max()) / MICRO
        seen.newest = last if seen.newest is None else max(seen.newest, last)
        for number, rows in zip(
            *(part.tolist() for part in np.unique(windows[when.ours], return_counts=True)), strict=True
        ):
            seen.windows[number] = seen.windows.get(number, 0) + rows

    def _read(
        self,
        seen: list[_Seen],
        skipped: dict[str, Met],
        notes: tuple[str, ...],
        newest: float | None,
        done: float | None,
    ) -> Read:
        labels_done = self._label_since
        if self._label_until is not None:
            labels_done = labelled_until(done, self._now, self._window, self._monitor.delay, self._label_since)
        given: tuple[Tally, ...] = ()
        before: tuple[Tally, ...] = ()
        if done is not None:
            tallies = self._counter.tallies(self._counter.windows(self._since, done), None)
            with_labels: dict[tuple[float, str], Tally] = {}
            if self._label_until is not None and labels_done is not None:
                starts = self._late.windows(self._label_since, labels_done)
                with_labels = {(one.start, one.slice): one for one in self._late.tallies(starts, labels_done)}
            given = tuple(_joined(one, with_labels.pop((one.start, one.slice), None)) for one in tallies)
            before = tuple(with_labels.values())
        known = self._progress is not None and self._progress.begun
        files, late, unread = dict(skipped), 0, 0
        for one in seen:
            met, more, fresh = self._met(one, done, known=known)
            files[one.piece.key] = met
            late += more
            unread += fresh
        troubles = [*self._missing(seen, bool(given)), *self._damaged(seen)]
        if self._label_trouble is not None:
            troubles.append(self._label_trouble)
        if seen and all(one.newest is None for one in seen) and sum(one.unread for one in seen):
            troubles.append(self._timeless(seen))
        return Read(
            tallies=given,
            labelled=before,
            until=done,
            newest=newest,
            rows=sum(tally.rows for tally in given if not tally.slice),
            others=0 if done is None else self._counter.rows_of_others(done),
            late=late,
            unread=unread,
            future=self._future,
            troubles=tuple(troubles),
            notes=(*notes, *self._notes(late, unread)),
            progress=Progress(labels_done, files, begun=True),
        )

    def _met(self, one: _Seen, done: float | None, *, known: bool) -> tuple[Met, int, int]:
        """(what is to be known of a file, new rows that came too late, new ones that could not be read)."""
        piece = one.piece
        first = -math.inf if self._since is None else round(self._since / self._window)
        end = -math.inf if done is None else round(done / self._window)
        old = sum(rows for number, rows in one.windows.items() if number < first)
        new = sum(rows for number, rows in one.windows.items() if first <= number < end)
        if piece.same:
            before, late = piece.met.before + new, 0
        else:
            before, late = old + new + piece.skipped, max(0, old - piece.met.before) if known else 0
        newest = max(filter(None, (one.newest, piece.met.newest if piece.skipped else None)), default=None)
        met = replace(piece.met, newest=newest, before=before, unread=one.unread)
        return met, late, max(0, one.unread - (piece.met.unread if known else 0))

    def _missing(self, seen: list[_Seen], given: bool) -> Iterator[Trouble]:
        """Columns that the baseline has and a file lacks."""
        if not given:
            return
        called = {
            name: self._names.features.get(name, name)
            for name in dict.fromkeys((*self._baseline.features, *self._baseline.slices))
            if name not in self._order.redacted
        }
        rows = [one for one in seen if one.windows]
        if self._monitor.log is None:  # a server that logs no features at all was told so
            rows = [one for one in rows if any(column in one.named for column in called.values())]
        for name, column in called.items():
            lacking = [one.piece.met.name for one in rows if column not in one.named]
            if lacking and (len(lacking) == len(rows) or self._monitor.log is not None):
                what = f"{listed(lacking, 2)}: there is no column '{name}', so that it is not judged; log it again"
                yield Trouble("log", what, self._now)

    def _damaged(self, seen: list[_Seen]) -> Iterator[Trouble]:
        for one in seen:
            lines = one.piece.damage.lines
            if lines and one.unread > one.piece.met.unread:
                first = one.piece.damage.first
                what = f"{one.piece.met.name}: {things(lines, 'line')} cannot be read, the first of them: {first}"
                yield Trouble("log", f"{what}; the others are counted", self._now)

    def _timeless(self, seen: list[_Seen]) -> Trouble:
        name = seen[0].piece.met.name
        what = f"{name}: no row has a time that can be read in column '{self._names.time}'"
        return Trouble("log", f"{what}; write ISO 8601, or seconds since 1970", self._now)

    def _notes(self, late: int, unread: int) -> Iterator[str]:
        if late:
            yield f"{things(late, 'row')} came after their window was counted, and are in none"
        if unread:
            yield f"{things(unread, 'row')} have no time that can be read, and are in no window"
        if self._future:
            yield f"{things(self._future, 'row')} are of a time that is still to come, and are not counted yet"


def _joined(tally: Tally, labelled: Tally | None) -> Tally:
    return tally if labelled is None else replace(tally, labelled=labelled.labelled)
