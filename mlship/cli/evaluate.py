"""`mlship evaluate`: all gates of a policy, candidate against champion, kept as an MLflow run and in the ledger."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.cli.common import PolicyArgument, context, emit_json, err, leave, out
from mlship.errors import Exit
from mlship.types import Evaluation, LedgerEntry, Status

if TYPE_CHECKING:
    from mlship.home import Home
    from mlship.policy.load import LoadedPolicy

EXITS = {
    Status.PASSED: Exit.PASSED,
    Status.FAILED: Exit.GATE_FAILED,
    Status.INCONCLUSIVE: Exit.INCONCLUSIVE,
    Status.ERROR: Exit.UNREACHABLE,
}
_STYLES = {
    r"✓ passed": "green",
    r"✗ failed": "red",
    r"! error": "red",
    r"\? inconclusive": "yellow",
    r"- skipped": "dim",
    r"(?m)^ {6}.*$": "dim",
}


class ReportFormat(StrEnum):
    """How an evaluation is written to stdout."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def evaluate(
    ctx: typer.Context,
    policy: PolicyArgument,
    output: Annotated[
        ReportFormat, typer.Option("--format", help="How to write the result to stdout.")
    ] = ReportFormat.TEXT,
) -> None:
    """Judge the candidate by every gate of the policy, against the champion."""
    from mlship.policy.load import load_policy

    loaded = load_policy(policy)
    with told_on_stderr() as progress:
        evaluation = run(loaded, context(ctx).home, progress)
    show(evaluation, output)
    leave(EXITS[evaluation.status])


def run(loaded: LoadedPolicy, home: Home, progress: Callable[[str], None]) -> Evaluation:
    """Resolve candidate and champion, judge every gate, and keep the evidence: an MLflow run and a ledger entry.

    The evaluation has the run's id. It may have any status: the caller decides what follows from it. Raises
    ``RegistryError``, ``DataError`` or ``StateError`` when it could not be made or kept; then there is no evidence.
    """
    from mlship.gates.evaluate import evaluate as judge
    from mlship.ledger import Ledger, who
    from mlship.registry import Registry
    from mlship.report import render
    from mlship.report.words import summary

    progress("reaching the registry")
    registry = Registry.connect(loaded.policy.registry.uri, home)
    progress(f"fetching {loaded.policy.model} {loaded.policy.candidate} and {loaded.policy.champion}")
    candidate = registry.candidate(loaded.policy)
    evaluation = judge(loaded, candidate, home, progress)
    progress("keeping the evidence in MLflow")
    texts = {
        "evaluation.json": _as_json(evaluation),
        "evaluation.md": str(render(evaluation, "markdown")) + "\n",
        "evaluation.txt": str(render(evaluation, "text")) + "\n",
    }
    evaluation = replace(evaluation, run_id=registry.log_evaluation(evaluation, loaded.text, texts))
    version, champion = candidate.version, candidate.champion
    evidence = {
        "status": str(evaluation.status),
        "evaluation": evaluation.id,
        "run": evaluation.run_id,
        "model": version.digest,
        "champion": champion.digest if champion else None,
        "policy": evaluation.policy_digest,
        "data": evaluation.data_digest or None,
        "reference": evaluation.reference_digest,
    }
    entry = LedgerEntry(
        at=time.time(),
        who=who(),
        action="evaluated",
        model=version.model,
        from_version=champion.version if champion else None,
        to_version=version.version,
        reason=summary(evaluation),
        evidence={name: value for name, value in evidence.items() if value is not None},
    )
    Ledger(home.ledger).append(entry)
    return evaluation


def show(evaluation: Evaluation, output: ReportFormat) -> None:
    """Write the evaluation to stdout, coloured when a person looks."""
    from mlship.report import render

    report = render(evaluation, output)
    if output is ReportFormat.JSON:
        emit_json(report)
    elif output is ReportFormat.TEXT and sys.stdout.isatty():
        from rich.text import Text

        text = Text(report)
        for pattern, style in _STYLES.items():
            text.highlight_regex(pattern, style)
        out().print(text, soft_wrap=True)
    else:
        encoding = sys.stdout.encoding or "utf-8"  # marks become `?` where a terminal cannot show them
        sys.stdout.write(f"{report}\n".encode(encoding, "replace").decode(encoding))


@contextmanager
def told_on_stderr() -> Iterator[Callable[[str], None]]:
    """Progress for a person: one line that changes on a terminal, one line per step elsewhere; always on stderr."""
    console = err()
    if not console.is_terminal:
        yield lambda step: console.print(f"mlship: {step}", markup=False)
        return
    with console.status("beginning") as status:
        yield status.update


def _as_json(evaluation: Evaluation) -> str:
    import json

    from mlship.report import render

    return json.dumps(render(evaluation, "json"), indent=2, allow_nan=False) + "\n"
