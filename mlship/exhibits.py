"""What a gate shows beside its figures: tables, curves and heat rows, as plain values that any report can draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

#: What stands in a cell of a table; None is drawn as a dash.
Cell: TypeAlias = str | int | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows worth reading, the worst first."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    """Each as long as `columns`. Whatever counts many rows says so in `note`; a table holds what a person reads."""
    note: str = ""
    shares: tuple[str, ...] = ()
    """Names of the columns whose numbers are shares (0 to 1), to be written in percent."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a plot."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    """As long as `x`."""
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    """Ends of the 95 % intervals, as long as `x`, or empty."""


@dataclass(frozen=True, slots=True)
class Curves:
    """Lines over one pair of axes: candidate, champion, and what they are compared with."""

    title: str
    x: str
    """Name and unit of the axis."""
    y: str
    series: tuple[Series, ...]
    note: str = ""
    diagonal: bool = False
    """Whether y = x is drawn as the line of no skill, or of perfect calibration."""
    marked: tuple[float, str] | None = None
    """A vertical line: where, and what it is called (such as the threshold in use)."""


@dataclass(frozen=True, slots=True)
class Heat:
    """A grid of numbers, one row per thing and one column per window or class."""

    title: str
    x: tuple[str, ...]
    y: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    """One tuple per name in `y`, each as long as `x`; None where nothing was measured."""
    note: str = ""
    limit: float | None = None
    """From this value on a cell is marked as beyond its limit."""
    shares: bool = False
    """Whether the numbers are shares (0 to 1), to be written in percent."""


Exhibit: TypeAlias = Table | Curves | Heat
