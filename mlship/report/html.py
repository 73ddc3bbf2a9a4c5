"""The evaluation as one HTML file that needs nothing else: no network, no script, no font; for paper and phone too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from mlship.exhibits import Curves, Exhibit, Heat, Table
from mlship.report import cells, figures, words
from mlship.report.page import page
from mlship.report.times import moment
from mlship.types import Evaluation, GateResult, Status

if TYPE_CHECKING:
    from markupsafe import Markup

#: So many characters of exhibits at most, the worst rules' first; the rest is in the JSON report.
_BUDGET = 700_000
#: So many rows of one table, and so many of one grid.
_MOST_ROWS = 60
#: Points of one line in the table behind a plot, and lines.
_SAMPLED, _MOST_LINES = 9, 8
#: Shades of a heat grid.
_SHADES = 8
#: Longer names of lines, columns and rows are cut.
_LONG = 80
#: A grid of so many columns fits beside a plot.
_BROAD = 4
#: In a grid of more columns than these the figures are written small.
_WIDE = 12


def render(evaluation: Evaluation) -> str:
    """The file's content: the verdict first, then every gate with its rules and exhibits, the worst first."""
    version, champion = evaluation.candidate.version, evaluation.candidate.champion
    ordered = words.worst_first(evaluation.results)
    open_ones = [result for result in ordered if result.status not in (Status.PASSED, Status.SKIPPED)]
    gates = _gates(ordered)
    return page("report.html").render(
        evaluation=evaluation,
        version=version,
        champion=champion,
        status=str(evaluation.status),
        outcome=_said(words.outcome(evaluation), named=bool(open_ones)),
        aside=words.aside(evaluation),
        marks={str(status): mark for status, mark in words.MARKS.items()},
        open_ones=[(result, _anchor(gates, result)) for result in open_ones],
        gates=gates,
        when=moment(evaluation.started),
        took=f"{evaluation.seconds:.1f} s" if evaluation.seconds < 120 else f"{evaluation.seconds / 60:.1f} min",
        digests=_digests(evaluation),
    )


@dataclass(frozen=True, slots=True)
class _Rule:
    """One row of a gate's table."""

    result: GateResult
    measured: str
    champion: str
    n: str
    picture: Markup | None


@dataclass(frozen=True, slots=True)
class _Drawn:
    """One exhibit, ready for the template."""

    kind: str
    title: str
    note: str
    rule: str
    content: Any


@dataclass(frozen=True, slots=True)
class _Gate:
    """One section of the page."""

    name: str
    anchor: str
    question: str
    status: str
    counts: str
    rules: tuple[_Rule, ...]
    exhibits: tuple[_Drawn, ...]
    left_out: int
    has_numbers: bool
    """Whether any rule has measured something; every row asks."""


def _gates(ordered: list[GateResult]) -> list[_Gate]:
    """The gates in the order of their worst rule."""
    from mlship.report.intervals import interval

    names = list(dict.fromkeys(result.gate for result in ordered))
    budget = _BUDGET
    found = []
    for number, name in enumerate(names):
        results = [result for result in ordered if result.gate == name]
        drawn, left_out = [], 0
        for result, exhibit in cells.exhibits(results):
            if cells.is_empty(exhibit):
                continue
            content, size = _draw(exhibit)
            if size > budget:
                left_out += 1
                continue
            budget -= size
            kind = type(exhibit).__name__.lower()
            drawn.append(_Drawn(kind, exhibit.title, exhibit.note, result.rule, content))
        if len({each.rule for each in drawn}) == 1:
            drawn = [replace(each, rule="") for each in drawn]  # there is nothing to tell apart
        rules = tuple(
            _Rule(result, words.measured(result), words.champion(result), _rows(result), interval(result))
            for result in results
        )
        found.append(
            _Gate(
                name,
                f"gate-{number + 1}",
                _question(name),
                str(results[0].status),
                _counts(results),
                rules,
                tuple(drawn),
                left_out,
                any(rule.measured != "-" or rule.champion != "-" for rule in rules),
            )
        )
    return found


def _said(outcome: str, *, named: bool) -> str:
    """The verdict as a sentence; without the names of the rules where a list of them follows."""
    return f"{outcome.partition(': ')[0]}:" if named else f"{outcome}."


def _anchor(gates: list[_Gate], result: GateResult) -> str:
    return next(gate.anchor for gate in gates if gate.name == result.gate)


def _rows(result: GateResult) -> str:
    return figures.count(result.measured.n) if result.measured and result.measured.n else "-"


def _counts(results: list[GateResult]) -> str:
    """`1 failed, 3 passed`."""
    statuses = [str(result.status) for result in results]
    return ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))


