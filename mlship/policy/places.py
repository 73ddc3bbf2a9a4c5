"""Where in a policy file a gate's rule is written: so that what came of it can be shown there."""

from __future__ import annotations

import re
from collections.abc import Callable

from mlship.policy.faults import Source
from mlship.policy.tree import Location, Mapping, Node, find, key_spot
from mlship.policy.yaml import parse

#: Rules that are written elsewhere than under their gate.
_ELSEWHERE: dict[tuple[str, str], Location] = {("latency", "size"): ("image", "max_size")}
_NOWHERE = (0, 0)


def places(text: str) -> Callable[[str, str], tuple[int, int]]:
    """A look-up in the policy of this text: line and column, 1-based, of a gate and its rule.

    The nearest that is written: `metrics`, `recall min` is at `min:` below `recall:`, else at `recall:`, else at
    `metrics:`; (0, 0) where not even the gate is.
    """
    tree, _ = parse(text, Source.of("", text))

    def place(gate: str, rule: str) -> tuple[int, int]:
        if tree is None:
            return _NOWHERE
        location = _written(tree, gate, rule)
        if len(location) < 2 and find(tree, location) is None:
            return _NOWHERE
        spot = key_spot(tree, location)
        return spot.line, spot.column

    return place


def _written(tree: Node, gate: str, rule: str) -> Location:
    if (gate, rule) in _ELSEWHERE and find(tree, _ELSEWHERE[gate, rule]) is not None:
        return _ELSEWHERE[gate, rule]
    location: Location = {"ownership": ("owner",), "monitor": ("monitor",)}.get(gate, ("gates", gate))
    if find(tree, location) is None:
        return ("gates",)
    for word in re.split(r"[\s=,:]+", rule):
        node = find(tree, location)
        if isinstance(node, Mapping) and word in node.entries:
            location = (*location, word)
    return location
