"""The rows of a log that is being written: files that grow, turn and go, and queries; a batch at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from mlship.errors import DataError
from mlship.monitor.reading.times import MICRO, UNREADABLE, instants
from mlship.monitor.reading.values import Met
from mlship.policy.formats import Format, matches
from mlship.report.figures import listed, nearest, things
from mlship.sources import allocator, local, sql
from mlship.sources.batches import Asked, Opened, batches, names_of, parquet_groups
from mlship.sources.frame import Clash
from mlship.sources.quick import Damage, Kind, json_lines, series

if TYPE_CHECKING:
    import pandas as pd

    from mlship.policy.data import Sql

#: Seconds since its last change after which nobody is taken to be writing a file any more.
SETTLED = 60.0
#: The same of a Parquet file or an archive without its end: writers keep those open for long.
UNFINISHED = 2 * 3600.0
#: So often is looked again for files that have gone between the look at the directory and the reading.
_LOOKS = 5
_PARQUET = b"PAR1"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows."""

    columns: Mapping[str, pd.Series[Any]]
    rows: int
    named: frozenset[str]
    """Columns that the rows, or their file, name at all."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which columns are read, and what they are expected to hold."""

    time: str
    kinds: Mapping[str, Kind | None]
    """Every column but the time; None: nobody knows."""
    texts: frozenset[str] = frozenset()
    """Those whose text matters as it is written: `007` is not 7."""
    required: frozenset[str] = frozenset()
    """Those that the policy names: without them the log cannot be read."""

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(dict.fromkeys((self.time, *self.kinds)))


@dataclass(frozen=True, slots=True)
class Piece:
    """One file or query to be read."""

    key: str
    met: Met
    """As it is now; what only its rows tell is as it was known before, or nothing."""
    known: bool
    """Whether an earlier pass has read it."""
    chunks: Callable[[], Iterator[Chunk]]
    damage: Damage
    same: bool = False
    """Whether it is as it was then, to the byte."""
    skipped: int = 0
    """Rows of it that are not read, as they lie before what is asked for."""


class Source(Protocol):
    """Where rows come from."""

    @property
    def name(self) -> str:
        """As messages call it."""

    def pieces(self, stack: ExitStack, known: Mapping[str, Met] | None, reach: float | None) -> Found:
        """What is to be read now; raises ``DataError``."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at a source has found."""

    pieces: tuple[Piece, ...]
    skipped: Mapping[str, Met] = field(default_factory=dict)
    """Files that are not read again."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A query on a database; all of its rows are read each time, as only its author could tell it what is new."""

    sql: Sql
    base: Path
    wanted: Wanted
    name: str = "the query"

    def pieces(self, stack: ExitStack, known: Mapping[str, Met] | None, reach: float | None) -> Found:  # noqa: ARG002 - as of the Protocol
        """See ``Source.pieces``."""
        before = (known or {}).get("sql")
        met = Met(
            self.name, 0, 0, before.newest if before else None, *((before.before, before.unread) if before else (0, 0))
        )
        return Found((Piece("sql", met, before is not None, self._chunks, Damage()),))

    def _chunks(self) -> Iterator[Chunk]:
        places: dict[str, int] = {}
        for names, columns in sql.fetched(self.sql, self.base):
            if not places:
                check_names(self.wanted, tuple(names), "the query", str(sql.NAME))
                places = {name: place for place, name in enumerate(names) if name in self.wanted.names}
            made = {name: series(columns[place]) for name, place in places.items()}
            yield Chunk(made, len(columns[0]), frozenset(names))


