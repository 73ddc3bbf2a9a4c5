"""`mlship rollback`: the previous champion, now; while a rollout is under way: stable, now."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.cli.answers import answer, status_of
from mlship.cli.common import ModelArgument, context, err, leave
from mlship.cli.completion import champions
from mlship.cli.telling import Format, FormatOption, tell
from mlship.errors import Exit, MlshipError, RegistryError, StateError, UsageError
from mlship.ledger import Ledger, who
from mlship.rollout import behind, elsewhere, handle, journal, lock, offline, ordering, rollback
from mlship.rollout.state import Order
from mlship.rollout.words import became, duration

if TYPE_CHECKING:
    from mlship.cli.telling import Told
    from mlship.home import Home
    from mlship.rollout.journal import RolloutView
    from mlship.rollout.plan import Plan
    from mlship.rollout.rollback import Returned, Target
    from mlship.types import LedgerEntry

#: Seconds that an aborted rollout's controller gets to end.
ABORT_SECONDS = 30.0


def command(
    ctx: typer.Context,
    model: ModelArgument,
    to: Annotated[
        str | None,
        typer.Option(
            help="An earlier champion; default: the one before the present.",
            metavar="VERSION",
            autocompletion=champions,
        ),
    ] = None,
    fmt: FormatOption = Format.TEXT,
) -> None:
    """Go back to the previous champion, now.

    A route change, if its server is still warm. A rollout under way is ended, and all traffic is on stable: the
    champion is left only by the next rollback, or by --to.

    \b
    Examples:
      mlship rollback flight-delay
      mlship rollback flight-delay --to 1 --format json
    """
    home, ledger, decided = context(ctx).home, Ledger(context(ctx).home.ledger), time.time()
    view = journal.latest(home, model)
    if view is not None and view.phase != "done" and (to is not None or view.champion_version is not None):
        if to not in (None, view.champion_version):
            _find(home, ledger, model, to)  # a version that cannot be gone to is told before anything is done
        stays = to in (None, view.champion_version)
        view = _end(home, view, notify=stays)
        if stays and view.outcome != "promoted":  # it may have come through at this very moment
            tell(_ended(view, handle.latest_plan(home, model), home, ledger, decided), fmt)
            _check(ledger)
            return
    where, damage = _find(home, ledger, model, to)
    plan = handle.latest_plan(home, model)
    directory = home.ensure(home.rollouts(model))
    with lock.held(directory, who(), f"rollback to version {where.version}"):
        done = rollback.go_back(
            where,
            engine=handle.engine_of(plan, home),
            registry=handle.LazyRegistry(plan, home),
            ledger=ledger,
            directory=directory,
            alias=plan.champion_alias,
            who=who(),
            keep_warm=plan.keep_warm,
        )
    code = Exit.PASSED if damage is None else damage.exit_code
    tell(_returned(done, plan, code), fmt)
    if damage is not None:
        err().print(f"mlship: traffic went back to version {where.version}, but {damage.what}", markup=False)
        err().print(f"  where: {damage.where}\n  next: {damage.hint}", markup=False)
        leave(code)
    _check(ledger)


def _returned(done: Returned, plan: Plan, code: Exit) -> Told:
    """What a rollback to an earlier champion did."""
    where, model, route_ms = done.target, done.target.model, round(done.seconds * 1000, 1)
    document = {
        "model": model,
        "from_version": where.champion,
        "to_version": where.version,
        "verdict": "rolled_back",
        "exit_code": int(code),
        "reason": done.reason,
        "verdict_at": done.verdict_at,
        "route_ms": route_ms,
        "warm": done.warm,
    }
    took = f"{route_ms:g} ms" if route_ms < 1000 else duration(done.seconds)
    how = "its server was still warm" if done.warm else "its server was started again from the registry"
    instead = f" instead of {where.champion}" if where.champion else ""
    said = f"{model}: version {where.version} serves again{instead}, {took} after the decision; {how}"
    if where.begun:
        at = time.strftime("%H:%M:%S", time.localtime(done.since))
        said = f"{model}: version {where.version} has all traffic since {at}; now @{plan.champion_alias} names it, too"
    outputs = {"verdict": "rolled_back", "champion-version": where.version}
    return answer("rollback", model, [said], document, status=status_of(code), outputs=outputs)


def _ended(view: RolloutView, plan: Plan, home: Home, ledger: Ledger, decided: float) -> Told:
    """What a rollback did that has ended a rollout, and nothing else."""
    model, stable, canary = view.model, view.champion_version or "", view.candidate_version
    serving = elsewhere.now_serving(handle.engine_of(plan, home))
    lines = [f"{model}: the rollout of version {canary} has ended, and version {serving or stable} has all traffic"]
    lines.append(f"  {became(view.outcome or 'aborted', view.reason)}")
    with suppress(MlshipError):
        before = rollback.target(ledger, model, None).version
        lines.append(
            f"  champion is still version {stable}: `mlship rollback {model}` again goes back to version {before}"
        )
    document = {
        "model": model,
        "from_version": canary,
        "to_version": serving or stable,
        "verdict": "aborted",
        "exit_code": 0,
        "reason": view.reason,
        "verdict_at": decided,
        "route_ms": None,
        "warm": True,
    }
    outputs = {"verdict": "aborted", "champion-version": stable}
    return answer("rollback", model, lines, document, outputs=outputs)


def _check(ledger: Ledger) -> None:
    """Warn when the ledger is damaged: traffic did not wait for all of it to be checked."""
    try:
        damage = ledger.read().damage
    except StateError as error:
        damage = error
    if damage is not None:
        err().print(f"mlship: warning: {damage}", markup=False)


def _find(home: Home, ledger: Ledger, model: str, to: str | None) -> tuple[Target, StateError | None]:
    """Where to go, and the damage that keeps the ledger from telling; then a person has named the version.

    Raises what ``rollback.target`` raises, with the versions that could be named as the hint.
    """
    directory = home.rollouts(model)
    left = behind.read(directory)
    try:
        return rollback.target(ledger, model, to, left), None
    except (rollback.NotTold, StateError) as error:
        untold = error
    try:
        plan = handle.latest_plan(home, model)
    except UsageError:
        raise untold from None  # nothing has ever been on traffic here
    damage = untold if isinstance(untold, StateError) else None
    sound: list[LedgerEntry] = []
    with suppress(StateError):
        sound = [entry for entry in ledger.read().entries if entry.model == model]
    engine, registry = handle.engine_of(plan, home), handle.LazyRegistry(plan, home)
    if named := to or (left.to if left is not None else None):
        known = isinstance(untold, rollback.NotTold) and untold.begun
        try:
            found = elsewhere.target(
                model,
                named,
                directory=directory,
                engine=engine,
                registry=registry,
                entries=sound,
                only_champions=known,
                left=left,
            )
        except RegistryError as error:
            raise _hinted(untold, f"nothing else knows version {named}, and the registry: {error.what}") from error
        if found is not None and (to is not None or found[0].begun):
            err().print(f"mlship: warning: {untold.what}; all the same to {found[1]}", markup=False)
            return found[0], damage
        if to is not None:
            raise untold
    others = elsewhere.candidates(
        model, directory=directory, engine=engine, registry=registry, alias=plan.champion_alias, entries=sound
    )
    raise _hinted(untold, f"{others}; {untold.hint}") if others else untold


def _hinted(error: MlshipError, hint: str) -> MlshipError:
    return type(error)(error.what, where=error.where, hint=hint)


def _end(home: Home, view: RolloutView, *, notify: bool) -> RolloutView:
    """End the rollout that is under way, which would route again; how it ended.

    Raises ``StateError`` when it does not end, and ``UsageError`` when its promotion has gone too far.
    """
    model = view.model
    plan = handle.latest_plan(home, model)
    engine = handle.engine_of(plan, home)
    try:
        if ordering.send(home, model, Order.ABORT) is None:
            offline.abort(
                home,
                model,
                who(),
                engine=engine,
                registry=handle.LazyRegistry(plan, home),
                ledger=Ledger(home.ledger),
                notifier=handle.LateNotifier(plan) if notify else None,
            )
    except UsageError:
        now = journal.latest(home, model)
        if now is None or now.phase != "done":
            raise  # otherwise it ended by itself this very moment
    except StateError as error:
        routes = engine.routes()
        if routes is None or routes.canary is not None or elsewhere.now_serving(engine) != view.champion_version:
            raise
        what = f"version {view.champion_version} has all traffic, but {error.what}"
        raise StateError(what, where=error.where, hint=error.hint) from error
    until = time.monotonic() + ABORT_SECONDS
    while lock.holder(home.rollouts(model)) is not None and time.monotonic() < until:
        time.sleep(0.05)
    now = journal.latest(home, model)
    if now is None or now.phase != "done":
        raise StateError(
            f"the rollout of version {view.candidate_version} has not ended",
            where=model,
            hint="`mlship status` shows where it stands",
        )
    return now
