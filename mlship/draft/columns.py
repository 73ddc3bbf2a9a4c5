"""What the contract promises of each column, from what the rows have. Pure."""

from __future__ import annotations

from mlship.draft.facts import Column, Data
from mlship.draft.layout import Line, decimal, down, key, listed, quoted, step_of, up
from mlship.report.figures import count, number, share

#: More columns than this are nobody's to read; the rest are counted in a comment.
_MOST = 40
#: Bounds of more digits than this are not written: they would lose some.
_DIGITS = 15


def column_lines(data: Data) -> list[Line]:
    """A line for each column that the model takes."""
    if not data.columns:
        return []
    lines = [
        Line("    columns:", "types, values and ranges that were found; ranges with half as much room on each side")
    ]
    lines += [_line(column) for column in data.columns[:_MOST]]
    if len(data.columns) > _MOST:
        lines.append(Line(f"      # and {count(len(data.columns) - _MOST)} more columns, of which nothing is promised"))
    return lines


def bounds(column: Column) -> tuple[float, float] | None:
    """The range of a column of numbers with half as much room on each side; none of a sign that was not found."""
    low, high = column.low, column.high
    if low is None or high is None:
        return None
    span = high - low
    step = step_of(span / 10 if span > 0 else max(abs(high), 1.0) / 10)
    if column.kind == "integer":
        step = max(1.0, step)
    least = 0.0 if low >= 0 else down(low - span / 2, step)
    most = 0.0 if high <= 0 else up(high + span / 2, step)
    return (min(least, low), max(most, high))


def _line(column: Column) -> Line:
    rules, why = [f"type: {column.kind}"], ""
    found = bounds(column)
    if found is not None and all(len(decimal(end).lstrip("-").replace(".", "")) <= _DIGITS for end in found):
        rules += [f"min: {decimal(found[0])}", f"max: {decimal(found[1])}"]
        why = f"found {number(column.low)} to {number(column.high)}"
    if column.values:
        rules.append(f"values: {listed([quoted(value) for value in column.values])}")
        why = f"{len(column.values)} distinct values were found"
    if column.missing:
        why = "; ".join(filter(None, [why, f"{share(column.missing)} missing"]))
    return Line(f"      {key(column.name)}: {{{', '.join(rules)}}}", why)
