"""How soon traffic is back on stable when its controller dies: `python tests/benchmarks/guardian.py [--engine docker]`.

Each round starts a process that holds the endpoint's lease, puts half of the traffic on the canary, and gives a sign of
life every 0.2 s. Under constant load it is killed (`kill -9`), or stopped (SIGSTOP), or killed and its guardian too,
in turn. Measured is the time from its last sign of life to the last answer of the canary; it may be the lease and two
seconds more. Before that, the first time for twice the lease, the guardian must do nothing.

The peer in the same run: the same without a guardian, told as answers that the canary still gives after the lease.

What a sign of life costs is told, too: it is given at every look of a rollout. The last line is a JSON object; `lost`
counts requests without a good answer.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from mlship.engines.base import Engine
from mlship.engines.docker import DockerEngine, world
from mlship.engines.local import LocalEngine
from mlship.types import Release, Routes
from tests.engines import docker_support, support
from tests.engines.support import Callers, pid_of

HOLDER = Path(support.__file__).with_name("holder.py")
#: Seconds: of the lease, between signs of life, and that the guardian may take besides.
LEASE, EVERY, LIMIT = 5.0, 0.2, 2.0


class Holder:
    """A controller in a process of its own, and its signs of life."""

    def __init__(self, kind: str, engine: LocalEngine | DockerEngine, stable: str, canary: str, lease: float) -> None:
        arguments = [kind, str(engine.directory.parent.parent), engine.directory.name]
        command = [sys.executable, str(HOLDER), *arguments, str(lease), str(EVERY), stable, canary]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        if not self.process.stdout.readline().startswith("held "):
            raise SystemExit("the controller does not get the endpoint")
        self.beats: list[tuple[float, float]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            _, started, done = line.split()
            self.beats.append((float(started), float(done)))

    def signal(self, number: int) -> float:
        """Send a signal; when its last sign of life was given."""
        self.process.send_signal(number)
        time.sleep(0.1)  # what it has said is read
        return self.beats[-1][1]

    def end(self) -> None:
        """No process is left behind."""
        self.process.kill()
        self.process.wait()


def guardian_pid(engine: LocalEngine | DockerEngine) -> int:
    """The guardian's process on this machine."""
    if isinstance(engine, LocalEngine):
        return pid_of(engine, "guardian")
    site = engine.site
    there = world.guardian(site.containers())
    assert there is not None
    return int(world.inspect(site.client, there)["State"]["Pid"])


def measure(
    engine: LocalEngine | DockerEngine, kind: str, arms: tuple[str, str], rounds: int, lease: float
) -> dict[str, object]:
    """All rounds of one engine."""

    def kill(holder: Holder) -> float:
        return holder.signal(signal.SIGKILL)

    def stop(holder: Holder) -> float:
        return holder.signal(signal.SIGSTOP)

    def kill_both(holder: Holder) -> float:
        last = holder.signal(signal.SIGKILL)
        os.kill(guardian_pid(engine), signal.SIGKILL)
        return last

    ways: dict[str, Callable[[Holder], float]] = {"killed": kill, "stopped": stop, "guardian_killed_too": kill_both}
    times: dict[str, list[float]] = {name: [] for name in ways}
    beats: list[float] = []
    lost = sent = too_soon = 0
    for number in range(rounds):
        name = list(ways)[number % len(ways)]
        engine.route(Routes(arms[0]))
        holder = Holder(kind, engine, *arms, lease)
        try:
            with Callers(f"{engine.address}/invocations", callers=4, pause=0.004) as callers:
                time.sleep(2 * lease if number < len(ways) else 1.0)
                too_soon += engine.routes() != Routes(*arms, 0.5)
                last = ways[name](holder)
                deadline = last + lease + LIMIT + 3
                while engine.routes() != Routes(arms[0]) and time.monotonic() < deadline:
                    time.sleep(0.02)
                callers.more(100)
            times[name].append(callers.last("2") - last)
            lost, sent = lost + len(callers.lost), sent + len(callers.answers)
            beats += [1000 * (done - started) for started, done in holder.beats]
        finally:
            holder.end()
        print(f"{name}: back {times[name][-1]:.2f} s after the last sign of life")
    every = [one for some in times.values() for one in some]
    return {
        "lease_s": lease,
        "rounds": rounds,
        "median_s": round(statistics.median(every), 3),
        "max_s": round(max(every), 3),
        "max_after_lease_s": round(max(every) - lease, 3),
        "by_way_max_s": {name: round(max(some), 3) for name, some in times.items() if some},
        "acted_too_soon": too_soon,
        "requests": sent,
        "lost": lost,
        "beat_median_ms": round(statistics.median(beats), 2),
        "beat_p99_ms": round(sorted(beats)[int(len(beats) * 0.99)], 2),
    }


def without(engine: Engine, arms: tuple[str, str], lease: float) -> dict[str, object]:
    """The peer: the same, but nobody holds a lease that somebody guards."""
    engine.route(Routes(*arms, 0.5))
    died = time.monotonic()
    with Callers(f"{engine.address}/invocations", callers=4, pause=0.004) as callers:
        time.sleep(lease + LIMIT)
    late = [answer for answer in callers.answers if answer.done > died + lease and answer.version == "2"]
    return {"answers_of_the_canary_after_the_lease": len(late)}


def main() -> int:
    """Measure, print, and tell whether the limit holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=("local", "docker"), default="local")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--lease", type=float, default=LEASE)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        local = arguments.engine == "local"
        engine: LocalEngine | DockerEngine = (
            support.local_engine(Path(directory)) if local else docker_support.docker_engine(Path(directory))
        )
        releases: Callable[[str], Release] = support.release if local else docker_support.release
        try:
            stable, canary = (engine.deploy(releases(version)) for version in ("1", "2"))
            for server in (stable, canary):
                engine.wait_ready(server, 30)
            peer = without(engine, (stable, canary), arguments.lease)
            found = measure(engine, arguments.engine, (stable, canary), arguments.rounds, arguments.lease)
        finally:
            engine.down()
    ok = float(str(found["max_after_lease_s"])) <= LIMIT and found["lost"] == 0 and found["acted_too_soon"] == 0
    ok = ok and float(str(found["median_s"])) > arguments.lease - 0.5
    print(json.dumps({"engine": arguments.engine, **found, "limit_after_lease_s": LIMIT, "ok": ok, "without": peer}))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
