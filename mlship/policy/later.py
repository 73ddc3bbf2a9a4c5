"""Parts of the policy that are designed but not in this version: named, so that nobody hunts for a typing mistake."""

from __future__ import annotations

from mlship.policy.tree import Location

#: The version that a person sees in messages.
THIS = "mlship 0.1"

#: Keys by the location of their section; `*` stands for any item or name.
_KEYS: dict[Location, frozenset[str]] = {
    ("gates", "contract"): frozenset({"schema"}),
}

#: Values of later versions, by location.
_VALUES: dict[Location, frozenset[str]] = {
    ("rollout", "engine"): frozenset({"kubernetes"}),
}


def is_later_key(location: Location) -> bool:
    """Is this a key of a later version? The location ends with the key."""
    section, key = location[:-1], location[-1]
    anywhere = (*section[:-1], "*") if section else section
    return key in _KEYS.get(section, frozenset()) or key in _KEYS.get(anywhere, frozenset())


def is_later_value(location: Location, value: object) -> bool:
    """Is this a value that a later version allows here?"""
    return value in _VALUES.get(location, frozenset())


def later_parts() -> list[str]:
    """All of them, as dotted names."""
    keys = [".".join([*map(str, section), key]) for section, names in _KEYS.items() for key in sorted(names)]
    values = [f"{'.'.join(map(str, key))}: {value}" for key, names in _VALUES.items() for value in sorted(names)]
    return [*keys, *values]
