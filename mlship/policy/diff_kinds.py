"""What a change of one value makes of the policy, by the row of its key. Pure."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

from mlship.policy.diff_rules import Row, Way


class Kind(StrEnum):
    """What a difference makes of the policy."""

    LOOSER = "looser"
    STRICTER = "stricter"
    CHANGED = "changed"
    """Neither can be said."""


def kind_of(row: Row, old: Any, new: Any) -> Kind:
    """Whether the new value is stricter or looser than the old one, which differs from it."""
    if row.way is Way.NEITHER:
        return Kind.CHANGED
    if row.way is Way.THERE and (old is None) != (new is None):
        return Kind.LOOSER if new is None else Kind.STRICTER
    rank = _RANKS.get(row.way)
    if rank is None or (row.way is Way.LESS_OF_TWO and None in (old, new)):
        return Kind.CHANGED
    is_stricter, is_looser = rank(row, old, new), rank(row, new, old)
    if is_stricter == is_looser:
        return Kind.CHANGED
    return Kind.STRICTER if is_stricter else Kind.LOOSER


def _less(_row: Row, old: Any, new: Any) -> bool:
    """Whether the new value is the smaller one; no value is the largest."""
    return bool(new is not None and (old is None or new < old))


def _more(_row: Row, old: Any, new: Any) -> bool:
    return bool(new is not None and (old is None or new > old))


def _on(_row: Row, _old: Any, new: Any) -> bool:
    return bool(new)


def _off(_row: Row, _old: Any, new: Any) -> bool:
    return not new


def _items(row: Row, old: Any, new: Any) -> bool:
    every_old, every_new = (row.empty_is_all and not it for it in (old, new))
    if every_old or every_new:
        return every_new and not every_old
    return set(_keys(new)) > set(_keys(old))


def _few(row: Row, old: Any, new: Any) -> bool:
    """Whether the new list allows only a part of what the old one allows."""
    every_old, every_new = (it is None or (row.empty_is_all and not it) for it in (old, new))
    if every_old or every_new:
        return every_old and not every_new
    if row.modules:
        return _all_among(new, old) and not _all_among(old, new)
    return set(_keys(new)) < set(_keys(old))


def _all_among(names: Any, allowed: Any) -> bool:
    """Whether each name is allowed, itself or by a `module.*`."""
    return all(
        name in allowed or any(one.endswith(".*") and name.startswith(one[:-1]) for one in allowed) for name in names
    )


def _rank(row: Row, old: Any, new: Any) -> bool:
    return row.words.index(new) > row.words.index(old)


_RANKS = {
    Way.LESS: _less,
    Way.LESS_OF_TWO: _less,
    Way.MORE: _more,
    Way.ON: _on,
    Way.OFF: _off,
    Way.ITEMS: _items,
    Way.FEW: _few,
    Way.RANK: _rank,
}


def same(row: Row, old: Any, new: Any) -> bool:
    """Whether two values mean the same; the order of a list matters only where nobody can say what it means."""
    if row.way in (Way.ITEMS, Way.FEW) and old is not None and new is not None:
        return set(_keys(old)) == set(_keys(new))
    return bool(old == new)


def _keys(items: Any) -> list[str]:
    """Items that can be told apart: the text 1 is not the number 1."""
    return [json.dumps(item) for item in items or ()]
