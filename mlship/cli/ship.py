"""`mlship ship`: the whole job: evaluate the candidate, build its image, prove its latency, and roll it out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.cli.common import PolicyArgument, context, leave
from mlship.cli.planned import AgeOption, PlanOption, planned
from mlship.cli.telling import Format, FormatOption, LoadReportsOption, emit_json
from mlship.errors import UsageError
from mlship.types import Status

if TYPE_CHECKING:
    from mlship.home import Home
    from mlship.policy.load import LoadedPolicy
    from mlship.rollout.planfile import PlanFile
    from mlship.rollout.watch import RolloutResult
    from mlship.types import Candidate, Evaluation, ModelVersion


def ship(
    ctx: typer.Context,
    policy: PolicyArgument,
    *,
    plan: PlanOption = None,
    max_age: AgeOption = None,
    interval: Annotated[str, typer.Option(help="Time between two looks.", metavar="DURATION")] = "1s",
    fmt: FormatOption = Format.TEXT,
    report: LoadReportsOption = None,
) -> None:
    """The whole job: evaluate, build, prove the latency budget, and roll out.

    Each step only when the one before it passed. The image is built where the policy has an `image` section or the
    Docker engine; the budget is proved where it has `gates.latency`. A rollout that was cut short is carried on, and
    none of it is done again.

    With --plan, an alias, model, policy or image that is not the planned one any more ends it with exit code 3: before
    anything is done, again before the rollout, and at the promotion.

    Ends with 0 promoted, 1 refused by a gate, 3 when something could not be measured, 4 inconclusive, paused or
    aborted, 5 rolled back.

    \b
    Examples:
      mlship ship mlship.yaml
      mlship ship mlship.yaml --format github --report html=ship.html
      mlship ship mlship.yaml --plan plan.json --max-age 24h
    """
    from mlship.cli import rollout, ship_told
    from mlship.cli.evaluate import EXITS
    from mlship.cli.telling import destinations, tell
    from mlship.policy.load import load_policy

    seconds, files = rollout.parse_interval(interval), destinations(report, load=True)
    loaded, home = load_policy(policy), context(ctx).home
    if "gitlab-performance" in files.values() and loaded.policy.gates.latency is None:
        what = "--report gitlab-performance: no load is sent, for the policy has no gates.latency"
        raise UsageError(what, where=str(policy), hint="leave the report out, or give the policy a latency budget")
    began = time.monotonic()
    proofs, result = _run(loaded, home, planned(plan, max_age, loaded), interval=seconds, fmt=fmt)
    spent = time.monotonic() - began
    if result is None:
        tell(ship_told.refused(loaded, home, proofs, spent), fmt, files)
        leave(EXITS[proofs[-1].status])
    tell(ship_told.shipped(loaded, home, proofs, result, spent), fmt, files)
    leave(result.exit_code)


def _run(
    loaded: LoadedPolicy, home: Home, plan: PlanFile | None, *, interval: float, fmt: Format
) -> tuple[list[Evaluation], RolloutResult | None]:
    """The proofs that were made, and how the rollout ended; None: it did not begin, for the last proof did not pass."""
    from mlship.cli import rollout, verdicts
    from mlship.cli.live import watching
    from mlship.cli.ship_told import PROOFS, baseline, summary

    while True:
        proofs: list[Evaluation] = []
        if _wants_evaluation(loaded, home, plan):
            proofs, plan = _proofs(loaded, home, plan)
        if any(proof.status is not Status.PASSED for proof in proofs):
            return proofs, None
        parting = ""
        try:
            with watching() as view:
                for name, proof in zip(PROOFS, proofs, strict=False):
                    view.say(f"{name}: {summary(proof)}")
                if kept := baseline(proofs):
                    view.say(kept)
                if plan is not None and proofs and (others := _other_rows(plan, proofs[0])):
                    view.say(f"warning: judged on other rows than when it was planned: {', '.join(others)}")
                try:
                    result = rollout.run(loaded, home, interval=interval, view=view, planned=plan)
                finally:
                    parting = view.parting
                if plan is not None or not rollout.again(loaded, result):
                    return proofs, result
                view.say(f"{result.reason}: beginning with {result.superseded}, as the policy says")
        except KeyboardInterrupt:
            if fmt is Format.JSON:
                emit_json(verdicts.interrupted(loaded.policy.model, home, parting))
            raise


def _hold(plan: PlanFile | None, loaded: LoadedPolicy, home: Home, candidate: Candidate) -> None:
    """Raise ``MovedError`` when something is not as it was planned any more."""
    if plan is None:
        return
    from mlship.ledger import Ledger
    from mlship.rollout.pins import pins
    from mlship.rollout.planfile import hold

    hold(plan, pins(loaded, candidate, Ledger(home.ledger).entries(candidate.model)))


def _other_rows(plan: PlanFile, evaluation: Evaluation) -> list[str]:
    """Roles of the data sets that are others than in the planned evaluation."""
    then = dict(plan.pins.evaluation.data) if plan.pins.evaluation is not None else {}
    now = {
        "evaluation": evaluation.data_digest,
        "reference": evaluation.reference_digest,
        "recent": evaluation.recent_digest,
    }
    return [role for role, digest in then.items() if now.get(role) != digest]


def _proofs(loaded: LoadedPolicy, home: Home, plan: PlanFile | None) -> tuple[list[Evaluation], PlanFile | None]:
    """The evaluation, and after the build the latency budget where there is one; nothing after one that failed.

    An image names its evaluation, so another is built here of what was planned; the plan that is returned has it.
    Raises ``MovedError`` as soon as one of them is of something else than what was planned.
    """
    from mlship.cli import build, evaluate, latency
    from mlship.cli.progress import told_on_stderr

    policy = loaded.policy
    with told_on_stderr() as progress:
        proofs = [evaluate.run(loaded, home, progress)]
    _hold(plan, loaded, home, proofs[0].candidate)
    if proofs[-1].status is not Status.PASSED:
        return proofs, plan
    ships_images = policy.rollout is not None and policy.rollout.engine != "local"
    if policy.image is not None or ships_images:
        with build.told_on_stderr() as told:
            built = build.run(loaded, home, told, candidate=proofs[0].candidate.version.version)
            champion = proofs[0].candidate.champion
            if champion is not None and ships_images and not _has_image(champion, loaded, home):
                told(f"the champion, version {champion.version}, has no image yet")
                build.run(loaded, home, told, candidate=champion.version)
        plan = _rebuilt(plan, built.image.id)
        _hold(plan, loaded, home, proofs[0].candidate)
    if policy.gates.latency is not None:
        with told_on_stderr("measuring") as progress:
            proofs.append(latency.run(loaded, home, progress))
    return proofs, plan


def _rebuilt(plan: PlanFile | None, image: str) -> PlanFile | None:
    """The plan with the image that this very command has built of the planned model under the planned policy."""
    if plan is None:
        return None
    import dataclasses

    candidate = dataclasses.replace(plan.pins.candidate, image=image)
    return dataclasses.replace(plan, pins=dataclasses.replace(plan.pins, candidate=candidate))


def _has_image(champion: ModelVersion, loaded: LoadedPolicy, home: Home) -> bool:
    from mlship.ledger import Ledger, serving_image

    return bool(serving_image(Ledger(home.ledger).entries(champion.model), champion.digest, loaded.digest))


def _wants_evaluation(loaded: LoadedPolicy, home: Home, plan: PlanFile | None) -> bool:
    """Not when a rollout is under way (it was let in by its evaluation), and not when the champion is the candidate.

    Raises ``MovedError`` when something is not as it was planned.
    """
    from mlship.registry import Registry
    from mlship.rollout import journal

    under_way = journal.latest(home, loaded.policy.model)
    if under_way is not None and under_way.phase != "done":
        return False  # what it rests on is looked at by the rollout, before anything else
    registry, policy = Registry.connect(loaded.policy.registry.uri, home), loaded.policy
    candidate = registry.candidate(policy)
    _hold(plan, loaded, home, candidate)
    wanted = candidate.champion is None or candidate.champion.version != candidate.version.version
    if wanted:
        from mlship.cli.common import err
        from mlship.cli.rollout import warn_of_earlier
        from mlship.ledger import Ledger

        entries = Ledger(home.ledger).entries(policy.model)
        warn_of_earlier(loaded, candidate, entries, lambda said: err().print(f"mlship: {said}", markup=False))
    return wanted
