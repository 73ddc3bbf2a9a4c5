"""What a rollout does to the world: deploy, route, promote, retire. Every act may be repeated after a crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from mlship.engines.base import Engine
from mlship.errors import EngineError, LeaseLost, MlshipError, MovedError
from mlship.ledger import Ledger
from mlship.rollout import warm
from mlship.rollout.plan import Plan
from mlship.rollout.state import Outcome
from mlship.types import LedgerEntry, ModelVersion, Release, Routes, Server, ServerState

#: Seconds that a server may take to load its model.
READY_SECONDS = 180.0
#: What may be done more than once in a rollout; everything else is written down once, however often it is tried.
_REPEATABLE = ("paused", "resumed", "advanced", "lease_expired")
#: Seconds that the router may take to apply a route.
ROUTE_SECONDS = 10.0


class CanaryLost(EngineError):
    """The canary died between the decision to promote it and its promotion."""


class Aliases(Protocol):
    """What a rollout needs of the registry."""

    def version(self, model: str, reference: str) -> ModelVersion:
        """The exact version that a reference resolves to."""

    def alias(self, model: str, alias: str) -> str | None:
        """The version that an alias points at."""

    def move_alias(self, model: str, alias: str, *, expected: str | None, to: str) -> None:
        """Compare and set; raises ``MovedError`` when the alias is not where it was."""


class Hands:
    """Acts for one rollout; decides nothing.

    Parameters
    ----------
    owner, hold
        Who moves routes, and what takes or renews the lease for that; by default whoever comes.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        engine: Engine,
        registry: Aliases,
        ledger: Ledger,
        directory: Path,
        who: str,
        owner: str = "",
        hold: Callable[[], None] = lambda: None,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self.plan = plan
        self.engine = engine
        self.registry = registry
        self.ledger = ledger
        self.directory = directory
        self.who = who
        self.owner = owner
        self.hold = hold
        self.clock = clock
        self.sleep = sleep

    def deploy(self, say: Callable[[str], None]) -> None:
        """Start both servers side by side and wait until they answer; route to stable if nothing is routed yet.

        Raises ``EngineError`` when a server does not come up; no server that this started without need is left behind.
        """
        arms = [release for release in (self.plan.stable, self.plan.canary) if release is not None]
        warm.stop_expired(self.directory, self.engine, self.clock(), {release.server for release in arms})
        before = self.engine.servers()
        for release in arms:
            warm.forget(self.directory, release.server)
            self.engine.deploy(release)
        try:
            self.hold()  # as soon as there is an endpoint to be held
            for release in arms:
                say(f"waiting for version {release.version} to answer")
                self.engine.wait_ready(release.server, READY_SECONDS)
                if release is self.plan.stable and not self._known(self.engine.routes()):
                    self.route(self.plan.routes(None))
        except (EngineError, LeaseLost):
            self._withdraw(arms, set(before))
            raise

    def route(self, routes: Routes) -> float:
        """Route, and wait until the router applies it; seconds that it took.

        Raises ``EngineError`` when the router still applies something else after `ROUTE_SECONDS`.
        """
        return apply(self.engine, routes, self.clock, self.sleep, self.owner)

    def promote(self, reason: str) -> None:
        """Canary gets all traffic, then the alias moves, then the canary becomes stable, then the ledger tells.

        Raises ``MovedError`` when the candidate or the champion is not what it was, ``CanaryLost`` when the canary does
        not answer any more while stable does; traffic is on the old stable then, and no alias has moved.
        """
        plan, alias = self.plan, self.plan.champion_alias
        champion = plan.stable.version if plan.stable else None
        if not self.moved():
            before = self.engine.routes()
            try:
                self._unchanged()
                self._alive()
                self.hold()  # the registry may have taken longer than the lease
                self.route(self._everything())
                self._alive()
                self.registry.move_alias(plan.model, alias, expected=champion, to=plan.canary.version)
            except (MovedError, CanaryLost):
                self._go_back(before)
                raise
            self.hold()
        self.route(Routes(plan.canary.server))  # also when a crash came between the alias and this
        self.record("promoted", champion, plan.canary.version, reason)
        if plan.stable is not None and plan.stable.server != plan.canary.server:
            warm.keep(self.directory, plan.stable.server, self.clock() + plan.keep_warm)
            if plan.keep_warm <= 0:
                warm.stop_expired(self.directory, self.engine, self.clock(), set())

    def moved(self) -> bool:
        """Whether the champion's alias names the candidate."""
        return self.registry.alias(self.plan.model, self.plan.champion_alias) == self.plan.canary.version

    def retire(self, outcome: Outcome, reason: str) -> None:
        """Write down that the candidate went back, then drain and stop its server."""
        plan = self.plan
        self.record(outcome.value, plan.canary.version, plan.stable.version if plan.stable else None, reason)
        routes = self.engine.routes()
        if routes is None or plan.canary.server not in (routes.stable, routes.canary):
            self.engine.stop(plan.canary.server)

    def record(
        self, action: str, from_version: str | None, to_version: str | None, reason: str, *, at: float | None = None
    ) -> None:
        """Append to the ledger, once per rollout and action; what may be done more than once: once per moment."""
        mine = ("rollout", self.plan.rollout_id)
        when, model, evidence = self.clock() if at is None else at, self.plan.model, self.plan.evidence
        for entry in self.ledger.some(model, (action,)):
            again = action not in _REPEATABLE or entry.at == when
            if again and mine in entry.evidence.items():
                return
        self.ledger.append(LedgerEntry(when, self.who, action, model, from_version, to_version, reason, evidence))

    def canary_down(self) -> str:
        """Why the canary's server is dead while stable's lives; empty otherwise."""
        servers = self.engine.servers()
        stable = servers.get(self.plan.stable.server) if self.plan.stable else None
        canary = servers.get(self.plan.canary.server)
        if stable is None or stable.state is not ServerState.READY:
            return ""
        if canary is None:
            return "it is gone"
        return (canary.detail or "it failed") if canary.state is ServerState.FAILED else ""

    def _known(self, routes: Routes | None) -> bool:
        """Whether the champion has the traffic already, alone or beside this canary."""
        stable, canary = self.plan.stable, self.plan.canary
        if routes is None:
            return False
        return (stable is not None and routes.stable == stable.server) or routes.stable == canary.server

    def unmoved(self) -> None:
        """Raise ``MovedError`` unless both aliases point where they pointed when the plan was made."""
        plan, champion = self.plan, self.plan.stable.version if self.plan.stable else None
        holder = self.registry.alias(plan.model, plan.champion_alias)
        if holder != champion:
            raise _moved(plan, f"@{plan.champion_alias}", champion, holder)
        if plan.candidate_reference.startswith("@"):
            holder = self.registry.alias(plan.model, plan.candidate_reference.removeprefix("@"))
            if holder != plan.canary.version:
                raise _moved(plan, plan.candidate_reference, plan.canary.version, holder)

    def newer(self) -> str:
        """What the candidate's alias names instead of the candidate; empty while it still names it."""
        plan = self.plan
        holder = self.registry.alias(plan.model, plan.candidate_reference.removeprefix("@"))
        return "" if holder == plan.canary.version else _version(holder)

    def _unchanged(self) -> None:
        """Raise ``MovedError`` unless aliases and the candidate's files are what was planned, and evaluated."""
        self.unmoved()
        plan = self.plan
        digest = self.registry.version(plan.model, plan.canary.version).digest
        if digest != plan.canary.digest:
            raise MovedError(
                f"version {plan.canary.version} is not what was evaluated: {digest} instead of {plan.canary.digest}",
                where=plan.model,
                hint=f"find out who changed it, then `mlship evaluate {plan.policy_path}`",
            )

    def _everything(self) -> Routes:
        """All traffic to the canary; until the alias has moved stable is the way back, which the guardian can take."""
        stable, canary = self.plan.stable, self.plan.canary.server
        return Routes(stable.server, canary, 1.0) if stable is not None else Routes(canary)

    def _alive(self) -> None:
        """Raise ``CanaryLost`` when the canary does not answer and stable does: the healthy one is kept."""
        stable, canary, servers = self.plan.stable, self.plan.canary, self.engine.servers()
        if stable is None or not _ready(servers.get(stable.server)) or _ready(found := servers.get(canary.server)):
            return
        detail = (found.detail.strip() or found.state.value) if found is not None else "it is gone"
        raise CanaryLost(
            f"version {canary.version} does not answer in the moment of its promotion: {detail}",
            where=self.plan.model,
            hint="stable has all traffic; `mlship status` shows both",
        )

    def _go_back(self, before: Routes | None) -> None:
        if self.plan.stable is not None:
            self.route(self.plan.routes(None))
        elif before is not None:
            self.route(before)
        else:
            self.engine.down()  # nothing ran before this first promotion

    def _withdraw(self, arms: list[Release], before: set[str]) -> None:
        try:
            routes = self.engine.routes()
            if routes is None and not before:
                self.engine.down()
                return
            routed = {routes.stable, routes.canary} if routes else set()
            for release in arms:
                if release.server not in before and release.server not in routed:
                    self.engine.stop(release.server)
        except MlshipError:
            return  # the failure that led here is the one to tell