#: Those that the policy's reference does not ask.
_QUESTIONS = {
    "ownership": "who answers for this model, and until when?",
    "metrics": "is it good enough, and no worse than the champion?",
}


def _question(gate: str) -> str:
    """What the gate asks, as the policy's reference says it; empty for a gate of the team's own."""
    from mlship.policy.gates import Gates

    if gate in _QUESTIONS:
        return _QUESTIONS[gate]
    info = Gates.model_fields.get(gate)
    said = (info.description or "") if info else ""
    return said if said.endswith("?") else ""


def _digests(evaluation: Evaluation) -> list[tuple[str, str]]:
    champion = evaluation.candidate.champion
    found = [
        ("evaluation", evaluation.id),
        ("MLflow run", evaluation.run_id),
        ("candidate's run", evaluation.candidate.version.run_id),
        ("candidate", evaluation.candidate.version.digest),
        ("champion", champion.digest if champion else None),
        ("policy", evaluation.policy_digest),
        ("evaluation data", evaluation.data_digest),
        ("reference data", evaluation.reference_digest),
        ("recent data", evaluation.recent_digest),
    ]
    return [(name, value) for name, value in found if value]


def _draw(exhibit: Exhibit) -> tuple[Any, int]:
    """What the template needs of one exhibit, and about how many characters it will take."""
    match exhibit:
        case Curves():
            from mlship.report.plots import colour, curves

            picture = curves(exhibit)
            legend = [
                (colour(exhibit, index), cells.shortened(series.name, _LONG))
                for index, series in enumerate(exhibit.series)
            ]
            behind = points(exhibit)
            content: dict[str, Any] = {"picture": picture, "legend": legend, "hidden": "", "broad": False}
            content |= {
                "behind": behind,
                "x": cells.shortened(exhibit.x, _LONG),
                "y": cells.shortened(exhibit.y, _LONG),
            }
            return content, len(picture) + 200 * len(legend) + 60 * sum(len(row) for row in behind)
        case Table():
            rows = cells.rows_of(exhibit)[:_MOST_ROWS]
            size = 400 + sum(len(text) + 40 for row in [list(exhibit.columns), *rows] for text in row)
            content = {
                "columns": list(zip(_short(exhibit.columns), cells.numeric(exhibit), strict=True)),
                "rows": rows,
                "hidden": _hidden(len(exhibit.rows)),
                "broad": True,
            }
            return content, size
        case Heat():
            return _grid(exhibit)


def points(plot: Curves) -> list[tuple[str, ...]]:
    """Rows (line, x, y) of the table behind a plot: some of each line's points, both ends among them."""
    found: list[tuple[str, ...]] = []
    for series in plot.series[:_MOST_LINES]:
        n = len(series.x)
        kept = range(n) if n <= _SAMPLED else sorted({round(i * (n - 1) / (_SAMPLED - 1)) for i in range(_SAMPLED)})
        name = cells.shortened(series.name, _LONG)
        found += [(name, figures.number(series.x[i]), figures.number(series.y[i])) for i in kept]
    return found


def _hidden(rows: int) -> str:
    return figures.count(rows - _MOST_ROWS) if rows > _MOST_ROWS else ""


def _short(names: tuple[str, ...]) -> list[str]:
    return [cells.shortened(name, _LONG) for name in names]


def _grid(heat: Heat) -> tuple[dict[str, Any], int]:
    """Every cell as its text and its shade; what is beyond the limit has a look of its own."""
    values = [value for row in heat.values for value in row if value is not None and isfinite(value)]
    low = min([0.0, *values]) if heat.limit is not None else min(values, default=0.0)
    high = heat.limit if heat.limit is not None else max(values, default=1.0)
    span = (high - low) or 1.0

    def look(value: float | None) -> str:
        if value is None or not isfinite(value):
            return "none"
        if cells.beyond(heat, value):
            return "beyond"
        return f"h{min(max(int((value - low) / span * _SHADES), 0), _SHADES - 1)}"

    rows = [
        (name, [(text, look(value)) for text, value in zip(said, row, strict=True)])
        for name, said, row in zip(_short(heat.y), cells.grid_of(heat), heat.values, strict=True)
    ]
    is_beyond = any(cells.beyond(heat, value) for value in values)
    content = {
        "columns": _short(heat.x),
        "rows": rows[:_MOST_ROWS],
        "hidden": _hidden(len(rows)),
        "wide": len(heat.x) > _WIDE,
        "broad": len(heat.x) > _BROAD,
        "limit": (figures.share(heat.limit) if heat.shares else figures.number(heat.limit)) if is_beyond else None,
    }
    return content, 400 + 60 * (len(heat.x) + 2) * (min(len(rows), _MOST_ROWS) + 1)
