"""`mlship policy`: commands about the policy itself. Neither registry nor data is needed."""

from __future__ import annotations


def policy() -> None:
    """Test a policy with figures of your own, or compare two.

    \b
    Examples:
      mlship policy test
      mlship policy diff HEAD:mlship.yaml mlship.yaml --fail-on looser
    """
