"""`mlship evaluate`: all gates of a policy, candidate against champion, kept as an MLflow run and in the ledger."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.cli.common import PolicyArgument, context, leave, out
from mlship.cli.progress import Progress, told_on_stderr
from mlship.cli.telling import Format, FormatOption, ReportsOption, Told
from mlship.errors import Exit, UsageError
from mlship.types import Evaluation, LedgerEntry, Status

if TYPE_CHECKING:
    from mlship.home import Home
    from mlship.policy.load import LoadedPolicy
    from mlship.policy.schema import Policy
    from mlship.registry import Registry

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


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asked for instead of what the policy says."""

    only: tuple[str, ...] = ()
    candidate: str | None = None
    against: str | None = None


#: Nothing else than what the policy says.
AS_WRITTEN = Asked()


def evaluate(
    ctx: typer.Context,
    policy: PolicyArgument,
    *,
    only: Annotated[
        str | None,
        typer.Option(help="Judge these gates only, such as metrics,slices; lets nobody onto traffic.", metavar="GATES"),
    ] = None,
    candidate: Annotated[
        str | None,
        typer.Option(
            help="Judge this version (7, @alias or latest) instead of the policy's candidate.", metavar="VERSION"
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Compare with this version instead of the champion; lets nobody onto traffic.", metavar="VERSION"
        ),
    ] = None,
    output: FormatOption = Format.TEXT,
    report: ReportsOption = None,
) -> None:
    """Judge the candidate by every gate of the policy, against the champion.

    The result goes to stdout, to MLflow as a run of the experiment `mlship` (with the HTML report among its artifacts),
    and into the ledger. Progress goes to stderr.

    Ends with 0 when every rule passed, 1 when one failed, 3 when one could not be measured, and 4 when there is not
    enough data to tell.

    \b
    Examples:
      mlship evaluate mlship.yaml
      mlship evaluate mlship.yaml --only metrics --format json
      mlship evaluate mlship.yaml --candidate 2 --report html=report.html
    """
    from mlship.cli.telling import destinations, tell
    from mlship.policy.load import load_policy

    for option, reference in (("--candidate", candidate), ("--against", against)):
        if reference is not None and not reference.strip():  # an unset variable of a script, as a rule
            raise UsageError(f"{option} is empty", hint="name a version: 7, @alias or latest")
    files = destinations(report)
    loaded = load_policy(policy)
    asked = Asked(_gates(only, loaded.policy), candidate, against)
    with told_on_stderr() as progress:
        evaluation = run(loaded, context(ctx).home, progress, asked)
    tell(told(evaluation, loaded), output, files)
    leave(EXITS[evaluation.status])


def run(loaded: LoadedPolicy, home: Home, progress: Progress, asked: Asked = AS_WRITTEN) -> Evaluation:
    """Resolve candidate and champion, judge every gate, and keep the evidence: an MLflow run and a ledger entry.

    The evaluation has the run's id. It may have any status: the caller decides what follows from it. A partial one is
    kept in MLflow, not in the ledger. Raises ``RegistryError``, ``DataError`` or ``StateError`` when it could not be
    made or kept; then there is no evidence.
    """
    from mlship.gates.evaluate import evaluate as judge
    from mlship.ledger import Ledger, who
    from mlship.registry import Registry, baselines

    policy = loaded.policy
    progress("reaching the registry")
    registry = Registry.connect(policy.registry.uri, home)
    progress(f"fetching {policy.model} {asked.candidate or policy.candidate} and {asked.against or policy.champion}")
    candidate = registry.candidate(policy, version=asked.candidate, against=asked.against)
    evaluation = judge(
        loaded,
        candidate,
        home,
        progress,
        only=asked.only,
        besides=f"it was compared with {asked.against}, not with {policy.champion}" if asked.against else "",
        watch=progress.watch,
        fetch=registry.dataset,
    )
    evaluation = replace(evaluation, who=who())
    progress("keeping the evidence in MLflow")
    evaluation = keep(evaluation, registry, loaded.text)
    if not evaluation.partial:
        data = {"reference": evaluation.reference_digest, "recent": evaluation.recent_digest}
        if evaluation.baseline is not None:
            data["baseline"] = baselines.digest(baselines.dumps(evaluation.baseline))
        Ledger(home.ledger).append(entry(evaluation, "evaluated", **data))
    return evaluation


