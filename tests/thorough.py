"""How much of what is costly is tried: a sample, or all of it with MLSHIP_THOROUGH=1, as CI has it each night."""

from __future__ import annotations

import os

#: Whether somebody has asked for all of it.
THOROUGH = bool(os.environ.get("MLSHIP_THOROUGH"))


def often(everything: int, sample: int) -> int:
    """How often to try something that a sample shows as well."""
    return everything if THOROUGH else sample
