"""The evaluation as GitHub-flavoured Markdown, for a comment on a pull request or a job summary."""

from __future__ import annotations

from html import escape

from mlship.exhibits import Curves, Exhibit, Heat, Table
from mlship.report import cells, figures
from mlship.report.words import aside, champion, measured, outcome, subject, worst_first
from mlship.types import Evaluation, GateResult, Status

#: GitHub refuses a comment of 65,536 characters; in bytes there is room to spare.
_LARGEST = 60_000
#: A reason longer than this is cut: the other reports have all of it.
_LONGEST_REASON = 700
#: Rows of one exhibit, and columns of a grid; the others are counted.
_MOST_ROWS, _MOST_COLUMNS = 12, 14

MARKS = {
    Status.PASSED: "✅",
    Status.FAILED: "❌",
    Status.INCONCLUSIVE: "❔",
    Status.ERROR: "⚠️",
    Status.SKIPPED: "⏭️",
}
_HEAD = "| | gate | rule | measured | limit | champion | n | reason |\n|---|---|---|---|---|---|---:|---|"
_SETTLED = (Status.PASSED, Status.SKIPPED)


def render(evaluation: Evaluation) -> str:
    """A heading, a sentence, what needs attention as a table, and the rest folded away; ends without a newline.

    Never longer than a comment on GitHub may be: what does not fit is counted.
    """
    ordered = worst_first(evaluation.results)
    open_ones = [result for result in ordered if result.status not in _SETTLED]
    settled = [result for result in ordered if result.status in _SETTLED]
    parts = [
        f"### {MARKS[evaluation.status]} {safe(subject(evaluation), 300)}: {evaluation.status}",
        f"{safe(outcome(evaluation), 1000)}.",
    ]
    if evaluation.partial:
        parts.append(safe(aside(evaluation), 1000))
    room = _Room(_LARGEST - sum(_size(part) for part in parts))
    if open_ones:
        parts.append(_rules(open_ones, room))
    # The settled rules are shorter than what explains the open ones, and come after them: their place is kept.
    kept = _Room(min(room.left // 3, 200 + sum(_size(_row(result)) for result in settled)))
    room.left -= kept.left
    for result, exhibit in cells.exhibits(open_ones):
        if (shown := _exhibit(result, exhibit)) and room.takes(shown):
            parts.append(shown)
    if settled:
        title = f"{figures.things(len(settled), 'rule')} passed or skipped"
        parts.append(f"<details><summary>{title}</summary>\n\n{_rules(settled, kept)}\n\n</details>")
    by = f" by {safe(evaluation.who, 100)}" if evaluation.who else ""
    run = f", MLflow run `{_code(evaluation.run_id)}`" if evaluation.run_id else ""
    digest = evaluation.candidate.version.digest.removeprefix("sha256:")[:12]
    ids = f"evaluation `{evaluation.id}`{by}, model `{digest}`{run}, {evaluation.seconds:.1f} s"
    return "\n\n".join([*parts, f"<sub>{ids}</sub>"])


class _Room:
    """How many bytes are left."""

    def __init__(self, left: int) -> None:
        self.left = left

    def takes(self, text: str) -> bool:
        """Whether the text still fits; if so, its place is taken."""
        size = _size(text) + 2
        if size > self.left:
            return False
        self.left -= size
        return True


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))


def _rules(results: list[GateResult], room: _Room) -> str:
    """As many rows as there is room for, and how many there are more."""
    rows = []
    for result in results:
        row = _row(result)
        if not room.takes(row):
            break
        rows.append(row)
    hidden = len(results) - len(rows)
    more = [f"\n{figures.things(hidden, 'more rule')} of this kind: see the full report."] if hidden else []
    return "\n".join([_HEAD, *rows, *more])


def _row(result: GateResult) -> str:
    n = figures.count(result.measured.n) if result.measured and result.measured.n else "-"
    texts = (result.gate, result.rule, measured(result), result.limit, champion(result), n)
    said = [*[safe(text, 200) for text in texts], safe(result.reason, _LONGEST_REASON)]
    return f"| {MARKS[result.status]} | {' | '.join(said)} |"


def _exhibit(result: GateResult, exhibit: Exhibit) -> str:
    """The exhibit as a folded table; nothing for curves, which the HTML report has."""
    if cells.is_empty(exhibit):
        return ""
    match exhibit:
        case Table():
            right = cells.numeric(exhibit)
            head = [safe(name, 80) for name in exhibit.columns]
            rows = [[safe(text, 160) for text in row] for row in cells.rows_of(exhibit)]
        case Heat():
            head, rows = _grid(exhibit)
            right = [False, *[True] * (len(head) - 1)]
        case Curves():
            return ""
    lines = [_line(head), "|" + "|".join("---:" if each else "---" for each in right) + "|"]
    lines += [_line(row) for row in rows[:_MOST_ROWS]]
    hidden = len(rows) - _MOST_ROWS
    notes = [f"and {figures.things(hidden, 'more row')}"] if hidden > 0 else []
    notes += [safe(exhibit.note, 300)] if exhibit.note else []
    below = f"\n\n{'; '.join(notes)}" if notes else ""
    title = _html(f"{result.gate} {result.rule}: {exhibit.title}")
    table = "\n".join(lines)
    return f"<details><summary>{title}</summary>\n\n{table}{below}\n\n</details>"


def _grid(heat: Heat) -> tuple[list[str], list[list[str]]]:
    """The last columns, as windows of time have it; bold from the limit on."""

    def figure(value: float | None, text: str) -> str:
        return f"**{text}**" if cells.beyond(heat, value) else text or "-"

    first = max(0, len(heat.x) - _MOST_COLUMNS)
    rows = [
        [safe(name, 80), *map(figure, row[first:], said[first:])]
        for name, row, said in zip(heat.y, heat.values, cells.grid_of(heat), strict=True)
    ]
    head = [safe(name, 80) for name in heat.x[first:]]
    return [f"last {_MOST_COLUMNS} of {len(heat.x)}" if first else "", *head], rows


def _line(row: list[str]) -> str:
    return f"| {' | '.join(row)} |"


def _code(text: str) -> str:
    return cells.plain(text).replace("`", "'").replace("<", "'")


def _html(text: str) -> str:
    """Text between tags, where Markdown's own escapes would be shown."""
    return escape(cells.shortened(cells.plain(text), 200)).replace("@", "@\u200b")


def safe(text: str, most: int) -> str:
    """Text that cannot end a cell, start markup or mention anybody, cut to about `most` characters."""
    text = cells.shortened(cells.plain(text), most)
    for special in "\\`*_<|[~#&":
        text = text.replace(special, f"\\{special}")
    return text.replace("@", "@\u200b")
