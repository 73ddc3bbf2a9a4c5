"""How a draft is written: scalars that mean themselves, decimals without exponents, comments in one column. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from mlship.policy.scalars import Trap, resolve

#: Where comments begin, unless the line is longer; and how wide a comment may be before it stands above its line.
_COLUMN, _WIDTH = 44, 120
#: Text that needs no quotes wherever it stands, if it is not read as something else than text.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
#: What YAML and terminals do not show, or read as the end of a line.
_UNSHOWN = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u0600-\u0605\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff]"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a draft."""

    text: str
    why: str = ""
    """Where what it says comes from."""


def text(value: str) -> str:
    """Text as a YAML scalar: plain where that is safe, else in double quotes; `${` stands for itself."""
    if _PLAIN.fullmatch(value) and not isinstance(found := resolve(value), Trap) and found == value:
        return value
    return quoted(value)


def key(name: str) -> str:
    """Text as the key of a mapping: as `text`, but `$${` is nothing else than itself there, and so is `${`."""
    return _in_quotes(name) if "${" in name else text(name)


def quoted(value: str) -> str:
    """Text in double quotes; `${` stands for itself, not for the environment."""
    return _in_quotes(value.replace("${", "$${"))


def _in_quotes(value: str) -> str:
    return '"' + "".join(_escaped(char) for char in value) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if ord(char) > 0xFFFF:
        return f"\\U{ord(char):08x}"
    return f"\\u{ord(char):04x}" if _UNSHOWN.match(char) else char


def listed(values: list[str]) -> str:
    """A list on one line; the values are scalars already."""
    return f"[{', '.join(values)}]"


def decimal(value: float) -> str:
    """A number without an exponent, as short as it can be without being another one."""
    written = format(Decimal(repr(float(value))), "f")
    return (written.rstrip("0").rstrip(".") if "." in written else written) if value else "0"


def step_of(width: float) -> float:
    """The power of ten to which a figure is rounded that is known to about this width."""
    return float(Decimal(1).scaleb(Decimal(repr(width)).adjusted() if width > 0 else -6))


def down(value: float, step: float) -> float:
    """The largest multiple of a step that is not above the value."""
    return _rounded(value, step, ROUND_FLOOR)


def up(value: float, step: float) -> float:
    """The smallest multiple of a step that is not below the value."""
    return _rounded(value, step, ROUND_CEILING)


def written(lines: list[Line]) -> str:
    """The file: comments in one column; one that is too long for its line stands above it."""
    out: list[str] = []
    for line in lines:
        if not line.why:
            out.append(line.text.rstrip())
            continue
        said = f"# {clean(line.why)}"
        beside = f"{line.text:<{_COLUMN}} {said}" if len(line.text) < _COLUMN else f"{line.text}  {said}"
        if len(beside) <= _WIDTH:
            out.append(beside)
        else:
            indent = " " * (len(line.text) - len(line.text.lstrip()))
            out += [*(f"{indent}# {part}" for part in wrapped(clean(line.why), _WIDTH - len(indent) - 2)), line.text]
    return "\n".join(out).rstrip() + "\n"


def wrapped(sentence: str, width: int) -> list[str]:
    """A sentence cut into lines."""
    import textwrap

    return textwrap.wrap(sentence, width, break_long_words=False, break_on_hyphens=False) or [""]


def clean(said: str) -> str:
    """Text that may stand in a comment: one line, nothing in it that is not shown."""
    return " ".join(_UNSHOWN.sub(" ", said).encode("utf-8", "replace").decode().split())


def _rounded(value: float, step: float, how: str) -> float:
    size = Decimal(repr(step))
    return float((Decimal(repr(float(value))) / size).to_integral_value(rounding=how) * size)
