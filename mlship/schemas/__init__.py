"""The JSON Schemas of what commands write with `--format json`; shipped, and printed by `mlship schema NAME`."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def names() -> list[str]:
    """What there is a schema of, sorted: `build`, `evaluate`, ..."""
    return sorted(path.name.removesuffix(".json") for path in files(__name__).iterdir() if path.name.endswith(".json"))


def load(name: str) -> dict[str, Any]:
    """The schema of one of ``names``. Raises ``KeyError`` for another."""
    if name not in names():
        raise KeyError(name)
    found: dict[str, Any] = json.loads((files(__name__) / f"{name}.json").read_text(encoding="utf-8"))
    return found
