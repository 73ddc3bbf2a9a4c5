"""The evaluation as GitHub-flavoured Markdown, for a comment on a pull request or a job summary."""

from __future__ import annotations

from mlship.report import figures
from mlship.report.words import aside, champion, measured, subject, summary, worst_first
from mlship.types import Evaluation, GateResult, Status

_MARKS = {
    Status.PASSED: "✅",
    Status.FAILED: "❌",
    Status.INCONCLUSIVE: "❔",
    Status.ERROR: "⚠️",
    Status.SKIPPED: "⏭️",
}
_HEAD = "| | gate | rule | measured | limit | champion | n | reason |\n|---|---|---|---|---|---|---:|---|"


def render(evaluation: Evaluation) -> str:
    """A heading, a sentence, what needs attention as a table, and the rest folded away; ends without a newline."""
    ordered = worst_first(evaluation.results)
    open_ones = [result for result in ordered if result.status not in {Status.PASSED, Status.SKIPPED}]
    settled = [result for result in ordered if result.status in {Status.PASSED, Status.SKIPPED}]
    parts = [
        f"### {_MARKS[evaluation.status]} {_safe(subject(evaluation))}: {evaluation.status}",
        _safe(summary(evaluation).partition(": ")[2]) + ".",
    ]
    if evaluation.partial:
        parts.append(_safe(aside(evaluation)))
    if open_ones:
        parts.append("\n".join([_HEAD, *map(_row, open_ones)]))
    if settled:
        table = "\n".join([_HEAD, *map(_row, settled)])
        title = f"{figures.things(len(settled), 'rule')} passed or skipped"
        parts.append(f"<details><summary>{title}</summary>\n\n{table}\n\n</details>")
    run = f", MLflow run `{evaluation.run_id}`" if evaluation.run_id else ""
    digest = evaluation.candidate.version.digest.removeprefix("sha256:")[:12]
    parts.append(f"<sub>evaluation `{evaluation.id}`, model `{digest}`{run}, {evaluation.seconds:.1f} s</sub>")
    return "\n\n".join(parts)


def _row(result: GateResult) -> str:
    n = figures.count(result.measured.n) if result.measured and result.measured.n else "-"
    cells = (result.gate, result.rule, measured(result), result.limit, champion(result), n, result.reason)
    return f"| {_MARKS[result.status]} | " + " | ".join(map(_safe, cells)) + " |"


def _safe(text: str) -> str:
    """Text that cannot end a cell, start markup or mention anybody."""
    for special in "\\`*_<|[":
        text = text.replace(special, f"\\{special}")
    return " ".join(text.split()).replace("@", "@\u200b")
