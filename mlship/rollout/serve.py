"""When the candidate is the champion already: nothing is to be decided, but it must serve."""

from __future__ import annotations

import time
from collections.abc import Callable

from mlship.engines.base import Engine
from mlship.errors import Exit
from mlship.home import Home
from mlship.rollout import lock, warm
from mlship.rollout.hands import READY_SECONDS, apply, same
from mlship.rollout.plan import release
from mlship.rollout.tenancy import Tenancy
from mlship.rollout.watch import RolloutResult
from mlship.types import ModelVersion, Routes


def serve(
    champion: ModelVersion,
    *,
    image: str = "",
    home: Home,
    engine: Engine,
    who: str,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> RolloutResult:
    """Make the champion serve all traffic, if it does not yet; from its image, where the engine runs images.

    Raises ``StateError`` when a controller is at work, ``EngineError`` when it does not come up; nothing that this
    started is left behind then.
    """
    started = clock()
    directory = home.ensure(home.rollouts(champion.model))
    with lock.held(directory, who, f"serving version {champion.version}"):
        wanted, tenancy = release(champion, {champion.digest: image}), Tenancy(engine, who, 2 * READY_SECONDS)
        warm.stop_expired(directory, engine, clock(), {wanted.server})
        before = set(engine.servers())
        engine.deploy(wanted)
        tenancy.beat()
        say(f"waiting for version {champion.version} to answer")
        try:
            engine.wait_ready(wanted.server, READY_SECONDS)
        except BaseException:
            if not before:
                engine.down()
            elif wanted.server not in before:
                engine.stop(wanted.server)
            raise
        warm.forget(directory, wanted.server)
        if not same(engine.routes(), Routes(wanted.server)):
            apply(engine, Routes(wanted.server), clock, sleep, tenancy.owner)
        tenancy.give_up()
    return RolloutResult(
        model=champion.model,
        rollout_id="",
        candidate_version=champion.version,
        champion_version=champion.version,
        verdict="promoted",
        exit_code=Exit.PASSED,
        reason=f"version {champion.version} is the champion already, and serves at {engine.address}",
        verdict_at=started,
        seconds=clock() - started,
    )
