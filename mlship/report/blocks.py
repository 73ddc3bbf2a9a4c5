"""Pieces of Markdown that any text can be put into: headings, tables, lists."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mlship.report.cells import plain
from mlship.report.markdown import MARKS, safe
from mlship.types import Status

#: A cell, a sentence or a heading of more characters is cut; JSON has all of it.
_CELL, _SENTENCE = 300, 3000


def heading(status: Status, text: str) -> str:
    """The verdict first: its mark, and what it is about."""
    return f"### {MARKS[status]} {safe(text, _CELL)}"


def sentence(text: str) -> str:
    """One paragraph."""
    return safe(text, _SENTENCE)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; nothing when it has no rows."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *([safe(cell, _CELL) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(text: str) -> str:
    """Text for one cell of a table, letter by letter, as people copy it; nothing in it ends the code or the cell."""
    text = plain(text)
    if "\\|" in text:
        return safe(text, _SENTENCE)  # an escaped bar would end the cell after a backslash, whatever is around it
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text[:1] == "`" or text[-1:] == "`" else ""
    return f"{fence}{pad}{text.replace('|', chr(92) + '|')}{pad}{fence}" if text else ""


def bullets(lines: Sequence[str]) -> str:
    """A list; nothing when it is empty."""
    return "\n".join(f"- {safe(line, _SENTENCE)}" for line in lines)


def joined(*blocks: str) -> str:
    """The blocks below one another, without those that are empty."""
    return "\n\n".join(block for block in blocks if block)
