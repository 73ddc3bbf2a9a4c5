"""Turns pydantic's errors into faults: at the right place, in human words, with the likely fix."""

from __future__ import annotations

import difflib
import re
import types
from datetime import date
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from mlship.policy.faults import Fault, Source, plain
from mlship.policy.later import THIS, is_later_key, is_later_value
from mlship.policy.schema import Policy
from mlship.policy.tree import Location, Mapping, Node, Scalar, Sequence, find, key_spot, value_spot
from mlship.policy.units import UnitError, format_duration, format_percent, format_rate, format_size


def location_of(root: Node, error: ErrorDetails) -> Location:
    """The location of an error in the file; pydantic appends branches of unions, which the file does not have."""
    location: Location = ()
    for step in error["loc"]:
        if find(root, (*location, step)) is None:
            break
        location = (*location, step)
    return (*location, error["loc"][len(location)]) if error["type"] == "missing" else location


def explain(root: Node, written: Node, error: ErrorDetails, source: Source) -> Fault | None:
    """The fault that an error stands for; None when the place has a fault already.

    `root` is the tree that was judged, `written` the tree as read, before faulty parts were taken out of it.
    """
    location = location_of(root, error)
    node = find(root, location)
    if error["type"] == "missing":
        known = find(written, location) is not None or _is_later_item(root, location[:-1])
        return None if known else _missing(root, location, source)
    if error["type"] == "extra_forbidden":
        return _unknown(root, location, source)
    if error["type"] == "too_short" and isinstance(node, Sequence) and node.items:
        return None  # its items have faults of their own
    what, hint = _describe(error, node, location)
    return source.fault(value_spot(root, location), what, hint)


def _is_later_item(root: Node, location: Location) -> bool:
    """An item of a kind that a later version has, such as a mirror step, lacks the keys of today's kind."""
    node = find(root, location)
    return (
        isinstance(node, Mapping)
        and isinstance(location[-1] if location else "", int)
        and any(is_later_key((*location, key)) for key in node.entries)
    )


def _describe(error: ErrorDetails, node: Node | None, location: Location) -> tuple[str, str]:
    """What is wrong with the value at a location, and how to mend it."""
    if location[:1] == ("notify",) and not (isinstance(node, Scalar) and node.value is None):
        wanted = "text" if len(location) > 1 else "a list of names of variables"  # whatever it is, it may be a secret
        return f"{_name(location)}: must be {wanted}", 'write notify: ["${NAME}"]'
    if isinstance(node, Scalar) and node.from_environment:
        return _from_environment(node, error)
    if isinstance(node, Scalar) and node.value is None and error["type"] != "value_error":
        return f"{_name(location)} has no value", _wanted(location)
    if len(error["loc"]) > len(location):  # a branch of a union; the other branches say the same of their types
        return f"{_name(location)}: must be text, a number, true or false, not {_shown(node)}", ""
    what, hint = _value(error, node, location)
    return f"{_name(location)}: {what}", hint


def section_at(location: Location) -> type[BaseModel] | None:
    """The section of the schema that describes the mapping at `location`."""
    found: Any = Policy
    for step in location:
        if isinstance(found, type) and issubclass(found, BaseModel):
            fields = {info.alias or name: info for name, info in found.model_fields.items()}
            found = _plain_type(fields[step].annotation) if step in fields else None
        elif get_origin(found) in (dict, tuple):
            inner = [kind for kind in get_args(found) if kind is not Ellipsis]
            found = _plain_type(inner[-1])
        else:
            return None
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def keys_of(section: type[BaseModel]) -> dict[str, str]:
    """The keys of a section, with what each means."""
    return {info.alias or name: info.description or "" for name, info in section.model_fields.items()}


def suggestion(name: str, known: list[str]) -> str:
    """`did you mean 'recall'?`, or nothing when no known name is near."""
    near = difflib.get_close_matches(name[:60].lower(), known, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else ""


def _plain_type(annotation: Any) -> Any:
    """`X` of `X | None` and of `Annotated[X, ...]`."""
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [kind for kind in get_args(annotation) if kind is not type(None)]
        return _plain_type(inner[0])
    if get_origin(annotation) is Annotated:
        return _plain_type(get_args(annotation)[0])
    return annotation


def _missing(root: Node, location: Location, source: Source) -> Fault:
    section, key = location[:-1], str(location[-1])
    parent = section_at(section)
    described = keys_of(parent).get(key, "") if parent else ""
    where = f" in {_name(section)}" if section else ""
    return source.fault(
        key_spot(root, section),
        f"missing key '{key}'{where}",
        f"add `{key}: ...`" + (f" ({described})" if described else ""),
    )


def _unknown(root: Node, location: Location, source: Source) -> Fault:
    key = str(location[-1])
    spot = key_spot(root, location)
    if is_later_key(location):
        return source.fault(spot, f"'{key}' is not available in {THIS}", "remove it; a later version will have it")
    parent = section_at(location[:-1])
    known = list(keys_of(parent)) if parent else []
    hints = [hint for hint in (suggestion(key, known), _home_of(key)) if hint]
    hint = " Or ".join(hints) or "known here: " + ", ".join(known)
    return source.fault(spot, f"unknown key '{plain(key, 40)}'", hint)


def _home_of(key: str) -> str:
    """Where a key belongs that stands in the wrong section: the top level, or the only other place."""
    homes: list[str] = []

    def visit(section: type[BaseModel], path: str) -> None:
        if key in keys_of(section):
            homes.append(path or "the top level")
        for name, info in section.model_fields.items():
            inner = _plain_type(info.annotation)
            while get_origin(inner) in (dict, tuple):
                inner = _plain_type(next(kind for kind in reversed(get_args(inner)) if kind is not Ellipsis))
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                visit(inner, f"{path}.{info.alias or name}".lstrip("."))

    visit(Policy, "")
    top = [home for home in homes if home == "the top level"] or homes
    return f"it belongs under {top[0]}" if len(top) == 1 else ""


def _from_environment(node: Scalar, error: ErrorDetails) -> tuple[str, str]:
    """The value may be a secret: neither it nor anything that quotes it is shown."""
    shown = plain(node.written)
    if error["type"] in ("int_type", "float_type", "bool_type", "literal_error"):
        return f"'{shown}' can only stand for text, not {_TYPES[error['type']]}", "write the value here"
    return f"the value of '{shown}' is not valid here", "check what the variable holds"


#: What a pydantic error type asks for.
_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "literal_error": "one of a few values",
    "tuple_type": "a list",
    "dict_type": "a section",
    "model_type": "a section",
    "model_attributes_type": "a section",
}