@dataclass(frozen=True, slots=True)
class Files:
    """A file, or all that a glob means."""

    written: str
    path: Path
    wanted: Wanted
    zone: str
    now: float

    @property
    def name(self) -> str:
        """See ``Source.name``."""
        return str(self.path)

    def pieces(self, stack: ExitStack, known: Mapping[str, Met] | None, reach: float | None) -> Found:
        """See ``Source.pieces``; the files are open until the stack ends, so that none can go while it is read."""
        allocator.give_back()
        if "://" in self.written:
            raise DataError("only local files can be read", where=self.written, hint="copy the file and give its path")
        found = self._open(stack, known, reach)
        pieces: list[Piece] = []
        notes: list[str] = []
        for key, met, raw, path in found[0]:
            opened = self._readable(met, raw, path)
            made = opened if isinstance(opened, str) else self._piece(key, met, opened, known, reach)
            if isinstance(made, str):
                notes.append(made)
            else:
                pieces.append(made)
        if not pieces and not found[1] and notes:
            raise DataError(notes[0], where=self.name, hint="is it written at all?")
        return Found(tuple(pieces), found[1], tuple(notes))

    def _listed(self) -> list[tuple[str, Path]]:
        several = matches(self.written, self.path)
        if several is None:
            return [(self.path.name, self.path)]
        if not several:
            raise DataError("no file matches this pattern", where=self.name, hint="`**/` also looks into directories")
        return several

    def _open(
        self, stack: ExitStack, known: Mapping[str, Met] | None, reach: float | None
    ) -> tuple[list[tuple[str, Met, IO[bytes], Path]], dict[str, Met]]:
        """Every file that may hold something, open; and those that hold nothing that is asked for.

        A file that has gone since the directory was read may have been renamed: then all is looked at once more.
        """
        for look in range(_LOOKS):
            opened: list[tuple[str, Met, IO[bytes], Path]] = []
            skipped: dict[str, Met] = {}
            with ExitStack() as mine:
                gone = False
                listing = self._listed()
                for name, path in listing:
                    try:
                        made = self._one(name, path, known, reach)
                    except FileNotFoundError:
                        if len(listing) == 1 and look == _LOOKS - 1:
                            mine.enter_context(local.regular(path))  # raises what there is to say
                        gone = True
                        continue
                    if isinstance(made, Met):
                        skipped[_key(path.stat())] = made
                    elif made[0] not in {key for key, *_ in opened}:
                        mine.enter_context(made[2])
                        opened.append(made)
                if len(opened) > local.MOST_FILES:
                    what = (
                        f"{things(len(opened), 'file')} would have to be read at once, more than {local.MOST_FILES:,}"
                    )
                    raise DataError(what, where=self.name, hint="narrow the pattern, or join the files into fewer")
                if not gone or look == _LOOKS - 1:
                    stack.enter_context(mine.pop_all())
                    return opened, skipped
        raise AssertionError("the last look returns")

    def _one(
        self, name: str, path: Path, known: Mapping[str, Met] | None, reach: float | None
    ) -> Met | tuple[str, Met, IO[bytes], Path]:
        """One file, open; or what was known of it when it need not be read. Raises ``FileNotFoundError``."""
        told = path.stat()
        before = (known or {}).get(_key(told)) or next((it for it in (known or {}).values() if it.name == name), None)
        same = before is not None and (before.size, before.changed) == (told.st_size, told.st_mtime_ns)
        if same and reach is not None and before is not None and before.newest is not None and before.newest < reach:
            return before
        try:
            raw = local.regular(path)
        except DataError:
            if not path.exists():
                raise FileNotFoundError(path) from None
            raise
        told = os.fstat(raw.fileno())
        met = Met(
            name,
            told.st_size,
            told.st_mtime_ns,
            before.newest if before else None,
            before.before if before else 0,
            before.unread if before else 0,
        )
        return _key(told), met, raw, path

    def _readable(self, met: Met, raw: IO[bytes], path: Path) -> Opened | str:
        """A file as far as it can be read now; or why there is nothing to be read of it yet."""
        changed = abs(self.now - met.changed / 1e9)  # with a clock of the past, nothing is being written
        if not met.size:
            return f"{met.name} is empty"
        opened = local.recognised(raw, path, met.name)
        if opened.format is Format.PARQUET:
            raw.seek(-min(4, met.size), os.SEEK_END)
            unfinished = raw.read(4) != _PARQUET and changed < UNFINISHED
        elif opened.compression is not None:
            unfinished = changed < SETTLED
        else:
            opened = replace(opened, end=met.size if changed > SETTLED else _whole_lines(raw, met.size))
            unfinished = not opened.end
        return f"{met.name} is still being written" if unfinished else opened

    def _piece(self, key: str, met: Met, opened: Opened, known: Mapping[str, Met] | None, reach: float | None) -> Piece:
        groups, skipped = None, 0
        before = (known or {}).get(key)
        same = before is not None and (before.size, before.changed) == (met.size, met.changed)
        with local.explained(opened):
            names = names_of(opened)
            if names is not None:
                check_names(self.wanted, names, "the file", str(opened.path))
            if opened.format is Format.PARQUET and reach is not None and (same or known is None):
                groups, skipped = self._groups(opened, reach)
        damage = Damage()
        chunks = partial(self._chunks, opened, groups, damage)
        return Piece(key, met, before is not None, chunks, damage, same, skipped)

    def _groups(self, opened: Opened, reach: float) -> tuple[list[int] | None, int]:
        """The row groups that may hold what is asked for, and how many rows the others have."""
        import pandas as pd

        told = parquet_groups(opened, self.wanted.time)
        values = [largest for _, largest in told]
        if any(largest is None for largest in values):
            return None, 0
        times = instants(pd.Series(values), self.zone)
        chosen = [place for place, at in enumerate(times) if at == UNREADABLE or at >= reach * MICRO]
        return chosen, sum(rows for place, (rows, _) in enumerate(told) if place not in set(chosen))

    def _chunks(self, opened: Opened, groups: list[int] | None, damage: Damage) -> Iterator[Chunk]:
        wanted = self.wanted
        with local.explained(opened):
            if opened.format is Format.JSON_LINES:
                kinds = {wanted.time: None} | dict(wanted.kinds)
                for block in json_lines(opened, kinds, damage):
                    yield Chunk(block.columns, block.rows, block.named)
                return
            few = frozenset(name for name, kind in wanted.kinds.items() if kind == "text") - wanted.texts
            asked = Asked(local.BATCH, wanted.names, texts=wanted.texts, categories=few, groups=groups)
            for batch, rows in batches(opened, asked):
                columns = {name: column for name, column in batch.items() if not isinstance(column, Clash)}
                yield Chunk(columns, rows, frozenset(columns))


def check_names(wanted: Wanted, names: tuple[str, ...], whole: str, where: str) -> None:
    """Raise ``DataError`` when a column that the policy names is not there."""
    for name in (wanted.time, *sorted(wanted.required)):
        if name not in names:
            hint = f"{whole} has {things(len(names), 'column')}: {listed(list(names), 12)}"
            raise DataError(f"there is no column '{name}'{nearest(name, list(names))}", where=where, hint=hint)


def _whole_lines(raw: IO[bytes], size: int) -> int:
    """Bytes up to the end of the last line that is complete."""
    end = size
    while end:
        start = max(0, end - (1 << 16))
        raw.seek(start)
        at = raw.read(end - start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def _key(told: os.stat_result) -> str:
    """What a file is known by when it has another name."""
    return f"{told.st_dev}:{told.st_ino}"
