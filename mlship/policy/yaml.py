"""YAML with positions: reads a policy file into a tree whose every key and value knows its line and column."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from mlship.policy.complaints import complaint
from mlship.policy.faults import START, Fault, Source, Spot, plain
from mlship.policy.scalars import Trap, Value, resolve
from mlship.policy.tree import Mapping, Node, Scalar, Sequence

#: Values in the tree, aliases expanded; stops alias bombs before they are built.
MOST_VALUES = 20_000
#: The schema needs seven levels.
DEEPEST = 40


@dataclass
class _Open:
    """A list or mapping whose end has not been read yet."""

    spot: Spot
    mapping: bool
    anchor: str | None
    items: list[Node] = field(default_factory=list)
    entries: dict[str, tuple[Spot, Node]] = field(default_factory=dict)
    key: Scalar | None = None
    """The key whose value comes next."""
    size: int = 1
    height: int = 1


def parse(text: str, source: Source) -> tuple[Node | None, list[Fault]]:
    """Read one YAML document; the tree is None when the syntax is broken or there is nothing in it.

    Never raises for any text. Lists, mappings and aliases are followed without recursion.
    """
    builder = _Builder(source)
    if strange := {char for char in set(text) if not _is_allowed(char)}:
        at = min(text.index(char) for char in strange)
        spot = Spot(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
        return None, [source.fault(spot, f"control character U+{ord(text[at]):04X}", "delete it")]
    loader = getattr(yaml, "CLoader", yaml.Loader)  # the C parser is an optional part of PyYAML
    try:
        builder.feed(yaml.parse(text, Loader=loader))
    except _StopReadingError as stop:
        return None, [*builder.faults, stop.fault]
    except yaml.MarkedYAMLError as error:
        return None, [*builder.faults, complaint(error, source, builder.quoted)]
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # ReaderError carries no line; escapes such as "\UFFFFFFFF" make the pure Python parser raise ValueError.
        return None, [*builder.faults, source.fault(START, f"not YAML: {plain(str(error), 100)}")]
    if builder.root is None and not builder.faults:
        return None, [source.fault(START, "the policy is empty", "it begins with `version: 1`; see docs/reference")]
    return builder.root, builder.faults


class _StopReadingError(Exception):
    """The document cannot be read further."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.what)
        self.fault = fault


