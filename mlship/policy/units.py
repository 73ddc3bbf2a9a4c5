"""Quantities with units, as people write them (`200ms`, `1%`, `100/s`), and their parsers."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_DURATION = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_DURATION_TEXT = re.compile(rf"\s*{_NUMBER}\s*(ms|s|m|h|d)\s*")
_PERCENT_TEXT = re.compile(rf"\s*{_NUMBER}\s*%\s*")

_SIZE = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE_TEXT = re.compile(rf"\s*{_NUMBER}\s*(B|KB|MB|GB|KiB|MiB|GiB)\s*")

_RATE = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE_TEXT = re.compile(rf"\s*{_NUMBER}\s*/\s*(s|m|h|d)\s*")
_FACTOR_TEXT = re.compile(rf"\s*{_NUMBER}\s*x\s*")

#: Longer than any rollout, short enough for every clock and every sum.
_LONGEST = 3650 * 86400.0


class UnitError(ValueError):
    """A quantity that cannot be read: what is wrong with it, and the likely fix."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(f"{what}: {hint}")
        self.what = what
        self.hint = hint


def parse_duration(value: Any) -> float:
    """Read a duration such as `200ms`, `30s`, `10m`, `24h` or `90d`, in seconds.

    Raises ``UnitError`` (a ``ValueError``) with the likely fix for a bare number or an unknown unit.
    """
    match = _DURATION_TEXT.fullmatch(value) if isinstance(value, str) else None
    if match:
        seconds = float(match[1]) * _DURATION[match[2]]
        if seconds > _LONGEST:
            raise UnitError(f"{_shown(value)} is longer than ten years", "write a shorter duration")
        return seconds
    if _is_number(value):
        _refuse_negative(value)
        raise UnitError("a duration needs a unit", f"did you mean '{value}s' or '{value}ms'?")
    raise UnitError(f"{_shown(value)} is not a duration", "write it as 200ms, 30s, 10m, 24h or 90d")


def format_duration(seconds: float) -> str:
    """Write a duration as people would: `200ms`, `90s`, `10m`, `24h`, `90d`; the inverse of `parse_duration`."""
    for unit, smallest in (("d", 2 * 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0)):
        if seconds >= smallest and (seconds / _DURATION[unit]).is_integer():
            return f"{seconds / _DURATION[unit]:.0f}{unit}"
    return f"{_decimal(seconds)}s" if seconds == 0 or seconds >= 1 else f"{_decimal(seconds * 1000)}ms"


def parse_percent(value: Any) -> float:
    """Read a percentage such as `1%` or `0.5%`, as a share between 0 and 1.

    Raises ``UnitError`` (a ``ValueError``) with the likely fix for a bare number or a value above 100 %.
    """
    match = _PERCENT_TEXT.fullmatch(value) if isinstance(value, str) else None
    if match:
        share = float(match[1]) / 100
        if share > 1:
            raise UnitError(f"{_shown(value)} is more than 100%", "write a percentage between 0% and 100%")
        return share
    if _is_number(value):
        _refuse_negative(value)
        number = float(value)
        whole = f"'{value}%'"
        meant = f"'{_decimal(number * 100)}%' or {whole}" if 0 < number < 1 else whole
        raise UnitError("a percentage needs its sign", f"did you mean {meant}?")
    raise UnitError(f"{_shown(value)} is not a percentage", "write it as 1% or 0.5%")


def format_percent(share: float) -> str:
    """Write a share as a percentage: `1%`, `0.5%`; the inverse of `parse_percent`."""
    return f"{_decimal(share * 100)}%"


def parse_share(value: Any) -> float:
    """Read a share that may be zero without a sign: `0` or a percentage."""
    return 0.0 if value == 0 and not isinstance(value, (bool, str)) else parse_percent(value)


def parse_size(value: Any) -> int:
    """Read a size such as `600MB` or `2GB`, in bytes; units are powers of 1000, `KiB`, `MiB` and `GiB` of 1024.

    Raises ``UnitError`` (a ``ValueError``) with the likely fix for a bare number or an unknown unit.
    """
    match = _SIZE_TEXT.fullmatch(value) if isinstance(value, str) else None
    if match:
        return int(float(match[1]) * _SIZE[match[2]])
    if _is_number(value):
        _refuse_negative(value)
        raise UnitError("a size needs a unit", f"did you mean '{value}MB' or '{value}GB'?")
    raise UnitError(f"{_shown(value)} is not a size", "write it as 600MB, 2GB or 2GiB")