def keep(evaluation: Evaluation, registry: Registry, policy_text: str, *, label: str = "") -> Evaluation:
    """Keep an evaluation with its reports as an MLflow run; return it with the run's id. `label`: see the registry.

    Raises ``RegistryError``.
    """
    from mlship.registry import baselines
    from mlship.report import render

    texts = {
        "evaluation.json": _as_json(evaluation),
        "evaluation.md": str(render(evaluation, "markdown")) + "\n",
        "evaluation.txt": str(render(evaluation, "text")) + "\n",
        "evaluation.html": str(render(evaluation, "html")),
    }
    if evaluation.baseline is not None:
        texts[baselines.NAME] = baselines.dumps(evaluation.baseline)
    return replace(evaluation, run_id=registry.log_evaluation(evaluation, policy_text, texts, label=label))


def entry(evaluation: Evaluation, action: str, **more: str | None) -> LedgerEntry:
    """What the ledger keeps of an evaluation; `more` evidence besides what every one has, without what is None."""
    from mlship.report.words import summary

    version, champion = evaluation.candidate.version, evaluation.candidate.champion
    evidence = {
        "status": str(evaluation.status),
        "evaluation": evaluation.id,
        "run": evaluation.run_id,
        "model": version.digest,
        "champion": champion.digest if champion else None,
        "policy": evaluation.policy_digest,
        "data": evaluation.data_digest or None,
        **more,
    }
    return LedgerEntry(
        at=time.time(),
        who=evaluation.who,
        action=action,
        model=version.model,
        from_version=champion.version if champion else None,
        to_version=version.version,
        reason=summary(evaluation),
        evidence={name: value for name, value in evidence.items() if value is not None},
    )


def _gates(only: str | None, policy: Policy) -> tuple[str, ...]:
    """The gates that `--only` names. Raises ``UsageError`` for one that the policy does not ask for."""
    if only is None:
        return ()
    from mlship.policy.gates import Gates
    from mlship.report.figures import listed, nearest

    known = ["ownership", *Gates.model_fields]
    asked = [name for name in known if name == "ownership" or (name != "latency" and getattr(policy.gates, name))]
    hint = f"the policy asks for {listed(asked, 20)}"
    names = tuple(dict.fromkeys(name.strip() for name in only.split(",") if name.strip()))
    for name in names:
        if name not in known:
            raise UsageError(f"--only: there is no gate '{name}'{nearest(name, known)}", hint=hint)
        if name == "latency":
            what = "--only: gate 'latency' is judged against the server that ships, by a command of its own"
            raise UsageError(what, hint="mlship latency POLICY")
        if name not in asked:
            raise UsageError(f"--only: the policy does not ask for gate '{name}'", hint=hint)
    if not names:
        raise UsageError("--only names no gate", hint=hint)
    return names


def told(evaluation: Evaluation, loaded: LoadedPolicy, command: str = "evaluate", rate: float | None = None) -> Told:
    """An evaluation in every way in which it can be written; its rules are shown where the policy has them.

    Parameters
    ----------
    command
        Which command has judged: `evaluate` or `latency`.
    rate
        Requests per second that were sent, where some were.
    """
    from mlship.cli.common import columns
    from mlship.policy.places import places
    from mlship.report import render, text
    from mlship.report.checklist import Checklist, of_evaluation

    def checklist() -> Checklist:
        place = places(loaded.text)
        return of_evaluation(evaluation, command=command, policy=str(loaded.path), place=place, rate=rate)

    champion = evaluation.candidate.champion
    return Told(
        text=lambda: text.render(evaluation, columns(terminal=False)),
        document=lambda: render(evaluation, "json"),
        markdown=lambda: str(render(evaluation, "markdown")),
        checklist=checklist,
        html=lambda: str(render(evaluation, "html")),
        outputs={
            "candidate-version": evaluation.candidate.version.version,
            "champion-version": champion.version if champion else "",
        },
        show=lambda: _show(evaluation),
    )


def _show(evaluation: Evaluation) -> None:
    """The text with colours, as wide as the terminal."""
    from rich.text import Text

    from mlship.cli.common import columns
    from mlship.report.text import render

    text = Text(render(evaluation, columns()))
    for pattern, style in _STYLES.items():
        text.highlight_regex(pattern, style)
    out().print(text, soft_wrap=True)


def _as_json(evaluation: Evaluation) -> str:
    import json

    from mlship.report import render

    return json.dumps(render(evaluation, "json"), indent=2, allow_nan=False) + "\n"
