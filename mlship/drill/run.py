"""The course of a drill: callers before, servers away, callers meanwhile, servers back, callers after."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlship.drill.callers import Callers, Endpoint
from mlship.drill.judge import Arm, Heard, Promise, Seen, Verdict, judge, promise
from mlship.engines.base import Engine
from mlship.errors import Inconclusive, UsageError
from mlship.types import Fault, Routes, ServerState

#: Seconds: of calm before and after; that servers may take until they are back; that jobs may take after that.
CALM, RECOVERY, JOBS = 1.5, 180.0, 60.0
#: A server is watched so often.
LOOK = 0.05


@dataclass(frozen=True, slots=True)
class Exercise:
    """What is done to whom."""

    arm: Arm
    fault: Fault
    seconds: float
    """How long a hanging server hangs."""
    fallback: str
    """As the policy says."""
    rate: float
    """Requests per second of the drill's own callers."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a drill saw, and what follows."""

    servers: dict[str, str]
    """Version by name of each server that was taken away."""
    told: Promise
    seen: Seen
    verdict: Verdict


def targets(engine: Engine, arm: Arm) -> tuple[Routes, dict[str, str]]:
    """The routes as they are, and version by name of each server that a drill of this arm takes away.

    Raises ``UsageError`` when there is no such server, ``Inconclusive`` when one is not well.
    """
    routes, servers = engine.routes(), engine.servers()
    if routes is None:
        raise UsageError("no traffic is routed, so there is nothing to drill", hint="`mlship rollout POLICY` deploys")
    if arm is Arm.CANARY and routes.canary is None:
        raise UsageError("there is no canary", hint="--arm stable, or leave it out")
    named = {Arm.STABLE: (routes.stable,), Arm.CANARY: (routes.canary,), Arm.ALL: (routes.stable, routes.canary)}
    chosen = [name for name in named[arm] if name is not None]
    for name in chosen:
        if name not in servers or servers[name].state is not ServerState.READY:
            raise Inconclusive(f"{name} is not ready before the drill", hint="`mlship status` shows why")
    return routes, {name: servers[name].version for name in chosen}


def drill(
    engine: Engine, exercise: Exercise, endpoint: Endpoint, bodies: Sequence[bytes], say: Callable[[str], None]
) -> Result:
    """Take the servers away, and judge what callers got.

    Whatever ends this command, the servers come back by themselves (see ``Engine.fail``).

    Raises ``UsageError`` when there is nothing to drill or callers are refused, ``Inconclusive`` when the endpoint is
    not well before anything is done.
    """
    routes, servers = targets(engine, exercise.arm)
    told = promise(exercise.fallback, exercise.arm, canary=routes.canary is not None)
    with Callers(endpoint, bodies, exercise.rate) as callers:
        say(f"calling {endpoint.url} {exercise.rate:g} times a second")
        began = time.monotonic()
        time.sleep(CALM)
        callers.settle()
        calm = time.monotonic()
        _well(callers.heard(began, calm))
        counted = _errors(engine, servers)
        say(f"{_verb(exercise)}: {', '.join(f'version {version}' for version in servers.values())}")
        fault = time.monotonic()
        for name in servers:
            engine.fail(name, exercise.fault, exercise.seconds)
        back = _wait(engine, servers, exercise, fault)
        say("waiting for the last answers" if back else "the servers are not back")
        callers.settle()
        hit = sum(max(0, after - before) for before, after in zip(counted, _errors(engine, servers), strict=True))
        during = callers.heard(calm, back or time.monotonic())  # those of the last moment before may meet it, too
        jobs = [one.job for one in during if one.job]
        if jobs:
            say(f"waiting for {len(jobs)} jobs")
        until = time.monotonic() + JOBS
        answered = sum(callers.poll(job, until) for job in jobs)
        quiet = time.monotonic()
        time.sleep(CALM)
        callers.settle()
        after = callers.heard(quiet, time.monotonic())
    seen = Seen(
        before=callers.heard(began, calm),
        during=during,
        after=after,
        hit=hit,
        recovered=None if back is None else back - fault,
        same=back is not None and _same(engine, routes, servers),
        jobs=len(jobs),
        jobs_answered=answered,
    )
    return Result(servers, told, seen, judge(told, seen, endpoint.timeout))


def _well(before: Sequence[Heard]) -> None:
    """Callers are let in and answered by models, or else the drill would prove nothing and harm somebody."""
    refused = [one for one in before if one.status in (401, 403)]
    if refused:
        raise UsageError(
            "callers need credentials, and the drill has none that the endpoint knows",
            hint="run it where the policy's API keys are, or name a token's variable: --token-env NAME",
        )
    bad = [one for one in before if one.status != 200 or not one.by.startswith("version ")]
    if bad or not before:
        first = f", such as {bad[0].status or 'none'} by {bad[0].by or 'nobody'}" if bad else ""
        raise Inconclusive(
            f"{len(bad)} of {len(before)} requests had no good answer before anything was done{first}",
            hint="`mlship status` shows what runs; nothing was touched",
        )


def _wait(engine: Engine, servers: dict[str, str], exercise: Exercise, fault: float) -> float | None:
    """When every server was ready again (`time.monotonic`); None when they were not in time."""
    least = exercise.seconds if exercise.fault is Fault.HANG else LOOK
    time.sleep(least)
    while time.monotonic() < fault + least + RECOVERY:
        found = engine.servers()
        if all(name in found and found[name].state is ServerState.READY for name in servers):
            return time.monotonic()
        time.sleep(LOOK)
    return None


def _errors(engine: Engine, servers: dict[str, str]) -> list[int]:
    counted = engine.scrape().servers
    return [counted[name].errors if name in counted else 0 for name in servers]


def _same(engine: Engine, routes: Routes, servers: dict[str, str]) -> bool:
    found = engine.servers()
    return engine.routes() == routes and all(name in found and found[name].version == servers[name] for name in servers)


def _verb(exercise: Exercise) -> str:
    return "killing" if exercise.fault is Fault.KILL else f"hanging for {exercise.seconds:g} s"