class _Builder:
    """Makes a tree of parse events, without recursion, and collects faults on the way."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.faults: list[Fault] = []
        self.root: Node | None = None
        self.quoted: Spot | None = None
        """Where the latest quoted text begins that goes over several lines."""
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int, int] | None] = {}
        self._documents = 0

    def feed(self, events: Iterator[Any]) -> None:
        """Read all events; raises ``_StopReadingError`` where going on makes no sense."""
        for event in events:
            spot = _spot(event)
            if isinstance(event, yaml.DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    fault = self.source.fault(
                        spot, "a second document begins here", "a policy is one document: remove ---"
                    )
                    self.faults.append(fault)
                    return
            elif isinstance(event, yaml.AliasEvent):
                self._alias(str(event.anchor), spot)
            elif isinstance(event, yaml.ScalarEvent):
                self._tagless(event, spot)
                if event.style in ("'", '"') and _lines(event) > 1:
                    self.quoted = spot
                self._scalar(event, spot)
            elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
                self._tagless(event, spot)
                self._begin(event, spot)
            elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
                self._end()

    def _tagless(self, event: Any, spot: Spot) -> None:
        if event.tag is not None:
            shown = plain(str(event.tag).replace("tag:yaml.org,2002:", "!!"), 40)
            self.faults.append(self.source.fault(spot, f"tags such as '{shown}' are not used here", "remove it"))

    def _scalar(self, event: Any, spot: Spot) -> None:
        text: str = event.value
        bare = not event.style and event.tag is None  # the C parser says "" and the Python one None
        value: Value | Trap = resolve(text) if bare else text
        is_key = self._awaits_key()
        if is_key and bare and text == "<<":
            self._report(spot, "merge keys (<<) are not supported", "write the keys out")
            self._add(Scalar(spot, None, text, broken=True), 1, 0, event.anchor)
            return
        if isinstance(value, Trap):
            self._report(spot, f"{value.what}", value.hint)
            self._add(Scalar(spot, text, text, broken=True), 1, 0, event.anchor)
            return
        if isinstance(value, str) and any(0xD800 <= ord(char) < 0xE000 for char in value):
            self._report(spot, "half of a surrogate pair is not a character", "write the character itself")
            value = ""
        if is_key and not isinstance(value, str):
            before = self.source.lines[spot.line - 1][: spot.column - 1]
            if text.isdigit() and (number := re.search(r"\d+,$", before)):
                hint = f"is {number[0][:-1]}.{text} meant? A decimal has a point"
            else:
                hint = f'quote it: "{plain(text, 30)}"'
            self._report(spot, f"a key must be text, not {_kind(value)}", hint)
            self._add(Scalar(spot, None, text, broken=True), 1, 0, event.anchor)
            return
        self._add(Scalar(spot, value, text), 1, 0, event.anchor)

    def _begin(self, event: Any, spot: Spot) -> None:
        if len(self._open) >= DEEPEST:
            self._stop(spot, f"nested more than {DEEPEST} levels deep", "a policy needs seven")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._open.append(_Open(spot, isinstance(event, yaml.MappingStartEvent), event.anchor))

    def _end(self) -> None:
        done = self._open.pop()
        node: Node = Mapping(done.spot, done.entries) if done.mapping else Sequence(done.spot, tuple(done.items))
        self._add(node, done.size, done.height, done.anchor)

    def _alias(self, anchor: str, spot: Spot) -> None:
        if anchor not in self._anchors:
            self._report(
                spot, f"nothing is anchored as '&{plain(anchor, 30)}'", "define the anchor before its first use"
            )
            self._add(Scalar(spot, None, f"*{anchor}", broken=True), 1, 0, None)
            return
        known = self._anchors[anchor]
        if known is None:
            self._stop(spot, f"'*{plain(anchor, 30)}' contains itself", "write the value out")
            return
        node, size, height = known
        if len(self._open) + height > DEEPEST:
            self._stop(spot, f"nested more than {DEEPEST} levels deep", "a policy needs seven")
        self._add(node, size, height, None)

    def _add(self, node: Node, size: int, height: int, anchor: str | None) -> None:
        """Put a finished node where it belongs."""
        if anchor is not None:
            self._anchors[anchor] = (node, size, height)
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        parent.size += size
        parent.height = max(parent.height, height + 1)
        if parent.size > MOST_VALUES:
            self._stop(node.spot, f"more than {MOST_VALUES:,} values (aliases count each time)", "is it another file?")
        if not parent.mapping:
            parent.items.append(node)
        elif parent.key is None:
            parent.key = self._as_key(node)
        else:
            self._pair(parent, parent.key, node)
            parent.key = None

    def _as_key(self, node: Node) -> Scalar:
        if isinstance(node, Scalar):
            return node
        self._report(node.spot, "a key must be text, not a list or section", "write a plain word")
        return Scalar(node.spot, None, "", broken=True)

    def _pair(self, parent: _Open, key: Scalar, value: Node) -> None:
        if not isinstance(key.value, str):
            if not key.broken:  # an alias to a number, say
                self._report(key.spot, f"a key must be text, not {_kind(key.value)}", "quote it")
            return
        if key.value in parent.entries:
            first = parent.entries[key.value][0]
            name = plain(key.value, 40)
            self._report(
                key.spot,
                f"duplicate key '{name}'; the first is at {first.line}:{first.column}",
                "keep one of the two",
            )
            return
        parent.entries[key.value] = (key.spot, value)

    def _awaits_key(self) -> bool:
        return bool(self._open) and self._open[-1].mapping and self._open[-1].key is None

    def _report(self, spot: Spot, what: str, hint: str) -> None:
        self.faults.append(self.source.fault(spot, what, hint))

    def _stop(self, spot: Spot, what: str, hint: str) -> None:
        raise _StopReadingError(self.source.fault(spot, what, hint))


def _is_allowed(char: str) -> bool:
    """YAML allows no control characters, quoted or not, and no halves of surrogate pairs."""
    code = ord(char)
    if code < 0xA0:
        return 0x20 <= code < 0x7F or char in "\t\n\r\x85"
    return not 0xD800 <= code < 0xE000 and code not in (0xFEFF, 0xFFFE, 0xFFFF)


def _spot(event: Any) -> Spot:
    start, end = event.start_mark, event.end_mark
    width = end.column - start.column if end.line == start.line else 1
    return Spot(start.line + 1, start.column + 1, max(width, 0))


def _lines(event: Any) -> int:
    return int(event.end_mark.line - event.start_mark.line) + 1


def _kind(value: Value) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return "a truth value"
        case str():
            return "text"
        case _:
            return "a number"
