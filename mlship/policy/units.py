"""Quantities with units, as people write them (`200ms`, `1%`, `100/s`), and their parsers."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_DURATION = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = r"(\d+(?:\.\d+)?)"


def parse_duration(value: Any) -> float:
    """Read a duration such as `200ms`, `30s`, `10m`, `24h` or `90d`, in seconds.

    Raises ``ValueError`` with the likely fix for a bare number or an unknown unit.
    """
    match = re.fullmatch(rf"{_NUMBER}\s*(ms|s|m|h|d)", value.strip()) if isinstance(value, str) else None
    if match:
        return float(match[1]) * _DURATION[match[2]]
    if _is_number(value):
        raise ValueError(f"a duration needs a unit: did you mean '{value}s' or '{value}ms'?")
    raise ValueError(f"not a duration: {value!r}; write it as 200ms, 30s, 10m, 24h or 90d")


def parse_percent(value: Any) -> float:
    """Read a percentage such as `1%` or `0.5%`, as a share between 0 and 1.

    Raises ``ValueError`` with the likely fix for a bare number or a value above 100 %.
    """
    match = re.fullmatch(rf"{_NUMBER}\s*%", value.strip()) if isinstance(value, str) else None
    if match:
        share = float(match[1]) / 100
        if share > 1:
            raise ValueError(f"{value} is more than 100%")
        return share
    if _is_number(value):
        raise ValueError(f"a percentage needs its sign: did you mean '{value}%'?")
    raise ValueError(f"not a percentage: {value!r}; write it as 1% or 0.5%")


def parse_share(value: Any) -> float:
    """Read a share that may be zero without a sign: `0` or a percentage."""
    return 0.0 if value == 0 and not isinstance(value, (bool, str)) else parse_percent(value)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, (int, float)) or (
        isinstance(value, str) and re.fullmatch(_NUMBER, value.strip()) is not None
    )


def _schema(pattern: str, description: str, examples: list[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "description": description, "examples": examples})


#: Seconds, written with a unit.
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    _schema(r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*$", "a duration with its unit", ["200ms", "30s", "10m", "24h"]),
]

#: A share between 0 and 1, written in percent.
Percent = Annotated[
    float,
    BeforeValidator(parse_percent),
    _schema(r"^\s*\d+(\.\d+)?\s*%\s*$", "a percentage", ["1%", "0.5%", "25%"]),
]

#: A percentage, or a plain 0.
Share = Annotated[
    float,
    BeforeValidator(parse_share),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%\s*$"}, {"const": 0}],
            "description": "a percentage, or 0",
        }
    ),
]
