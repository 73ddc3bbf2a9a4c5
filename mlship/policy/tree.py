"""The tree of a policy file: every key and value with its line and column, and how to find one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlship.policy.faults import Spot
from mlship.policy.scalars import Value

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text, number, truth value or null."""

    spot: Spot
    value: Value
    written: str
    """As it stands in the file; messages show this, never a value that came from the environment."""
    broken: bool = False
    """A fault was already reported for it."""
    from_environment: bool = False


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    spot: Spot
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values; a section."""

    spot: Spot
    entries: dict[str, tuple[Spot, Node]]
    """By key: the key's spot, and the value."""


Node = Scalar | Sequence | Mapping


def plain_value(node: Node) -> Any:
    """The tree as dicts, lists and scalars."""
    match node:
        case Mapping():
            return {key: plain_value(value) for key, (_, value) in node.entries.items()}
        case Sequence():
            return [plain_value(item) for item in node.items]
        case Scalar():
            return node.value


def child(node: Node | None, step: str | int) -> Node | None:
    """The value under one key, or one item; None when there is no such thing."""
    if isinstance(node, Mapping) and isinstance(step, str) and step in node.entries:
        return node.entries[step][1]
    if isinstance(node, Sequence) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None


def find(root: Node | None, location: Location) -> Node | None:
    """The node at `location`; None when the file does not have it."""
    for step in location:
        root = child(root, step)
    return root


def key_spot(root: Node, location: Location) -> Spot:
    """Where the key at `location` stands; an item's or the document's own start when it has no key.

    Falls back to the nearest ancestor that the file does have.
    """
    while location:
        parent, step = find(root, location[:-1]), location[-1]
        if isinstance(parent, Mapping) and isinstance(step, str) and step in parent.entries:
            return parent.entries[step][0]
        if (node := child(parent, step)) is not None:
            return node.spot
        location = location[:-1]
    return root.spot._replace(width=1)


def value_spot(root: Node, location: Location) -> Spot:
    """Where the value at `location` stands; its key when the value is empty or a section."""
    node = find(root, location)
    if node is None or node.spot.width == 0 or not isinstance(node, Scalar):
        return key_spot(root, location)
    return node.spot


def without(node: Node, location: Location) -> Node:
    """The tree without the key or item at `location`."""
    step, rest = location[0], location[1:]
    if isinstance(node, Mapping) and isinstance(step, str) and step in node.entries:
        spot, value = node.entries[step]
        kept = {key: pair for key, pair in node.entries.items() if key != step}
        return Mapping(node.spot, {**node.entries, step: (spot, without(value, rest))} if rest else kept)
    if isinstance(node, Sequence) and isinstance(step, int) and 0 <= step < len(node.items):
        items = list(node.items)
        items[step : step + 1] = [without(items[step], rest)] if rest else []
        return Sequence(node.spot, tuple(items))
    return node


def without_broken(node: Node) -> Node:
    """The tree without the scalars that have a fault already."""
    match node:
        case Mapping():
            kept = {key: pair for key, pair in node.entries.items() if not _is_broken(pair[1])}
            return Mapping(node.spot, {key: (spot, without_broken(value)) for key, (spot, value) in kept.items()})
        case Sequence():
            return Sequence(node.spot, tuple(without_broken(item) for item in node.items if not _is_broken(item)))
        case Scalar():
            return node


def _is_broken(node: Node) -> bool:
    return isinstance(node, Scalar) and node.broken