def format_size(size: int) -> str:
    """Write a size as people would: `600MB`, `2GB`, `1.5GB`; the inverse of `parse_size`, to 3 decimals."""
    for unit in ("GB", "MB", "KB"):
        if size >= _SIZE[unit]:
            return f"{_decimal(round(size / _SIZE[unit], 3))}{unit}"
    return f"{size}B"


def parse_rate(value: Any) -> float:
    """Read a rate such as `100/s`, `600/m` or `10000000/d`, in events per second.

    Raises ``UnitError`` (a ``ValueError``) with the likely fix for a bare number or an unknown unit.
    """
    match = _RATE_TEXT.fullmatch(value) if isinstance(value, str) else None
    if match:
        return float(match[1]) / _RATE[match[2]]
    if _is_number(value):
        _refuse_negative(value)
        raise UnitError("a rate needs a unit", f"did you mean '{value}/s' or '{value}/d'?")
    raise UnitError(f"{_shown(value)} is not a rate", "write it as 100/s, 6000/m or 10000000/d")


def format_rate(per_second: float) -> str:
    """Write a rate in events per second: `100/s`, `0.5/s`; the inverse of `parse_rate`."""
    return f"{_decimal(per_second)}/s"


def parse_factor(value: Any) -> float:
    """Read a factor such as `3x` or `1.5x`.

    Raises ``UnitError`` (a ``ValueError``) with the likely fix for a bare number.
    """
    match = _FACTOR_TEXT.fullmatch(value) if isinstance(value, str) else None
    if match:
        return float(match[1])
    if _is_number(value):
        _refuse_negative(value)
        raise UnitError("a factor needs its sign", f"did you mean '{value}x'?")
    raise UnitError(f"{_shown(value)} is not a factor", "write it as 3x or 1.5x")


def _decimal(value: float) -> str:
    """Without an exponent and without trailing zeros."""
    return f"{value:.10f}".rstrip("0").rstrip(".")


def _shown(value: Any) -> str:
    """A faulty value for a message."""
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 40 else f"'{value[:37]}...'"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, dict):
        return "a section"
    return {None: "nothing", True: "'true'", False: "'false'"}.get(value, f"'{value}'")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, (int, float)) or (
        isinstance(value, str) and re.fullmatch(_NUMBER, value.strip()) is not None
    )


def _refuse_negative(value: Any) -> None:
    if float(value) < 0:
        raise UnitError(f"{_shown(value)} is negative", "write zero or more, with a unit")


#: JSON Schema patterns; a reference to the environment is allowed wherever text is.
DURATION_PATTERN = r"^\s*[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)\s*$|\$\{"
PERCENT_PATTERN = r"^\s*[0-9]+(\.[0-9]+)?\s*%\s*$|\$\{"

SIZE_PATTERN = r"^\s*[0-9]+(\.[0-9]+)?\s*(B|KB|MB|GB|KiB|MiB|GiB)\s*$|\$\{"

#: Seconds, written with a unit.
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["200ms", "30s", "10m", "24h"]}),
]

#: A share between 0 and 1, written in percent.
Percent = Annotated[
    float,
    BeforeValidator(parse_percent),
    WithJsonSchema({"type": "string", "pattern": PERCENT_PATTERN, "examples": ["1%", "0.5%", "25%"]}),
]

#: A percentage, or a plain 0.
Share = Annotated[
    float,
    BeforeValidator(parse_share),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": PERCENT_PATTERN}, {"const": 0}]}),
]

#: Bytes, written with a unit.
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN, "examples": ["600MB", "2GB"]}),
]

RATE_PATTERN = r"^\s*[0-9]+(\.[0-9]+)?\s*/\s*(s|m|h|d)\s*$|\$\{"
FACTOR_PATTERN = r"^\s*[0-9]+(\.[0-9]+)?\s*x\s*$|\$\{"

#: Events per second, written with a unit.
Rate = Annotated[
    float,
    BeforeValidator(parse_rate),
    WithJsonSchema({"type": "string", "pattern": RATE_PATTERN, "examples": ["100/s", "6000/m", "10000000/d"]}),
]

#: A multiple, written with an x.
Factor = Annotated[
    float,
    BeforeValidator(parse_factor),
    WithJsonSchema({"type": "string", "pattern": FACTOR_PATTERN, "examples": ["3x", "1.5x"]}),
]
