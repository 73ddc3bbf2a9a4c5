"""The JSON Schemas of what commands write with `--format json`; shipped, and printed by `mlship schema NAME`."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

#: Commands that write the same document.
_SAME = dict.fromkeys(("promote", "pause", "resume", "abort"), "order")


def names() -> list[str]:
    """What there is a schema of, sorted: `build`, `evaluate`, ..."""
    return sorted(path.name.removesuffix(".json") for path in files(__name__).iterdir() if path.name.endswith(".json"))


def named(command: str) -> str:
    """The name that the schema of a command's document has, or would have: `policy-test` for `policy test`."""
    return _SAME.get(command, command.replace(" ", "-"))


def load(name: str) -> dict[str, Any]:
    """The schema of one of ``names``. Raises ``KeyError`` for another."""
    if name not in names():
        raise KeyError(name)
    found: dict[str, Any] = json.loads((files(__name__) / f"{name}.json").read_text(encoding="utf-8"))
    return found
