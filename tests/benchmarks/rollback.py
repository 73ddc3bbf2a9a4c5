"""How fast a rollback is, and whom it costs: `python tests/benchmarks/rollback.py [--rounds 20] [--engine docker]`.

Each round puts half of the traffic on the canary, takes the time right before the call that routes all of it to stable
(the verdict), and waits for the last answer that came from the canary. Router, process manager and routes are the real
ones; the servers are tiny stand-ins that take 2 ms a request, so that it is the way back that is measured, and not a
model. The peer, in the same run: what one does without a route to change, namely stopping the canary's process and
letting the router notice that its connections are refused. Killing is quick, for it cuts off the requests under way
(that nobody loses them is the work of the same router's fallback), and the way forward again then needs a start. A
third way shows what an accident costs: the canary dies by `kill -9` while it has half of the traffic, and nobody does
anything.

The last line is a JSON object. `lost` counts requests without a good answer; times are in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from mlship.engines.base import Engine
from mlship.engines.docker import DockerEngine
from mlship.engines.docker.names import PORT
from mlship.engines.local import LocalEngine
from mlship.types import Release, Routes, ServerState
from tests.engines import docker_support
from tests.engines.support import Callers, behave, local_engine, pid_of, release, routed

LIMITS_MS = {"local": 10.0, "docker": 500.0}
WORK = "sleep 0.002"


def by_route(engine: Engine, stable: str, canary: str) -> None:
    """What mlship does."""
    del canary
    engine.route(Routes(stable))


def by_stopping(engine: Engine, stable: str, canary: str) -> None:
    """The peer: end the process, or the container, without a word to the router."""
    del stable
    if isinstance(engine, LocalEngine):
        os.kill(pid_of(engine, canary), signal.SIGTERM)
        return
    assert isinstance(engine, DockerEngine)
    engine.site.client.containers.get(engine.site.names.server(canary)).stop(timeout=5)


def by_accident(engine: Engine, stable: str, canary: str) -> None:
    """`kill -9`, and nobody does anything."""
    del stable
    if isinstance(engine, LocalEngine):
        os.kill(pid_of(engine, canary), signal.SIGKILL)
        return
    assert isinstance(engine, DockerEngine)
    engine.site.client.containers.get(engine.site.names.server(canary)).kill("SIGKILL")


def works(engine: Engine, server: str) -> None:
    """From now on the server takes its time for a request."""
    if isinstance(engine, LocalEngine):
        behave(engine, server, WORK)
        return
    assert isinstance(engine, DockerEngine)
    found = engine.site.containers()
    hands = engine.site.hands(found)
    assert hands is not None
    (one,) = (each for each in found if each.name == server)
    hands.get(one.address, PORT, f"/mode/{WORK.replace(' ', '%20')}")


def ready(engine: Engine, server: str, again: Release) -> None:
    """Wait until the server answers; start it where it was stopped, or was killed so often that nobody does."""
    until = time.monotonic() + 60
    while (state := engine.servers()[server].state) is not ServerState.READY:
        if isinstance(engine, DockerEngine) and state is ServerState.STOPPED:
            engine.site.client.containers.get(engine.site.names.server(server)).start()
        elif state is ServerState.FAILED:
            engine.deploy(again)
        if time.monotonic() > until:
            raise SystemExit(f"{server} does not come back: {engine.servers()[server]}")
        time.sleep(0.05)


def measure(engine: Engine, stable: str, again: Release, rounds: int) -> dict[str, dict[str, object]]:
    """Rounds of both ways, in turn."""
    results: dict[str, dict[str, object]] = {}
    canary = again.server
    for name, act in (("mlship", by_route), ("stop_the_canary", by_stopping), ("canary_killed", by_accident)):
        times, lost, sent = [], 0, 0
        for _ in range(rounds if name == "mlship" else max(3, rounds // 4)):
            ready(engine, canary, again)
            works(engine, canary)
            routed(engine, Routes(stable, canary, 0.5))
            with Callers(f"{engine.address}/invocations", callers=8, pause=0.002) as callers:
                callers.more(100)
                verdict = time.monotonic()
                act(engine, stable, canary)
                callers.more(150)
            after = [answer.done for answer in callers.answers if answer.version == "2" and answer.done >= verdict]
            times.append(1000 * (max(after, default=verdict) - verdict))
            lost += len(callers.lost)
            sent += len(callers.answers)
        results[name] = {
            "median_ms": round(statistics.median(times), 2),
            "max_ms": round(max(times), 2),
            "rounds": len(times),
            "requests": sent,
            "lost": lost,
        }
        print(f"{name}: {results[name]}")
    return results


def main() -> int:
    """Measure, print, and tell whether the limit holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--engine", choices=("local", "docker"), default="local")
    asked = parser.parse_args()
    make: Callable[[str], Release]
    with tempfile.TemporaryDirectory() as directory:
        engine: LocalEngine | DockerEngine
        if asked.engine == "docker":
            engine, make = docker_support.docker_engine(Path(directory)), docker_support.release
        else:
            engine, make = local_engine(Path(directory)), release
        try:
            stable, canary = engine.deploy(make("1")), engine.deploy(make("2"))
            for server in (stable, canary):
                engine.wait_ready(server, 30)
                works(engine, server)
            results = measure(engine, stable, make("2"), asked.rounds)
        finally:
            engine.down()
    ours, limit = results["mlship"], LIMITS_MS[asked.engine]
    lost = sum(int(str(results[name]["lost"])) for name in ("mlship", "canary_killed"))
    ok = float(str(ours["median_ms"])) <= limit and lost == 0
    print(
        json.dumps(
            {**ours, "engine": asked.engine, "limit_ms": limit, "ok": ok, "servers": "stand-ins", "peers": results}
        )
    )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
