"""`mlship latency`: the latency budget, proved against the server that ships; kept in MLflow and in the ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.cli.common import PolicyArgument, context, leave
from mlship.cli.evaluate import EXITS, entry, keep, told
from mlship.cli.progress import Progress, told_on_stderr
from mlship.cli.telling import Format, FormatOption, LoadReportsOption
from mlship.errors import PolicyError, UsageError
from mlship.types import Candidate, Evaluation, ModelVersion

if TYPE_CHECKING:
    from mlship.gates.latency.container import Shipped
    from mlship.gates.latency.evaluate import Images, Instead
    from mlship.home import Home
    from mlship.policy.load import LoadedPolicy


def latency(
    ctx: typer.Context,
    policy: PolicyArgument,
    *,
    candidate: Annotated[
        str | None,
        typer.Option(
            help="Measure this version (7, @alias or latest) instead of the policy's candidate.", metavar="VERSION"
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            help="Requests per second instead of the policy's, such as 50/s; lets nobody onto traffic.", metavar="RATE"
        ),
    ] = None,
    seconds: Annotated[
        str | None,
        typer.Option(
            "--for", help="How long, instead of the policy's, such as 5s; lets nobody onto traffic.", metavar="DURATION"
        ),
    ] = None,
    output: FormatOption = Format.TEXT,
    report: LoadReportsOption = None,
) -> None:
    """Prove the latency budget against the server that ships.

    Candidate and champion are loaded in turns in the same run: as containers of their images where the policy builds
    images, else as the local engine's server processes. The result goes to stdout, to MLflow and into the ledger.

    Ends with 0 when the budget is kept, 1 when it is not, and 4 when it cannot be told.

    \b
    Examples:
      mlship latency mlship.yaml --format json
      mlship latency mlship.yaml --rate 20/s --for 2s --report html=load.html
    """
    from mlship.cli.telling import destinations, tell
    from mlship.policy.load import load_policy

    if candidate is not None and not candidate.strip():
        raise UsageError("--candidate is empty", hint="name a version: 7, @alias or latest")
    instead = _instead(rate, seconds)
    files = destinations(report, load=True)
    loaded = load_policy(policy)
    with told_on_stderr("measuring") as progress:
        evaluation = run(loaded, context(ctx).home, progress, candidate=candidate, instead=instead)
    tell(told(evaluation, loaded, "latency", sent(loaded, instead)), output, files)
    leave(EXITS[evaluation.status])


def run(
    loaded: LoadedPolicy,
    home: Home,
    progress: Progress,
    *,
    candidate: str | None = None,
    instead: Instead | None = None,
) -> Evaluation:
    """Measure and judge the latency budget, and keep the evidence: an MLflow run and a ledger entry `measured`.

    The evaluation may have any status: the caller decides what follows from it. One whose load was not the policy's is
    kept in MLflow, not in the ledger. Raises ``PolicyError`` when the policy has no `gates.latency`; ``RegistryError``,
    ``DataError``, ``EngineError``, ``LoadError`` or ``StateError`` when it could not be made or kept; ``ModelRefused``
    when a scan finds what the policy does not trust.
    """
    if loaded.policy.gates.latency is None:
        raise PolicyError(
            "the policy has no latency budget",
            where=str(loaded.path),
            hint="add one, such as `gates: {latency: {rate: 100/s, for: 30s, p99: 200ms}}`",
        )
    from mlship.gates.latency.evaluate import Instead, evaluate
    from mlship.ledger import Ledger, who
    from mlship.registry import Registry

    policy = loaded.policy
    progress("reaching the registry")
    registry = Registry.connect(policy.registry.uri, home)
    progress(f"fetching {policy.model} {candidate or policy.candidate} and {policy.champion}")
    judged = registry.candidate(policy, version=candidate)
    if judged.champion is not None and judged.champion.digest == judged.version.digest:
        judged = replace(judged, champion=None)  # beside itself it would measure nothing
    images = _images(loaded, judged, home, progress)
    evaluation = evaluate(
        loaded,
        judged,
        home,
        progress,
        images=images,
        instead=instead or Instead(),
        watch=progress.watch,
        fetch=registry.dataset,
    )
    evaluation = replace(evaluation, who=who())
    progress("keeping the evidence in MLflow")
    evaluation = keep(evaluation, registry, loaded.text, label="latency")
    if not evaluation.partial:
        target = "container" if images else "process"
        image = images.candidate.id if images else None
        Ledger(home.ledger).append(entry(evaluation, "measured", target=target, image=image))
    return evaluation


def sent(loaded: LoadedPolicy, instead: Instead | None = None) -> float | None:
    """Requests per second that candidate and champion are asked; None where the policy has no latency budget."""
    section = loaded.policy.gates.latency
    if section is None:
        return None
    return instead.section(section).rate if instead is not None else section.rate


def _images(loaded: LoadedPolicy, judged: Candidate, home: Home, progress: Progress) -> Images | None:
    """The images of candidate and champion where images are what ships; None where processes are.

    The one that the ledger knows as built is measured, for it is the one that would be rolled out; one that the engine
    does not have (any more) is built.
    """
    from mlship.gates.latency.evaluate import Images

    policy = loaded.policy
    if policy.image is None and (policy.rollout is None or policy.rollout.engine == "local"):
        return None
    ours = _image(loaded, judged.version, home, progress, serves=False)
    theirs = _image(loaded, judged.champion, home, progress, serves=True) if judged.champion is not None else None
    return Images(ours, theirs)


def _image(loaded: LoadedPolicy, version: ModelVersion, home: Home, progress: Progress, *, serves: bool) -> Shipped:
    from mlship.cli import build
    from mlship.gates.latency.container import Shipped, shipped
    from mlship.ledger import Ledger, built_image, serving_image

    find = serving_image if serves else built_image
    known = find(Ledger(home.ledger).entries(version.model), version.digest, loaded.digest)
    if known and (found := shipped(known)) is not None:
        return found
    built = build.run(loaded, home, progress, candidate=version.version).image
    return Shipped(built.id, built.size)


def _instead(rate: str | None, seconds: str | None) -> Instead:
    """What `--rate` and `--for` ask for. Raises ``UsageError`` for what is no rate or duration, or is none at all."""
    from mlship.gates.latency.evaluate import Instead
    from mlship.policy.units import UnitError, parse_duration, parse_rate

    found: dict[str, float] = {}
    for option, text, parse in (("--rate", rate, parse_rate), ("--for", seconds, parse_duration)):
        if text is None:
            continue
        try:
            found[option] = parse(text)
        except UnitError as error:
            raise UsageError(f"{option}: {error.what}", hint=error.hint) from None
        if found[option] <= 0:
            raise UsageError(f"{option} {text}: nothing would be measured", hint="give more than zero")
    return Instead(found.get("--rate"), found.get("--for"))
