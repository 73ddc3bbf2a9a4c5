"""How a value of the policy is written in a comparison: in the unit of its key, on one line, without secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from mlship.policy import units
from mlship.policy.diff_rules import ROWS
from mlship.policy.faults import is_named_only, plain
from mlship.policy.tree import Location, Node, Scalar, Sequence, find

#: A longer value is cut: the file has all of it.
_LONGEST = 80
_HIDDEN = "(hidden)"
NOTHING = "none"
_WRITE: dict[Any, Callable[[Any], str]] = {
    units.parse_duration: units.format_duration,
    units.parse_percent: units.format_percent,
    units.parse_share: units.format_percent,
    units.parse_size: units.format_size,
    units.parse_rate: units.format_rate,
    units.parse_factor: lambda factor: f"{factor:g}x",
}


def said(value: Any, info: FieldInfo | None, tree: Node, location: Location, pattern: str) -> str:
    """A value as a policy would have it; what came from the environment as the file names it."""
    if value is None:
        return NOTHING
    node = find(tree, location)
    if isinstance(node, Scalar) and node.from_environment:
        hidden = ROWS.get(pattern) is not None and ROWS[pattern].secret and not is_named_only(node.written)
        return _HIDDEN if hidden else plain(node.written, _LONGEST)
    if ROWS.get(pattern) is not None and ROWS[pattern].secret:
        return _secret(value, node)
    return plain(_written(value, info, tree, location, pattern), _LONGEST)


def _written(value: Any, info: FieldInfo | None, tree: Node, location: Location, pattern: str) -> str:
    """What is no secret itself; what is inside it may be one."""
    if isinstance(value, BaseModel):
        return _section(value, tree, location, pattern)
    inner = f"{pattern}.*" if _holds_sections(value) else pattern
    if isinstance(value, tuple):
        items = [said(item, None, tree, (*location, index), inner) for index, item in enumerate(value)]
        return f"[{', '.join(items)}]"
    if _holds_sections(value):
        named = [f"{key}: {said(one, None, tree, (*location, key), inner)}" for key, one in value.items()]
        return f"{{{', '.join(named)}}}"
    return _scalar(value, info)


def _holds_sections(value: Any) -> bool:
    """Whether it is a list of sections, or sections by name."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    return any(isinstance(one, BaseModel) for one in inside)


def _secret(value: Any, node: Node | None) -> str:
    """What names no variable is not shown; of a list, each item."""
    if isinstance(value, tuple):
        items = node.items if isinstance(node, Sequence) else ()
        return f"[{', '.join(_secret('', item) for item in items)}]"
    return node.written if isinstance(node, Scalar) and is_named_only(node.written) else _HIDDEN


def _section(section: BaseModel, tree: Node, location: Location, pattern: str) -> str:
    """Its keys that the file has; all that are not empty when it is there by default."""
    parts = []
    for name, info in type(section).model_fields.items():
        value, key = getattr(section, name), info.alias or name
        written = name in section.model_fields_set if section.model_fields_set else value not in (None, (), {})
        if written:
            parts.append(f"{key}: {said(value, info, tree, (*location, key), f'{pattern}.{key}')}")
    return f"{{{', '.join(parts)}}}"


def _scalar(value: Any, info: FieldInfo | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        write = _unit(info)
        return write(value) if write else f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, dict):
        return json.dumps(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _unit(info: FieldInfo | None) -> Callable[[Any], str] | None:
    """How numbers of this key are written, by what reads them."""
    if info is None:
        return None
    found = [*info.metadata, *_metadata(info.annotation)]
    readers = [one.func for one in found if isinstance(one, BeforeValidator)]
    return next((_WRITE[reader] for reader in readers if reader in _WRITE), None)


def _metadata(annotation: Any) -> list[Any]:
    if get_origin(annotation) is None:
        return []
    inner = [found for argument in get_args(annotation) for found in _metadata(argument)]
    return [*getattr(annotation, "__metadata__", ()), *inner]
