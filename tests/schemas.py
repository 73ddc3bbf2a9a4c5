"""Whether what a command has written is what its shipped schema says."""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from mlship import schemas


def conforms(name: str, written: str | dict[str, Any]) -> dict[str, Any]:
    """The document, once the schema of that name has accepted it."""
    document: dict[str, Any] = json.loads(written) if isinstance(written, str) else written
    jsonschema.validate(document, schemas.load(name))
    return document
