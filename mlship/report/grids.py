"""Tables and heat grids in a terminal: aligned, short, and no wider than the page."""

from __future__ import annotations

import textwrap
import unicodedata
from math import isfinite

from mlship.exhibits import Exhibit, Heat, Table
from mlship.report import cells, figures

#: Rows of one exhibit; the others are counted.
_MOST_ROWS = 12
#: A text wider than this is cut when the line is too long.
_NARROWEST = 16
_GAP = "  "


def lines(exhibit: Exhibit, width: int, most: int = _MOST_ROWS) -> list[str]:
    """The exhibit under its title; an empty list for what cannot be drawn with letters.

    Parameters
    ----------
    most
        Rows of a table; the others are counted.
    """
    if cells.is_empty(exhibit):
        return []
    match exhibit:
        case Table():
            drawn = _table(exhibit, width, most)
        case Heat():
            drawn = _heat(exhibit, width)
        case _:
            return []
    note = textwrap.wrap(cells.plain(exhibit.note), width, max_lines=3, placeholder=" …", break_on_hyphens=False)
    return [cells.shortened(cells.plain(exhibit.title), width), *drawn, *note]


def _table(table: Table, width: int, most: int) -> list[str]:
    rows = cells.rows_of(table)[:most]
    grid = [[cells.cell(name) for name in table.columns], *rows]
    return [*_aligned(grid, cells.numeric(table), width), *_more(len(table.rows) - len(rows), "row")]


def _heat(heat: Heat, width: int) -> list[str]:
    """The rows and columns with the largest values, in their order; `!` marks what is beyond the limit."""
    space = "  " if heat.limit is not None else ""  # where the others have their mark

    def figure(value: float | None, text: str) -> str:
        return f"{text} !" if cells.beyond(heat, value) else (text or "-") + space

    def largest(values: list[float | None]) -> float:
        return max((value for value in values if value is not None and isfinite(value)), default=float("-inf"))

    texts = [
        [figure(value, text) for value, text in zip(row, said, strict=True)]
        for row, said in zip(heat.values, cells.grid_of(heat), strict=True)
    ]
    down = _best([largest(list(row)) for row in heat.values], _MOST_ROWS)
    names = [cells.shortened(cells.plain(heat.y[i]), 40) for i in down]
    heads = [cells.shortened(cells.plain(name), 24) for name in heat.x]
    room = width - max(map(_wide, names), default=0)
    widest = max([_wide(head) for head in heads] + [_wide(text) for row in texts for text in row]) + len(_GAP)
    across = _best([largest([row[i] for row in heat.values]) for i in range(len(heat.x))], max(1, room // widest))
    grid = [["", *[heads[i] + space for i in across]]]
    grid += [[name, *[texts[i][j] for j in across]] for name, i in zip(names, down, strict=True)]
    more = _more(len(heat.y) - len(down), "row") + _more(len(heat.x) - len(across), "column")
    if heat.limit is not None:
        more.append(f"! is {figures.share(heat.limit) if heat.shares else figures.number(heat.limit)} or more")
    return [*_aligned(grid, [False, *[True] * len(across)], width), *more]


def _best(values: list[float], most: int) -> list[int]:
    """Indices of the largest values, at most so many, in their own order."""
    return sorted(sorted(range(len(values)), key=lambda i: -values[i])[:most])


def _more(hidden: int, thing: str) -> list[str]:
    return [f"and {figures.things(hidden, f'more {thing}')}"] if hidden > 0 else []


def _aligned(grid: list[list[str]], right: list[bool], width: int) -> list[str]:
    """Rows of equal columns; when they are too wide, the widest texts are cut, and then the last columns left out."""
    widths = [max(_wide(row[i]) for row in grid) for i in range(len(right))]

    def total() -> int:
        return sum(widths) + len(_GAP) * (len(widths) - 1)

    while total() > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= min(total() - width, max(widths) - _NARROWEST, 8)
    while total() > width and len(widths) > 1:
        widths.pop()
    return [
        _GAP.join(_put(text, size, on_right) for text, size, on_right in zip(row, widths, right, strict=False)).rstrip()
        for row in grid
    ]


def _put(text: str, size: int, on_right: bool) -> str:
    while _wide(text) > size:
        text = f"{text[:-2]}…" if len(text) > 1 else ""
    space = " " * (size - _wide(text))
    return space + text if on_right else text + space


def _wide(text: str) -> int:
    """Columns that a terminal gives the text."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )
