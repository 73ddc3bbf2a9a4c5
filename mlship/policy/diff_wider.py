"""What a change makes of the policy where one limit takes the place of a wider one. Pure."""

from __future__ import annotations

from mlship.policy.diff_kinds import Kind
from mlship.policy.gates import ColumnRule, ContractGate


def limit_kind(before: ContractGate | None, after: ContractGate | None, old: float | None, new: float | None) -> Kind:
    """What a column's own `max_missing` makes of the policy: without one, the contract's holds."""
    old = old if old is not None or before is None else before.max_missing
    new = new if new is not None or after is None else after.max_missing
    if old is None or new is None or old == new:
        return Kind.CHANGED
    return Kind.LOOSER if new > old else Kind.STRICTER


def column_kind(
    before: ContractGate | None, after: ContractGate | None, old: ColumnRule | None, new: ColumnRule | None
) -> Kind:
    """What a column's rules make of the policy that are new or gone, between two contracts.

    New ones ask for more, unless they let more values be missing than the contract did: that is looser, whatever else
    they ask for. Those that are gone ask for less; where the contract now lets fewer be missing, neither can be said.
    """
    missing = limit_kind(before, after, old.max_missing if old else None, new.max_missing if new else None)
    if old is None:
        return Kind.LOOSER if missing is Kind.LOOSER else Kind.STRICTER
    return Kind.CHANGED if missing is Kind.STRICTER else Kind.LOOSER
