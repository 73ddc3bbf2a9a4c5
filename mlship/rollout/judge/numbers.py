"""Evidence and shares as people read them."""

from __future__ import annotations


def number(value: float) -> str:
    """An e-value as people read it: `0.03`, `0.3`, `23`, `1,234`, `4e+12`."""
    if value < 0.095:
        return f"{value:.2f}" if value >= 0.005 else "0.00"
    if value < 9.95:
        return f"{value:.1f}"
    return f"{value:,.0f}" if value < 1e6 else f"{value:.0e}"


def rate(bad: int, of: int) -> str:
    """A measured share: `0.4 %`, `0.04 %`."""
    share = 100 * bad / of
    return f"{share:.2f} %" if 0 < share < 0.1 else f"{share:.1f} %"


def percent(share: float) -> str:
    """A share that somebody has set: `1 %`, `0.5 %`."""
    return f"{100 * share:.6g} %"
