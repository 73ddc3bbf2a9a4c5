"""A mergeable sketch of one column, whatever is in it: numbers, categories, missing cells, and what is neither.

Reading, merging and writing load no numpy; only taking in values does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from mlship.stats.sketch_categories import CategorySketch
from mlship.stats.sketch_numbers import NumberSketch

_NUMBERS = frozenset({float, int})


class ColumnSketch:
    """What is remembered of a column's cells.

    Attributes
    ----------
    numbers
        Integers and floats.
    categories
        Texts, and booleans as `true` and `false`.
    none
        Cells that were None; a NaN is counted by `numbers`.
    unlike
        Cells that are neither a number nor a category, such as a list.
    """

    __slots__ = ("categories", "none", "numbers", "unlike")

    def __init__(self) -> None:
        self.numbers = NumberSketch()
        self.categories = CategorySketch()
        self.none = self.unlike = 0

    @property
    def count(self) -> int:
        """Cells seen."""
        return self.numbers.count + self.categories.count + self.missing + self.unlike

    @property
    def missing(self) -> int:
        """Cells that were None or NaN."""
        return self.none + self.numbers.nan

    def add(self, cells: Sequence[Any]) -> None:
        """Take in cells of any type; raises nothing."""
        kinds = set(map(type, cells))
        if type(None) in kinds:
            kinds.discard(type(None))
            present = [cell for cell in cells if cell is not None]
            self.none += len(cells) - len(present)
            cells = present
        if kinds <= _NUMBERS:
            try:
                self.numbers.add(cells)
            except OverflowError:
                self._sort_out(cells)
        elif kinds == {str}:
            self.categories.add(cells)
        elif kinds == {bool}:
            self.categories.add("true" if cell else "false" for cell in cells)
        else:
            self._sort_out(cells)

    def merge(self, other: ColumnSketch) -> None:
        """Take in everything that another sketch has seen."""
        self.numbers.merge(other.numbers)
        self.categories.merge(other.categories)
        self.none += other.none
        self.unlike += other.unlike

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads back as the same sketch; an empty part is None."""
        numbers = self.numbers.to_json() if self.numbers.count + self.numbers.nan else None
        categories = self.categories.to_json() if self.categories.count else None
        return {"none": self.none, "unlike": self.unlike, "numbers": numbers, "categories": categories}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The sketch that `to_json` wrote; raises ``ValueError`` for one of another accuracy or capacity."""
        sketch = cls()
        sketch.none, sketch.unlike = document["none"], document["unlike"]
        if document["numbers"] is not None:
            sketch.numbers = NumberSketch.from_json(document["numbers"])
        if document["categories"] is not None:
            sketch.categories = CategorySketch.from_json(document["categories"])
        return sketch

    def _sort_out(self, cells: Sequence[Any]) -> None:
        """Take in cells one type at a time: text beside numbers, integers beyond any float, nested values."""
        numbers: list[float] = []
        categories: list[str] = []
        for given in cells:
            cell = plain(given)
            if cell is None:
                self.none += 1
            elif isinstance(cell, bool):
                categories.append("true" if cell else "false")
            elif isinstance(cell, str):
                categories.append(cell)
            elif isinstance(cell, int | float):
                numbers.append(_float(cell))
            else:
                self.unlike += 1
        self.numbers.add(numbers)
        self.categories.add(categories)


def plain(cell: Any) -> Any:
    """A numpy scalar as Python's own; anything else as it is."""
    if isinstance(cell, type(None) | bool | str | int | float):
        return cell
    item = getattr(cell, "item", None)
    try:
        return item() if callable(item) else cell
    except (TypeError, ValueError):  # an array of several
        return cell


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")
