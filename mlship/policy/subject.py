"""What a lint looks at: a policy's values, where they stand in the file, and how a fault is said about them."""

from __future__ import annotations

from dataclasses import dataclass

from mlship.policy.faults import Fault, Severity, Source, Spot, plain
from mlship.policy.schema import Policy
from mlship.policy.tree import Location, Node, Scalar, find, key_spot, value_spot


@dataclass(frozen=True, slots=True)
class Subject:
    """A policy under lint: its values, and where they stand."""

    policy: Policy
    tree: Node
    """Without the parts that the schema refused; `policy` was made of it."""
    written: Node
    """As read; what is in here but not in `tree` has a fault already."""
    source: Source

    def error(self, location: Location, what: str, hint: str = "", *, at_key: bool = False) -> Fault:
        """A fault at a value, or at its key."""
        return self.source.fault(self._spot(location, at_key), what, hint)

    def warning(self, location: Location, what: str, hint: str = "", *, at_key: bool = False) -> Fault:
        """A warning at a value, or at its key."""
        return self.source.fault(self._spot(location, at_key), what, hint, Severity.WARNING)

    def written_at(self, location: Location) -> bool:
        """Does the file say anything about this, right or wrong?"""
        return find(self.written, location) is not None

    def has_broken(self, location: Location) -> bool:
        """Was a part of this section refused by the schema? Then its values are not what the file says."""
        return find(self.written, location) != find(self.tree, location)

    def shown(self, location: Location) -> str:
        """A value as it stands in the file, for a message."""
        node = find(self.tree, location)
        return plain(node.written) if isinstance(node, Scalar) else ""

    def _spot(self, location: Location, at_key: bool) -> Spot:
        return key_spot(self.tree, location) if at_key else value_spot(self.tree, location)
