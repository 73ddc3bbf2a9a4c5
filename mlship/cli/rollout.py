"""`mlship rollout`: an evaluated candidate goes onto traffic step by step, and is promoted or taken back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.cli.common import PolicyArgument, context, leave
from mlship.cli.planned import AgeOption, PlanOption, planned
from mlship.cli.telling import Format, FormatOption, ReportsOption, emit_json, tell, write
from mlship.errors import EngineError, GateFailed, Inconclusive, PolicyError, UsageError
from mlship.policy.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlship.cli.live import Viewer
    from mlship.home import Home
    from mlship.notify import Notifier
    from mlship.policy.load import LoadedPolicy
    from mlship.rollout.hooks import Hooks
    from mlship.rollout.journal import RolloutView
    from mlship.rollout.planfile import PlanFile
    from mlship.rollout.watch import RolloutResult, View
    from mlship.types import Candidate, LedgerEntry


def rollout(
    ctx: typer.Context,
    policy: PolicyArgument,
    *,
    fmt: FormatOption = Format.TEXT,
    interval: Annotated[str, typer.Option(help="Time between two looks.", metavar="DURATION")] = "1s",
    report: ReportsOption = None,
    plan: PlanOption = None,
    max_age: AgeOption = None,
) -> None:
    """Let the candidate onto traffic step by step; promote it, or go back by itself.

    The candidate must have passed `mlship evaluate` (`mlship ship` does both). The first one of a model, where there
    is no champion, gets all traffic at once. The same command carries on after a crash, a Ctrl-C or a pause.

    Ends with 0 promoted, 5 rolled back, 4 paused or aborted, 1 when the evaluation did not pass.

    \b
    Examples:
      mlship rollout mlship.yaml
      mlship rollout mlship.yaml --interval 500ms --report html=rollout.html
    """
    from mlship.cli import verdicts
    from mlship.cli.ended import Ended
    from mlship.cli.live import watching
    from mlship.cli.telling import destinations
    from mlship.policy.load import load_policy

    seconds, files = parse_interval(interval), destinations(report)
    loaded, home = load_policy(policy), context(ctx).home
    wanted = planned(plan, max_age, loaded)
    viewer: Viewer | None = None
    try:
        with watching() as view:
            viewer = view
            result = run(loaded, home, interval=seconds, view=view, planned=wanted)
            while wanted is None and again(loaded, result):
                view.say(f"{result.reason}: beginning with {result.superseded}, as the policy says")
                result = run(loaded, home, interval=seconds, view=view)
    except GateFailed as refused:
        document = {"model": loaded.policy.model, "verdict": "refused", "exit_code": 1, "reason": refused.what}
        told = Ended("rollout", document, f"refused: {refused.what}", str(policy), home).told()
        if fmt in (Format.JSON, Format.GITHUB):
            tell(told, fmt, files)
        else:  # for a person the error says it all
            write(told, files)
        raise
    except KeyboardInterrupt:
        if fmt is Format.JSON:
            parting = viewer.parting if viewer is not None else ""
            emit_json(verdicts.interrupted(loaded.policy.model, home, parting))
        raise
    ended = Ended("rollout", verdicts.document(result), verdicts.conclusion(result), str(policy), home)
    tell(ended.told(), fmt, files)
    leave(result.exit_code)


def run(
    loaded: LoadedPolicy,
    home: Home,
    *,
    interval: float = 1.0,
    view: View | None = None,
    planned: PlanFile | None = None,
) -> RolloutResult:
    """Roll the policy's candidate out, or carry on the rollout of it that was cut short.

    Parameters
    ----------
    loaded
        The policy; an evaluation of its candidate under it must be in the ledger.
    interval
        Seconds between two looks.
    view
        Who watches; nobody by default.
    planned
        What candidate, champion and images have to be; from here to the promotion they are held to what they are now.

    Raises ``MovedError`` when they are not what was planned, ``GateFailed`` or ``Inconclusive`` when the candidate has
    not passed its gates, and what ``Controller.run`` raises.
    """
    from mlship.engines.front import front
    from mlship.engines.options import Setup, options, router_image
    from mlship.engines.table import engine
    from mlship.ledger import Ledger, who
    from mlship.registry import Registry
    from mlship.rollout import behind
    from mlship.rollout import journal as journals
    from mlship.rollout import plan as plans
    from mlship.rollout.admission import admit, same_champion, within_budget
    from mlship.rollout.controller import Controller
    from mlship.rollout.pins import pins
    from mlship.rollout.planfile import hold
    from mlship.rollout.serve import serve
    from mlship.rollout.watch import Silent

    policy, view = loaded.policy, view if view is not None else Silent()
    if policy.rollout is None:
        raise PolicyError(
            "the policy has no rollout section",
            where=str(loaded.path),
            hint="add `rollout: {steps: [{weight: 10%, bake: {for: 10m, requests: 1000}}]}`",
        )
    view.say("reaching the registry")
    registry, ledger = Registry.connect(policy.registry.uri, home), Ledger(home.ledger)
    candidate = registry.candidate(policy)
    setup = Setup(front(policy.endpoint, loaded.resolve), options(policy, loaded.digest), router_image(policy))
    runner = engine(policy.rollout.engine, home, policy.model, setup, security=policy.gates.security)
    entries = ledger.entries(policy.model)
    champion, latest = candidate.champion, journals.latest(home, policy.model)
    under_way = latest is not None and latest.phase != "done"
    if planned is not None:
        hold(planned, pins(loaded, candidate, entries), latest if under_way else None)
    images = _images(loaded, candidate, entries)
    if latest is not None and under_way:
        _same_candidate(latest, candidate.version.version)
    else:
        behind.caught_up(home.rollouts(policy.model), policy.model, champion.version if champion else None)
        if champion is not None and champion.version == candidate.version.version:
            image = images.get(champion.digest, "")
            return serve(champion, image=image, home=home, engine=runner, ledger=ledger, who=who(), say=view.say)
    warn_of_earlier(loaded, candidate, entries, view.say)
    admitted = admit(entries, candidate.version, loaded.digest, str(loaded.path))
    if policy.gates.latency is not None:
        image = images.get(candidate.version.digest, "")
        within_budget(entries, candidate.version, loaded.digest, image, str(loaded.path))
    if not under_way:  # an unfinished rollout may have moved the alias itself
        _thawed(loaded, time.time())
        same_champion(admitted, champion, str(loaded.path))
    plan = plans.make(
        policy,
        candidate,
        setup=setup,
        images=images,
        policy_path=loaded.path,
        policy_digest=loaded.digest,
        registry_uri=registry.uri,
        evaluation_id=admitted.evidence.get("evaluation", ""),
        run_id=admitted.evidence.get("run", ""),
        now=time.time(),
    )
    return Controller(
        plan,
        home=home,
        engine=runner,
        registry=registry,
        ledger=ledger,
        who=who(),
        interval=interval,
        view=view,
        notifier=_notifier(loaded, view),
        hooks=_hooks(loaded),
    ).run()


def again(loaded: LoadedPolicy, result: RolloutResult) -> bool:
    """Whether the policy wants another rollout: a new candidate came meanwhile, and it is to be tried in its turn."""
    rollout = loaded.policy.rollout
    return bool(result.superseded) and rollout is not None and rollout.on_new_candidate == "restart"


def _notifier(loaded: LoadedPolicy, view: View) -> Notifier | None:
    policy = loaded.policy
    if not policy.notify:
        return None
    from mlship.notify import notifier

    return notifier(policy.notify, view.say, contact=policy.owner.contact, runbook=policy.owner.runbook or "")


def _hooks(loaded: LoadedPolicy) -> Hooks | None:
    assert loaded.policy.rollout is not None, "run has looked"
    hooks = loaded.policy.rollout.hooks
    if not (hooks.before_step or hooks.after_step):
        return None
    from mlship.rollout.hooks import Hooks

    return Hooks(hooks.before_step, hooks.after_step, loaded.path.absolute().parent)


def _thawed(loaded: LoadedPolicy, now: float) -> None:
    """Raise ``Inconclusive`` while the policy lets nothing begin."""
    from mlship.policy.freeze import frozen

    assert loaded.policy.rollout is not None, "run has looked"
    until, model = frozen(loaded.policy.rollout.freeze, now), loaded.policy.model
    if until:
        raise Inconclusive(
            f"no rollout begins in a freeze, which lasts until {until}",
            where=str(loaded.path),
            hint=f"run this again then; `mlship rollback {model}` and `mlship abort {model}` work at any time",
        )


def _images(loaded: LoadedPolicy, candidate: Candidate, entries: list[LedgerEntry]) -> dict[str, str]:
    """Id of the image of candidate and champion by digest of the model, where the engine runs images.

    Raises ``EngineError`` when one was never built.
    """
    from mlship.ledger import built_image, serving_image

    assert loaded.policy.rollout is not None, "run has looked"
    if loaded.policy.rollout.engine == "local":
        return {}
    images = {}
    champion = candidate.champion
    for version in (candidate.version, champion):
        if version is None:
            continue
        find = serving_image if champion is not None and version.digest == champion.digest else built_image
        images[version.digest] = find(entries, version.digest, loaded.digest)
        if not images[version.digest]:
            other = "" if version is candidate.version else f" --candidate {version.version}"
            raise EngineError(
                "there is no image of this version, and the Docker engine runs images",
                where=f"{version.model} version {version.version}",
                hint=f"mlship build {loaded.path}{other}",
            )
    return images


def warn_of_earlier(
    loaded: LoadedPolicy, candidate: Candidate, entries: list[LedgerEntry], say: Callable[[str], None]
) -> None:
    """Say so when these very files were rolled back before: a job that is run again must not undo it without a word."""
    from mlship.rollout.earlier import rolled_back

    if said := rolled_back(entries, candidate.version, loaded.digest):
        say(f"warning: {said}")


def _same_candidate(unfinished: RolloutView, version: str) -> None:
    """A rollout of another candidate ends first: say so before anything is asked of this one."""
    if unfinished.candidate_version != version:
        raise UsageError(
            f"the rollout of version {unfinished.candidate_version} is unfinished, and the candidate is {version} now",
            where=unfinished.model,
            hint=f"`mlship abort {unfinished.model}` ends it; or point the candidate back at "
            f"{unfinished.candidate_version} to carry it on",
        )


def parse_interval(text: str) -> float:
    """The time between two looks, in seconds.

    Raises ``UsageError`` unless it is a duration between 50 ms and 1 h.
    """
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(str(error), where="--interval") from None
    if not 0.05 <= seconds <= 3600:
        raise UsageError(f"{text} is not between 50ms and 1h", where="--interval")
    return seconds
