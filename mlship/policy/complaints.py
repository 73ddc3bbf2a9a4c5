"""What a YAML parser complains about, in the words of somebody who has seen it before, and at the likely place."""

from __future__ import annotations

import re

import yaml

from mlship.policy.faults import START, Fault, Source, Spot, plain

#: How lines begin that `git merge` leaves behind.
_CONFLICT = ("<<<<<<< ", ">>>>>>> ")
#: What the parsers complain about (in their words), what it mostly is, and how to mend it.
_COMPLAINTS = (
    (
        "mapping values are not allowed",
        "a second ': ' on this line, or wrong indentation",
        "quote text that contains ': '",
    ),
    ("unknown escape character", "an unknown escape after a backslash", "use single quotes, or double the backslash"),
    ("end of stream", "a quote or bracket is opened here and never closed", "close it"),
    (
        "',' or ']'",
        "a list is not closed, or a comma is missing",
        "close it with ]; quote text with brackets or commas",
    ),
    ("',' or '}'", "a section is not closed, or a comma is missing", 'close it with }; write "${NAME}" in quotes'),
    ("could not find expected ':'", "a key without ': '", "write `key: value`"),
    ("block end", "wrong indentation", "keys of one section start in the same column"),
    ("expected key", "wrong indentation", "keys of one section start in the same column"),
    ("'-' indicator", "a list ends without warning", "items of one list start in the same column, with '- '"),
    ("incompatible YAML", "this YAML version is not supported", "remove the %YAML line"),
)


def complaint(error: yaml.MarkedYAMLError, source: Source, quoted: Spot | None = None) -> Fault:
    """A parser's complaint, in the words of somebody who has seen it before.

    Parameters
    ----------
    quoted
        Where the latest quoted text begins that goes over several lines: mostly its quote was not closed.
    """
    for number, line in enumerate(source.lines, start=1):
        if line.startswith(_CONFLICT):
            return source.fault(Spot(number, 1), "a merge conflict is not resolved", "choose a side, remove the marks")
    problem = error.problem or "not YAML"
    mark = error.problem_mark
    if error.context_mark is not None and ("end of stream" in problem or mark is None):
        mark = error.context_mark
    spot = Spot(mark.line + 1, mark.column + 1) if mark is not None else START
    if spot.line > len(source.lines) or (source.lines[spot.line - 1] == "" and error.context_mark is not None):
        spot = Spot(error.context_mark.line + 1, error.context_mark.column + 1) if error.context_mark else spot
    line = source.lines[spot.line - 1] if spot.line <= len(source.lines) else ""
    at = line[spot.column - 1 : spot.column]
    if "\t" in line[: spot.column] and not line[: spot.column].strip():
        return source.fault(spot, "a tab in the indentation", "indent with spaces")
    if "cannot start any token" in problem and at:
        word = plain(re.split(r"[\s,\]}]", line[spot.column - 1 :])[0], 30)
        return source.fault(spot, f"a value cannot begin with '{at}'", f'quote it: "{word}"')
    if "',' or" in problem and quoted is not None and spot.line > quoted.line:
        return source.fault(quoted, "not YAML: a quote is opened here, and not closed on this line", "close it")
    if "',' or" in problem and (opened := _unclosed(error, source)) is not None:
        spot = opened
    for words, what, hint in _COMPLAINTS:
        if words in problem:
            return source.fault(spot, f"not YAML: {what}", hint)
    return source.fault(spot, f"not YAML: {plain(problem, 100)}", plain(error.context or "", 100))


def _unclosed(error: yaml.MarkedYAMLError, source: Source) -> Spot | None:
    """Where a list or section in brackets begins that another line was taken for a part of: one that is indented no
    deeper than the line with the bracket.
    """
    opened, found = error.context_mark, error.problem_mark
    if opened is None or found is None or found.line <= opened.line or found.line >= len(source.lines):
        return None
    begins, goes_on = source.lines[opened.line], source.lines[found.line]
    if len(goes_on) - len(goes_on.lstrip()) > len(begins) - len(begins.lstrip()):
        return None
    return Spot(opened.line + 1, opened.column + 1)
