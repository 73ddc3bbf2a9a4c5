"""Exhibits as grids of text: what every report that draws tables has in common."""

from __future__ import annotations

from math import floor, isfinite, log10

from mlship.exhibits import Cell, Curves, Exhibit, Heat, Table
from mlship.report import figures
from mlship.types import GateResult

#: More text than this in one cell helps nobody.
_LONGEST = 300


def builtin(value: Cell) -> Cell:
    """A value as Python's own type: a gate may have put numpy's there."""
    item = getattr(value, "item", None)
    return item() if callable(item) else value


def cell(value: Cell, *, share: bool = False) -> str:
    """One value as people write it: `28,293`, `0.763`, `1.2%`; `-` for no value. Line breaks become spaces."""
    value = builtin(value)
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and share:
        return figures.share(float(value))
    if isinstance(value, int):
        return figures.count(value)
    if isinstance(value, float):
        return figures.number(value)
    return shortened(plain(value), _LONGEST)


def plain(text: str) -> str:
    """The text in one line; what no terminal should be sent (escapes, marks that turn the line round) is replaced."""
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in line)


def shortened(text: str, most: int) -> str:
    """The text, cut with an ellipsis when it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def rows_of(table: Table) -> list[list[str]]:
    """The table's cells as text, row by row."""
    return [
        [cell(value, share=name in table.shares) for name, value in zip(table.columns, row, strict=True)]
        for row in table.rows
    ]


def numeric(table: Table) -> list[bool]:
    """Which columns hold numbers only, and so stand on the right."""
    columns = [[builtin(row[i]) for row in table.rows] for i in range(len(table.columns))]
    return [
        any(isinstance(value, int | float) for value in column) and not any(isinstance(value, str) for value in column)
        for column in columns
    ]


def beyond(heat: Heat, value: float | None) -> bool:
    """Whether a cell of a heat grid is at or over its limit."""
    return heat.limit is not None and value is not None and isfinite(value) and value >= heat.limit


def grid_of(heat: Heat) -> list[list[str]]:
    """The grid's numbers as text, row by row: all with the decimals that the limit, or the largest of them, asks for.

    Empty where nothing was measured.
    """
    values = [abs(value) for row in heat.values for value in row if value is not None and isfinite(value)]
    factor = 100 if heat.shares else 1
    scale = factor * (heat.limit if heat.limit else max(values, default=1.0))
    decimals = min(12, max(int(heat.shares), 2 - floor(log10(scale)))) if scale > 0 else 0
    sign = "%" if heat.shares else ""
    whole = all(float(value).is_integer() for value in values)
    if whole:
        decimals = 0  # counts stay counts

    def text(value: float | None) -> str:
        if value is None or not isfinite(value):
            return ""
        size = abs(value) * factor
        return f"{value * factor:,.{decimals}f}{sign}" if size < 1e15 else f"{value * factor:.3g}{sign}"

    return [[text(value) for value in row] for row in heat.values]


def exhibits(results: list[GateResult]) -> list[tuple[GateResult, Exhibit]]:
    """Every exhibit once, with the first result that it explains; rules of one measurement share theirs."""
    seen: list[Exhibit] = []
    found = []
    for result in results:
        for exhibit in result.exhibits:
            if exhibit not in seen:
                seen.append(exhibit)
                found.append((result, exhibit))
    return found


def is_empty(exhibit: Exhibit) -> bool:
    """Whether there is nothing to draw."""
    match exhibit:
        case Table():
            return not exhibit.rows
        case Curves():
            return not any(series.x for series in exhibit.series)
        case Heat():
            return not exhibit.x or not exhibit.y
