"""What differs between two policies in what they mean, and what of it makes them stricter or looser. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mlship.policy.diff_kinds import Kind, kind_of, same
from mlship.policy.diff_rules import ROWS, held, is_section
from mlship.policy.diff_values import NOTHING, said
from mlship.policy.diff_wider import column_kind, limit_kind
from mlship.policy.subject import Subject
from mlship.policy.tree import Location, find, key_spot, value_spot


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
        elif not same(ROWS[at.pattern], old, new):
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
            self._kind(at, old, new),
            spot.line,
            spot.column,
            (info.description or "") if info else "",
        )

    def _kind(self, at: _Place, old: Any, new: Any) -> Kind:
        """What it makes of the policy, with what holds instead of a value that is not there."""
        before, after = self.old.policy, self.new.policy
        match at.pattern:
            case "gates.contract.columns.*":
                return column_kind(before.gates.contract, after.gates.contract, old, new)
            case "gates.contract.columns.*.max_missing":
                return limit_kind(before.gates.contract, after.gates.contract, old, new)
            case "rollout.steps.*" if old is None and new.testers is not None:
                return Kind.CHANGED  # another stage, through which callers meet the candidate earlier
        return kind_of(ROWS[at.pattern], old, new)

    def _said(self, subject: Subject, location: Location, pattern: str, info: FieldInfo | None, value: Any) -> str:
        text = said(value, info, subject.tree, location, pattern)
        by_default = info is not None and find(subject.tree, location) is None and text != NOTHING
        return f"{text} (default)" if by_default else text


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
