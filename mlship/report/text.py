"""The evaluation for a terminal: the verdict first, then every rule, the worst first."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from mlship.report import cells, figures
from mlship.report.grids import lines
from mlship.report.words import MARKS, aside, champion, measured, subject, summary, worst_first
from mlship.types import Evaluation, GateResult, Status

_WIDTH = 118
#: In fewer columns a reason would be a column of words.
_NARROWEST = 40
_OPEN = (Status.FAILED, Status.ERROR, Status.INCONCLUSIVE)
_HEADINGS = ("gate", "rule", "", "measured", "limit", "champion", "n")


def render(evaluation: Evaluation, columns: int | None = None) -> str:
    """Verdict, table, what explains the open rules, and evidence; ends without a newline.

    Parameters
    ----------
    columns
        Width of the terminal; None: as wide as a page is read well.
    """
    width = _WIDTH if columns is None else max(_NARROWEST, min(_WIDTH, columns))
    results = evaluation.results
    parts = [[summary(evaluation)], table(results, width), *shown(results, width), _evidence(evaluation)]
    return "\n\n".join("\n".join(part) for part in parts)


def table(results: Sequence[GateResult], width: int = _WIDTH) -> list[str]:
    """One line a rule in aligned columns, the worst first, its reason below it."""
    ordered = worst_first(results)
    rows = [_cells(result) for result in ordered]
    widths = [max(len(row[i]) for row in [_HEADINGS, *rows]) for i in range(len(_HEADINGS))]
    lines = [_line(_HEADINGS, widths)]
    for result, row in zip(ordered, rows, strict=True):
        lines.append(_line(row, widths))
        wrapped = textwrap.wrap(result.reason, width - 6, break_long_words=False, break_on_hyphens=False)
        lines += [f"      {part}" for part in wrapped]
    return lines


def shown(results: Sequence[GateResult], width: int = _WIDTH) -> list[list[str]]:
    """The tables and grids of every rule that is not passed, each as its lines; curves need more than letters."""
    blocks = []
    for result, exhibit in cells.exhibits([each for each in worst_first(results) if each.status in _OPEN]):
        title, *rest = lines(exhibit, width - 2) or [""]
        if rest:
            blocks.append([cells.shortened(f"{result.gate} {result.rule}: {title}", width), *[f"  {x}" for x in rest]])
    return blocks


def _cells(result: GateResult) -> tuple[str, ...]:
    n = figures.count(result.measured.n) if result.measured and result.measured.n else "-"
    mark = f"{MARKS[result.status]} {result.status}"
    return result.gate, result.rule, mark, measured(result), result.limit, champion(result), n


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    *left, last = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join([*left, last.strip().rjust(widths[-1])]).rstrip()


def _evidence(evaluation: Evaluation) -> list[str]:
    line = f"evaluation {evaluation.id} of {subject(evaluation)}, {evaluation.seconds:.1f} s"
    lines = [line if evaluation.run_id is None else f"{line}; MLflow run {evaluation.run_id}"]
    return [*lines, aside(evaluation)] if evaluation.partial else lines
