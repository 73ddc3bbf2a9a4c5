"""JSON lines read a block at a time: by Arrow where each column is of the kind that is expected, else line by line.

For many rows of which only some columns are counted: three times as quick as Python's reader alone, and a line that is
none is left out and counted, instead of ending everything.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from mlship.policy.columns import NotATableError
from mlship.sources import objects
from mlship.sources.batches import Opened, json_object
from mlship.sources.frame import Clash

if TYPE_CHECKING:
    import pandas as pd

#: What a column is expected to hold; whatever else it holds is read, too, but more slowly.
Kind = Literal["number", "whole", "text", "boolean"]
#: Bytes of a block.
BLOCK = 1 << 23
#: Lines that are looked at to find out what a column holds.
_FIRST = 100


@dataclass(slots=True)
class Damage:
    """Lines that are no rows."""

    lines: int = 0
    first: str = ""
    """What is wrong with the first of them."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows."""

    columns: Mapping[str, pd.Series[Any]]
    rows: int
    named: frozenset[str]
    """Columns that a line among them names, be it with null."""


def json_lines(opened: Opened, kinds: Mapping[str, Kind | None], damage: Damage) -> Iterator[Block]:
    """The columns in `kinds` of a file of JSON lines; where a line lacks one, the cell is missing.

    Parameters
    ----------
    kinds
        What is expected; None: found out from the first lines.
    damage
        Is added to.
    """
    stream = opened.text()
    first: list[bytes] = list(islice(stream, _FIRST))
    wanted = {name: kind or _kind(name, first) for name, kind in kinds.items()}
    begun, number = b"".join(first), 1
    while data := begun + stream.read(BLOCK) + stream.readline():
        begun = b""
        found = _by_arrow(data, wanted)
        yield _by_line(data, tuple(kinds), number, damage) if found is None else found
        number += data.count(b"\n")


def _kind(name: str, lines: list[bytes]) -> Kind | None:
    """The kind of the first value there is; None when there is none, or it is something else."""
    kinds: dict[type, Kind] = {bool: "boolean", int: "whole", float: "number", str: "text"}
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and row.get(name) is not None:
            return kinds.get(type(row[name]))
    return None


def _by_arrow(data: bytes, kinds: Mapping[str, Kind | None]) -> Block | None:
    """All of a block at once; None when something in it is not as expected."""
    import pyarrow as pa
    import pyarrow.json as reader

    names = {name for name in kinds if _writes(name) in data}
    types = {"number": pa.float64(), "whole": pa.int64(), "text": pa.string(), "boolean": pa.bool_()}
    if any(kinds[name] is None for name in names):
        return None
    if b"\\u" in data and names != kinds.keys():  # a name may be written otherwise
        return None
    schema = pa.schema([(name, types[kinds[name] or "text"]) for name in kinds])
    try:
        table = reader.read_json(
            io.BytesIO(data),
            read_options=reader.ReadOptions(block_size=1 << 20),
            parse_options=reader.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except (pa.ArrowException, UnicodeError):
        return None
    columns = {name: table.column(name).to_pandas() for name in kinds}
    return Block(columns, table.num_rows, frozenset(names))


def _writes(name: str) -> bytes:
    return json.dumps(name, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _by_line(data: bytes, names: tuple[str, ...], number: int, damage: Damage) -> Block:
    rows: list[dict[str, Any]] = []
    for at, line in enumerate(data.split(b"\n"), start=number):
        try:
            row = json_object(line, at)
        except (NotATableError, RecursionError) as error:
            damage.lines += 1
            damage.first = damage.first or (
                str(error) if isinstance(error, NotATableError) else f"line {at:,} is endless"
            )
            continue
        if row is not None:
            rows.append(row)
    named = frozenset(name for name in names if any(name in row for row in rows))
    return Block({name: series([row.get(name) for row in rows]) for name in names}, len(rows), named)


def series(values: list[Any]) -> pd.Series[Any]:
    """Python values as one column: of objects where they are of several kinds; half a surrogate pair becomes `?`."""
    import pandas as pd

    try:
        made = objects.column(values)
        if not isinstance(made, Clash):
            return made
    except UnicodeError:
        pass
    whole = [one.encode("utf-8", "replace").decode() if isinstance(one, str) else one for one in values]
    made = objects.column(whole)
    return pd.Series(whole, dtype=object) if isinstance(made, Clash) else made
