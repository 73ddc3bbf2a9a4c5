"""What an unquoted YAML scalar means, and the traps: words and numbers that YAML versions read differently."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from mlship.policy.faults import plain

Value = str | int | float | bool | None

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_SWITCH = {word: value for value, names in ((True, ("yes", "on")), (False, ("no", "off"))) for word in names}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?")
_SCIENTIFIC = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_OLD_OCTAL = re.compile(r"[-+]?0[0-9_]+")
_BASED = re.compile(r"[-+]?0(o[0-7_]+|b[01_]+|x[0-9a-fA-F_]+)")
_GROUPED = re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?")
_SPECIAL = re.compile(r"[-+]?\.(nan|inf)", re.IGNORECASE)

#: Longer integers name nothing in a policy and would lose digits on their way through JSON.
_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Trap:
    """An unquoted scalar that does not mean what it seems to."""

    what: str
    hint: str


def resolve(text: str) -> Value | Trap:
    """The value of an unquoted scalar, or the trap that it is.

    Only what YAML 1.1 (PyYAML) and YAML 1.2 (editors, other tools) read alike is accepted as a boolean or a number;
    dates stay text, and the schema reads them where it expects one.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text.lower() in _SWITCH:
        meant = "true" if _SWITCH[text.lower()] else "false"
        return Trap(f"an unquoted '{text}' is {meant} to some YAML tools and text to others", _either(meant, text))
    if text[0] in "+-.0123456789":
        return _number(text)
    return text


def _number(text: str) -> Value | Trap:
    """The value of a scalar that begins like a number."""
    shown = plain(text, 30)
    if _INT.fullmatch(text) and len(text) <= _DIGITS:
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    if _INT.fullmatch(text) or _FLOAT.fullmatch(text):
        return Trap(f"the number {shown} is too large", "if it is a name, quote it")
    for pattern, what, meant in _TRAPS:
        if pattern.fullmatch(text):
            return Trap(f"'{shown}' is {what}", _either(meant(text), text))
    if _SPECIAL.fullmatch(text):
        return Trap(f"'{shown}' cannot be a limit", "write a finite number, or leave the key out")
    return text


def _either(meant: str, text: str) -> str:
    """The two ways out of a trap."""
    quoted = f'quote it: "{plain(text, 30)}"'
    return f"write {meant}, or {quoted}" if meant and len(meant) <= 30 else quoted


def _decimal(text: str) -> str:
    """`1e-3` as `0.001`; empty when that would be unreadable."""
    value = float(text)
    if value == 0 or not 1e-9 <= abs(value) <= 1e15:
        return ""
    return f"{value:.15f}".rstrip("0").rstrip(".")


def _based(text: str) -> str:
    digits = text.replace("_", "")
    try:
        return str(int(digits, 0))
    except ValueError:
        return ""


def _in_minutes(_text: str) -> str:
    return "a duration as 90s, 10m or 12h"


def _octal(text: str) -> str:
    return text.lstrip("+-0_").replace("_", "") or "0"


#: How a number-like text is misread, and what was probably meant.
_TRAPS: tuple[tuple[re.Pattern[str], str, Callable[[str], str]], ...] = (
    (_SCIENTIFIC, "text to some YAML tools and a number to others", _decimal),
    (_SEXAGESIMAL, "a number in base 60 to some YAML tools", _in_minutes),
    (_OLD_OCTAL, "an octal number to some YAML tools", _octal),
    (_BASED, "a number to some YAML tools and text to others", _based),
    (_GROUPED, "a number to some YAML tools and text to others", lambda text: text.replace("_", "")),
)
