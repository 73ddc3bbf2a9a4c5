"""Whether a file looks like a policy, by its beginning; and which directories nobody keeps one in. Loads nothing."""

from __future__ import annotations

import re
from pathlib import Path

#: Bytes of a file that are looked at.
_HEAD = 8192
_POLICY = re.compile(
    rb"^model\s*:.*?^(?:owner|gates|rollout|data)\s*:|^(?:owner|gates|rollout|data)\s*:.*?^model\s*:", re.M | re.S
)
#: Directories in which nobody keeps a policy.
STRANGE = frozenset({"__pycache__", "node_modules", "mlruns", "mlartifacts", "site-packages"})


def is_policy(path: Path) -> bool:
    """Whether it has a model, and one of the sections that only policies have; also where it is broken."""
    try:
        with path.open("rb") as file:
            return _POLICY.search(file.read(_HEAD)) is not None
    except OSError:
        return False
