"""Faults: what is wrong with a policy, where, and how to mend it; and how one is shown to a person."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

#: A longer source line is cut around the fault; a terminal or a CI log would wrap it and lose the caret.
_SHOWN = 100
_INDENT = " " * 5
_BREAKS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
#: Where API keys and tokens belong, and what somebody has written there.
_KEYS = re.compile(r"""(\b(?:api_keys|token)["']?\s*:\s*)("[^"]*"?|'[^']*'?|[^\s,}#]+)""")
#: A webhook's URL, of which scheme and host are no secret.
_WEBHOOK = re.compile(r"""(\bwebhook["']?\s*:\s*["']?[A-Za-z][A-Za-z0-9+.-]*://)([^\s/"',}]*)([^\s"',}]*)""")
#: Where `notify` begins, and what stands in its lines: names of variables, and words that may be secrets.
_NOTIFY = re.compile(r"""(?:^|[{,\s])["']?notify["']?\s*:(.*)$""")
_WORD = re.compile(r"""(\$\{[A-Za-z_][A-Za-z0-9_]*\})|[^\s\[\],"'{}#-][^\s"',\]]*""")
_TOP = re.compile(r"""["'A-Za-z_{][^:]*:(?:\s|$)""")
#: Lines above a fault in which its section is looked for.
_REACH = 200
_NAMED = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*:)([^/@\s]+)(?=@)")


class Severity(StrEnum):
    """An error makes a policy invalid; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


class Spot(NamedTuple):
    """A place in the file: line and column count from 1, as editors do."""

    line: int
    column: int
    width: int = 1


#: Where a fault of the file as a whole is reported.
START = Spot(1, 1, 0)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one policy file."""

    file: str
    line: int
    """Counts from 1."""
    col: int
    """Counts from 1, in characters."""
    what: str
    source_line: str = ""
    """The line as written (cut when very long); empty when the fault is about the whole file."""
    hint: str = ""
    width: int = 1
    """How many characters from `col` on are meant."""
    severity: Severity = Severity.ERROR
    caret: int = 0
    """Index of the faulty character in `source_line`."""

    def __str__(self) -> str:
        """The fault as `FILE:LINE:COL: what`, the source line, a caret, and how to mend it."""
        warning = "warning: " if self.severity is Severity.WARNING else ""
        lines = [f"{self.file}:{self.line}:{self.col}: {warning}{self.what}"]
        if self.source_line:
            shown = self.source_line.strip()
            before = self.source_line[: self.caret].lstrip()
            lines.append(_INDENT + shown)
            lines.append(_INDENT + " " * _cells(before) + f"^ {self.hint}".rstrip())
        elif self.hint:
            lines.append(_INDENT + self.hint)
        return "\n".join(lines)

    def as_dict(self) -> dict[str, str | int]:
        """The fault for `--format json`."""
        return {
            "line": self.line,
            "column": self.col,
            "width": self.width,
            "severity": str(self.severity),
            "what": self.what,
            "hint": self.hint,
            "source": self.source_line.strip(),
        }


@dataclass(frozen=True, slots=True)
class Source:
    """A policy file's name and lines: it knows how to make a fault of a spot."""

    file: str
    lines: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, file: str, text: str) -> Source:
        """Split `text` into lines as YAML does."""
        return cls(file, tuple(_BREAKS.split(text)))

    def fault(self, spot: Spot, what: str, hint: str = "", severity: Severity = Severity.ERROR) -> Fault:
        """A fault at `spot`, with its source line; passwords inside URLs and API keys are not shown."""
        line = self.lines[spot.line - 1] if 0 < spot.line <= len(self.lines) else ""
        line = _PASSWORD.sub(lambda match: match[1] + "*" * len(match[2]), _printable(line))
        line = _KEYS.sub(lambda match: match[1] + _hidden(match[2]), line)
        line = _WEBHOOK.sub(_host_only, line)
        line = self._without_services(line, spot.line)
        shown, caret = _cut(line, spot.column - 1)
        return Fault(self.file, spot.line, spot.column, what, shown, hint, spot.width, severity, caret)

    def _without_services(self, line: str, number: int) -> str:
        """A line without what may be the URL of a service: in the section `notify`, or below a `webhook:`."""
        if match := _NOTIFY.search(line):
            return line[: match.start(1)] + _WORD.sub(_starred, match[1])
        above = self.lines[max(0, number - 1 - _REACH) : number - 1][::-1]
        nearest = next((text.split("#")[0].rstrip() for text in above if text.strip()), "")
        hidden = nearest.endswith(("webhook:", "webhook: >-", "webhook: >", "webhook: |"))
        for index, text in enumerate(above if not _TOP.match(line) else ()):
            if match := _NOTIFY.search(text):
                between = match[1] + "".join(above[:index])
                deeper = _indent(line) - _indent(text) + line.lstrip().startswith("-")
                hidden = hidden or deeper > 0 or between.count("[") > between.count("]")
                break
            if _TOP.match(text):
                break
        return _WORD.sub(_starred, line) if hidden else line


def _host_only(match: re.Match[str]) -> str:
    user, at, host = match[2].rpartition("@")
    return match[1] + "*" * len(user + at) + host + "*" * len(match[3])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _starred(match: re.Match[str]) -> str:
    return match[1] or "*" * len(match[0])


def is_named_only(written: str) -> bool:
    """Whether a value that must be a secret is nothing but `${NAME}`, or some of them separated by commas."""
    return not _NAMED.sub("", written).strip(" ,\t\n\"'") and bool(_NAMED.search(written))


def _hidden(written: str) -> str:
    return written if is_named_only(written) or written == "null" else "*" * len(written)


def plain(text: str, limit: int = 60) -> str:
    """A piece of the user's file for use inside a message: on one line, without control characters, not too long."""
    text = _printable(text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _printable(text: str) -> str:
    """Tabs, control characters and halves of surrogate pairs become spaces; the length stays the same."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def _cut(line: str, at: int) -> tuple[str, int]:
    """The part of a long line around index `at`, and the index in that part."""
    if len(line) <= _SHOWN:
        return line, min(at, len(line))
    start = max(0, min(at - _SHOWN // 2, len(line) - _SHOWN))
    head, tail = "..." if start else "", "..." if start + _SHOWN < len(line) else ""
    return head + line[start : start + _SHOWN] + tail, min(at, len(line)) - start + len(head)


def _cells(text: str) -> int:
    """Width of `text` on a terminal: East Asian wide characters take two cells, combining marks none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
