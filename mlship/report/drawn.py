"""One plot as the pages show it: picture, legend, and the table behind it (`templates/plots.html`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Drawn:
    """One plot with its legend, and the table behind it."""

    title: str
    note: str
    picture: Markup
    legend: tuple[tuple[str, str], ...]
    """(class, name)"""
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    """Of the table; empty: by the time since it began."""
