"""A mergeable sketch of categories: the frequent ones with their counts, and all others together, in constant memory.

Misra and Gries, "Finding repeated elements", 1982, merged as in Agarwal et al., "Mergeable summaries", PODS 2012.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, Self

#: Categories that are told apart. A category with more than 1/(CAPACITY + 1) of all values is always among them.
CAPACITY = 128
#: Longer names are cut, and end in a digest of the whole.
NAME = 64


class CategorySketch:
    """What is remembered of a stream of categories.

    With at most `CAPACITY` different ones every count is exact. With more, the true count of a category lies between
    `counts[category]` and that plus `error`, and `error` is at most (count - sum of counts) / (CAPACITY + 1), after
    any number of merges in whatever order.
    """

    __slots__ = ("count", "counts", "error")

    def __init__(self) -> None:
        self.count = 0
        self.error = 0
        self.counts: dict[str, int] = {}

    @property
    def other(self) -> int:
        """Values that no category in `counts` accounts for."""
        return self.count - sum(self.counts.values())

    def add(self, values: Iterable[str]) -> None:
        """Take in categories, all at once."""
        batch = Counter(values)
        self._merge(batch.total(), ((name(key), times) for key, times in batch.items()), 0)

    def merge(self, other: CategorySketch) -> None:
        """Take in everything that another sketch has seen."""
        self._merge(other.count, other.counts.items(), other.error)

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads back as the same sketch."""
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        return {"capacity": CAPACITY, "count": self.count, "error": self.error, "counts": dict(ordered)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The sketch that `to_json` wrote; raises ``ValueError`` when it was made with another capacity."""
        if document["capacity"] != CAPACITY:
            raise ValueError(f"a sketch of {document['capacity']} categories cannot be merged with one of {CAPACITY}")
        sketch = cls()
        sketch.count, sketch.error = document["count"], document["error"]
        sketch.counts = dict(document["counts"])
        return sketch

    def _merge(self, count: int, counts: Iterable[tuple[str, int]], error: int) -> None:
        self.count += count
        self.error += error
        for key, times in counts:
            self.counts[key] = self.counts.get(key, 0) + times
        if len(self.counts) > CAPACITY:
            cut = sorted(self.counts.values(), reverse=True)[CAPACITY]
            self.counts = {key: times - cut for key, times in self.counts.items() if times > cut}
            self.error += cut


def name(category: str) -> str:
    """The category, or when it is long its beginning with a digest of the whole."""
    if len(category) <= NAME:
        return category
    digest = blake2b(category.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{category[: NAME - 9]}~{digest}"
