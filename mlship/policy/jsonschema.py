"""The policy's JSON Schema (draft 7), for editors and other tools."""

from __future__ import annotations

from typing import Any

from mlship.policy.schema import Policy
from mlship.policy.units import (
    DURATION_PATTERN,
    FACTOR_PATTERN,
    PERCENT_PATTERN,
    SIZE_PATTERN,
    format_duration,
    format_percent,
    format_size,
)

DIALECT = "http://json-schema.org/draft-07/schema#"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `Policy`, limited to what draft 7 knows, with defaults in the units that people write."""
    generated = Policy.model_json_schema(ref_template="#/definitions/{model}")
    definitions = generated.pop("$defs")
    document = {"$schema": DIALECT, "title": "mlship promotion policy", **_without_title(generated)}
    document["definitions"] = {name: _without_title(section) for name, section in sorted(definitions.items())}
    _rewrite(document)
    return document


def _without_title(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "title"}


def _rewrite(node: Any) -> None:
    """Adapt every schema inside `node`, in place."""
    if isinstance(node, list):
        for item in node:
            _rewrite(item)
    elif isinstance(node, dict):
        for name, schema in node.get("properties", {}).items():
            node["properties"][name] = _property(schema)
        for value in node.values():
            _rewrite(value)


def _property(schema: dict[str, Any]) -> dict[str, Any]:
    schema = _without_title(schema)
    if "default" in schema:
        default = _default(schema)
        if isinstance(default, dict):
            del schema["default"]  # a section's defaults are told by its own keys
        else:
            schema["default"] = default
    if "$ref" in schema:  # draft 7 ignores what stands beside a $ref
        schema["allOf"] = [{"$ref": schema.pop("$ref")}]
    return schema


def _default(schema: dict[str, Any]) -> Any:
    """The default as it would be written in a policy."""
    default = schema["default"]
    patterns = {option.get("pattern") for option in [schema, *schema.get("anyOf", [])]}
    patterns |= {inner.get("pattern") for option in schema.get("anyOf", []) for inner in option.get("anyOf", [])}
    if isinstance(default, float) and DURATION_PATTERN in patterns:
        return format_duration(default)
    if isinstance(default, float) and PERCENT_PATTERN in patterns:
        return format_percent(default) if default else 0
    if isinstance(default, float) and FACTOR_PATTERN in patterns:
        return f"{default:g}x"
    if isinstance(default, int) and SIZE_PATTERN in patterns:
        return format_size(default)
    return default
