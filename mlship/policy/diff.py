"""What differs between two policies in what they mean, and what of it makes them stricter or looser. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mlship.policy.diff_rules import ROWS, Row, Way, held, is_section
from mlship.policy.diff_values import NOTHING, said
from mlship.policy.subject import Subject
from mlship.policy.tree import Location, find, key_spot, value_spot


class Kind(StrEnum):
    """What a difference makes of the policy."""

    LOOSER = "looser"
    STRICTER = "stricter"
    CHANGED = "changed"
    """Neither can be said."""


@dataclass(frozen=True, slots=True)
class Change:
    """One key, item or section that differs."""

    path: str
    """`gates.metrics.recall.min`; items of lists count from 0: `rollout.steps[0].weight`."""
    old: str
    new: str
    """As a policy would have them; `none` where there is nothing, and ` (default)` where the file does not say it."""
    kind: Kind
    line: int
    """Of the new file, counted from 1; where something was removed, the line of what it was removed from."""
    column: int
    meaning: str
    """What the key is, as in the reference; empty for names."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The same key, or item, in both policies."""

    old: Location
    new: Location
    path: str
    pattern: str

    def key(self, name: str, known: bool = True) -> _Place:
        """A key of the section here; one that the schema does not name is any name."""
        path = f"{self.path}.{name}".lstrip(".")
        pattern = f"{self.pattern}.{name if known else '*'}".lstrip(".")
        return _Place((*self.old, name), (*self.new, name), path, pattern)

    def item(self, old: int | None, new: int | None) -> _Place:
        """An item of the list here; where one side lacks it, the other's number names it."""
        at = new if new is not None else old
        mine = self.new if new is None else (*self.new, new)
        theirs = self.old if old is None else (*self.old, old)
        return _Place(theirs, mine, f"{self.path}[{at}]", f"{self.pattern}.*")


def compare(old: Subject, new: Subject) -> list[Change]:
    """Every difference, in the order of the schema."""
    comparison = _Comparison(old, new)
    return list(comparison.sections(_Place((), (), "", ""), old.policy, new.policy))


@dataclass(frozen=True, slots=True)
class _Comparison:
    old: Subject
    new: Subject

    def sections(self, at: _Place, old: BaseModel, new: BaseModel) -> Iterator[Change]:
        """The keys of a section that both have."""
        for name, info in type(new).model_fields.items():
            yield from self._key(at.key(info.alias or name), info, getattr(old, name), getattr(new, name))

    def _key(self, at: _Place, info: FieldInfo, old: Any, new: Any) -> Iterator[Change]:
        inner, _ = held(info.annotation)
        if get_origin(inner) is dict and is_section(held(get_args(inner)[-1])[0]):
            yield from self._named(at, old, new)
        elif get_origin(inner) is tuple and is_section(held(get_args(inner)[0])[0]):
            yield from self._items(at, old, new)
        elif isinstance(old, BaseModel) and isinstance(new, BaseModel):
            yield from self.sections(at, old, new)
        elif not _same(ROWS[at.pattern], old, new):
            yield self._change(at, info, old, new)

    def _named(self, at: _Place, old: Mapping[str, BaseModel], new: Mapping[str, BaseModel]) -> Iterator[Change]:
        """Sections by name: those that are gone, and then those of the new policy."""
        for name in [*(name for name in old if name not in new), *new]:
            here = at.key(name, known=False)
            if name in old and name in new:
                yield from self.sections(here, old[name], new[name])
            else:
                yield self._change(here, None, old.get(name), new.get(name))

    def _items(self, at: _Place, old: tuple[BaseModel, ...], new: tuple[BaseModel, ...]) -> Iterator[Change]:
        """Sections in a row: what stayed is found first; between, those of one sort belong together, in their order."""
        for a, b in _pairs(
            [_text(one) for one in old], [_text(one) for one in new], [*map(_sort, old)], [*map(_sort, new)]
        ):
            here = at.item(a, b)
            if a is not None and b is not None:
                yield from self.sections(here, old[a], new[b])
            else:
                yield self._change(here, None, None if a is None else old[a], None if b is None else new[b])

    def _change(self, at: _Place, info: FieldInfo | None, old: Any, new: Any) -> Change:
        there = find(self.new.tree, at.new) is not None
        spot = (value_spot if there and info is not None else key_spot)(self.new.tree, at.new)
        return Change(
            at.path,
            self._said(self.old, at.old, at.pattern, info, old),
            self._said(self.new, at.new, at.pattern, info, new),
            kind_of(ROWS[at.pattern], old, new),
            spot.line,
            spot.column,
            (info.description or "") if info else "",
        )

    def _said(self, subject: Subject, location: Location, pattern: str, info: FieldInfo | None, value: Any) -> str:
        text = said(value, info, subject.tree, location, pattern)
        by_default = info is not None and find(subject.tree, location) is None and text != NOTHING
        return f"{text} (default)" if by_default else text


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


def _items(_row: Row, old: Any, new: Any) -> bool:
    return set(_keys(new)) > set(_keys(old))


def _few(row: Row, old: Any, new: Any) -> bool:
    """Whether the new list allows only a part of what the old one allows."""
    every_old, every_new = (it is None or (row.empty_is_all and not it) for it in (old, new))
    if every_old or every_new:
        return every_old and not every_new
    return set(_keys(new)) < set(_keys(old))


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


def _same(row: Row, old: Any, new: Any) -> bool:
    """Whether two values mean the same; the order of a list matters only where nobody can say what it means."""
    if row.way in (Way.ITEMS, Way.FEW) and old is not None and new is not None:
        return set(_keys(old)) == set(_keys(new))
    return bool(old == new)


def _keys(items: Any) -> list[str]:
    """Items that can be told apart: the text 1 is not the number 1."""
    return [json.dumps(item) for item in items or ()]


def _text(section: BaseModel) -> str:
    return section.model_dump_json()


def _sort(section: BaseModel) -> str:
    """What sort of item it is, such as a mirror step or a weight step: the first key that the schema allows to be
    absent and that is there."""
    return next((name for name in type(section).model_fields if getattr(section, name) is not None), "")


def _pairs(
    old: list[str], new: list[str], old_sorts: list[str], new_sorts: list[str]
) -> Iterator[tuple[int | None, int | None]]:
    """Which item of the one list is which item of the other; None where it has none."""
    for _, a, end_a, b, end_b in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        left = list(range(a, end_a))
        for at in range(b, end_b):
            match = next((one for one in left if old_sorts[one] == new_sorts[at]), None)
            if match is not None:
                left.remove(match)
            yield match, at
        for one in left:
            yield one, None
