"""`mlship schema`: the JSON Schema of the policy, for editors and other tools."""

from __future__ import annotations

from mlship.cli.common import emit_json


def schema() -> None:
    """Print the policy's JSON Schema, for completion in editors."""
    from mlship.policy.jsonschema import json_schema

    emit_json(json_schema())
