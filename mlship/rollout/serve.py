"""When the candidate is the champion already: nothing is to be decided, but it must serve."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlship.engines.base import Engine
from mlship.errors import Exit, StateError
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.rollout import lock, warm
from mlship.rollout.hands import READY_SECONDS, apply, same
from mlship.rollout.plan import release
from mlship.rollout.tenancy import Tenancy
from mlship.rollout.watch import RolloutResult
from mlship.rollout.words import percent
from mlship.types import LedgerEntry, ModelVersion, Release, Routes, ServerState


def serve(
    champion: ModelVersion,
    *,
    image: str = "",
    home: Home,
    engine: Engine,
    ledger: Ledger,
    who: str,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> RolloutResult:
    """Make the champion serve all traffic, if it does not yet; from its image, where the engine runs images.

    The ledger is told when callers meet it only now: `served`, from what they met before.

    Raises ``StateError`` when a controller is at work, ``EngineError`` when it does not come up; nothing that this
    started is left behind then.
    """
    started = clock()
    directory = home.ensure(home.rollouts(champion.model))
    with lock.held(directory, who, f"serving version {champion.version}"):
        wanted = release(champion, {champion.digest: image})
        if _serves(engine, wanted) and all(engine.programs().values()):
            reason = f"version {champion.version} is the champion and has all traffic: nothing to do"
        else:
            reason = _Arrival(wanted, directory, engine, ledger, who, say, clock, sleep).make()
    return RolloutResult(
        model=champion.model,
        rollout_id="",
        candidate_version=champion.version,
        champion_version=champion.version,
        verdict="served",
        exit_code=Exit.PASSED,
        reason=reason,
        verdict_at=started,
        seconds=clock() - started,
    )


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A champion that does not have all traffic yet, or lacks something beside it."""

    wanted: Release
    directory: Path
    engine: Engine
    ledger: Ledger
    who: str
    say: Callable[[str], None]
    clock: Callable[[], float]
    sleep: Callable[[float], None]

    def make(self) -> str:
        """Start what does not run, and give the champion all traffic; what was done, in a sentence."""
        wanted, engine = self.wanted, self.engine
        served, (from_version, met) = _serves(engine, wanted), _met(engine)
        self._start(met)
        if served:
            return (
                f"version {wanted.version} is the champion and has all traffic; what was missing beside it runs again"
            )
        reason = f"version {wanted.version} is the champion, and serves at {engine.address} now: {met}"
        evidence = {"model": wanted.digest, **({"image": wanted.image} if wanted.image else {})}
        entry = LedgerEntry(
            self.clock(), self.who, "served", wanted.model, from_version, wanted.version, reason, evidence
        )
        try:
            self.ledger.append(entry)
        except StateError as error:
            raise StateError(f"{reason}, but {error.what}", where=error.where, hint=error.hint) from error
        return reason

    def _start(self, met: str) -> None:
        wanted, engine, tenancy = self.wanted, self.engine, Tenancy(self.engine, self.who, 2 * READY_SECONDS)
        warm.stop_expired(self.directory, engine, self.clock(), {wanted.server})
        before = set(engine.servers())
        engine.deploy(wanted)
        tenancy.beat()
        self.say(f"waiting for version {wanted.version} to answer: it is the champion, and {met}")
        try:
            engine.wait_ready(wanted.server, READY_SECONDS)
        except BaseException:
            if not before:
                engine.down()
            elif wanted.server not in before:
                engine.stop(wanted.server)
            raise
        warm.forget(self.directory, wanted.server)
        if not same(engine.routes(), Routes(wanted.server)):
            apply(engine, Routes(wanted.server), self.clock, self.sleep, tenancy.owner)
        tenancy.give_up()


def _serves(engine: Engine, wanted: Release) -> bool:
    """Whether its server is ready, and all traffic goes there."""
    found = engine.servers().get(wanted.server)
    return found is not None and found.state is ServerState.READY and same(engine.routes(), Routes(wanted.server))


def _met(engine: Engine) -> tuple[str | None, str]:
    """The version that callers have met so far, and that in words."""
    routes, servers = engine.routes(), engine.servers()
    server = servers.get(routes.stable) if routes is not None else None
    if routes is None or server is None or server.state is not ServerState.READY:
        return None, "nothing served before"
    if routes.canary is not None:
        canary = f"version {servers[routes.canary].version}" if routes.canary in servers else routes.canary
        return server.version, f"version {server.version} served before, and {percent(routes.weight)} went to {canary}"
    return server.version, f"version {server.version} served before"