def _value(error: ErrorDetails, node: Node | None, location: Location) -> tuple[str, str]:
    """What is wrong with a value of the file, and the fix."""
    kind = error["type"]
    context: dict[str, Any] = error.get("ctx", {})
    what, hint = error["msg"][:1].lower() + error["msg"][1:], _wanted(location)
    if isinstance(cause := context.get("error"), UnitError):
        what, hint = cause.what, cause.hint
    elif kind == "literal_error":
        what, hint = _literal(node, location, str(context.get("expected", "")))
    elif kind in _TYPES:
        what, hint = f"must be {_TYPES[kind]}, not {_shown(node)}", _fix(kind, node, location)
    elif kind in _BOUNDS:
        what = f"must be {_BOUNDS[kind]} {_bound(next(iter(context.values())), node)}, not {_shown(node)}"
    elif kind in ("too_short", "string_too_short"):
        what = "must not be empty" if context.get("min_length") == 1 else f"{_shown(node)} is too short"
    elif kind == "string_pattern_mismatch":
        what = f"{_shown(node)} is not valid here"
        small = node.value.lower() if isinstance(node, Scalar) and isinstance(node.value, str) else ""
        if small and re.search(str(context.get("pattern")), small):
            hint = f"did you mean '{plain(small, 40)}'?"
    elif kind.startswith("date"):
        what, hint = f"{_shown(node)} is not a date", f"write it as {date(2027, 6, 30)}"
    return what, hint


_BOUNDS = {
    "greater_than": "more than",
    "greater_than_equal": "at least",
    "less_than": "less than",
    "less_than_equal": "at most",
}


def _bound(limit: Any, node: Node | None) -> str:
    """A limit in the unit that the value was written in."""
    text = str(node.value).strip() if isinstance(node, Scalar) else ""
    if text.endswith("%"):
        return format_percent(float(limit))
    if text.endswith("B"):
        return format_size(int(limit))
    if "/" in text:
        return format_rate(float(limit))
    if text.endswith("x"):
        return f"{limit:g}x"
    return format_duration(float(limit)) if text[-1:].isalpha() else f"{limit:g}"


def _literal(node: Node | None, location: Location, expected: str) -> tuple[str, str]:
    allowed = [word.strip().strip("'") for word in expected.replace(" or ", ", ").split(",")]
    value = node.value if isinstance(node, Scalar) else None
    if is_later_value(location, value):
        return f"'{value}' is not available in {THIS}", f"write {' or '.join(allowed)}"
    near = suggestion(str(value), allowed) if isinstance(value, str) else ""
    return f"{_shown(node)} is not known here", near or f"write {' or '.join(allowed)}"


def _fix(kind: str, node: Node | None, location: Location) -> str:
    if isinstance(node, Scalar) and kind == "string_type":
        return f'quote it: "{plain(node.written, 30)}"'
    if isinstance(node, Scalar) and kind == "tuple_type":
        return f"write [{plain(node.written, 30)}]"
    if isinstance(node, Scalar) and isinstance(node.value, str) and kind in ("int_type", "float_type"):
        text = node.value.strip()
        if text.endswith("%") and _is_number(text[:-1]):
            return f"write {float(text[:-1]) / 100:g}"
        if _is_number(text):
            return f"write {plain(text, 30)} without quotes"
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        section = section_at(location)
        return "it has the keys " + ", ".join(keys_of(section)) if section else "write `name: {...}`"
    return _wanted(location)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _wanted(location: Location) -> str:
    """What the schema says about the key at `location`."""
    while location and not isinstance(location[-1], str):
        location = location[:-1]
    if not location:
        return ""
    parent = section_at(location[:-1])
    return keys_of(parent).get(str(location[-1]), "") if parent else ""


def _shown(node: Node | None) -> str:
    """A faulty value as a person would name it."""
    match node:
        case Scalar(value=None):
            return "nothing"
        case Scalar():
            return f"'{plain(node.written, 40)}'"
        case Mapping():
            return "a section"
        case _:
            return "a list"


def _name(location: Location) -> str:
    """The key that a message is about."""
    if not location:
        return "the policy"
    named = [step for step in location if isinstance(step, str)]
    tail = location[-1]
    if isinstance(tail, int):
        return f"item {tail + 1} of '{named[-1]}'" if named else f"item {tail + 1}"
    return f"'{plain(tail, 40)}'"