def _ready(server: Server | None) -> bool:
    return server is not None and server.state is ServerState.READY


def apply(
    engine: Engine, routes: Routes, clock: Callable[[], float], sleep: Callable[[float], None], owner: str = ""
) -> float:
    """Route, and read back until the router applies it; seconds that it took.

    Raises ``EngineError`` when the router still applies something else after `ROUTE_SECONDS`.
    """
    started = clock()
    engine.route(routes, owner)
    while not same(engine.routes(), routes):
        if not 0 <= clock() - started <= ROUTE_SECONDS:  # a clock that was set back tells nothing either
            raise EngineError(
                f"the router has not taken the new route within {ROUTE_SECONDS:g} s",
                where=engine.address,
                hint="`mlship status` shows what it serves; run the same command again to carry on",
            )
        sleep(0.002)
    return clock() - started


def same(left: Routes | None, right: Routes) -> bool:
    """Whether two routes are the same but for the router's rounding of the weight."""
    if left is None or left.stable != right.stable or left.canary != right.canary:
        return False
    if left.canary is None:
        return True
    near = abs(left.weight - right.weight) < 1e-5 and abs(left.mirror - right.mirror) < 1e-5
    return near and left.testers == right.testers and left.sticky == right.sticky


def _moved(plan: Plan, alias: str, expected: str | None, found: str | None) -> MovedError:
    return MovedError(
        f"{alias} of {plan.model} points at {_version(found)} now, not at {_version(expected)}",
        where=plan.model,
        hint=f"look with `mlship history`; then start again with `mlship evaluate {plan.policy_path}`",
    )


def _version(version: str | None) -> str:
    return f"version {version}" if version is not None else "nothing"
