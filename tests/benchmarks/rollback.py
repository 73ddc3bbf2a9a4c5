"""How fast a rollback is, and whom it costs: `python tests/benchmarks/rollback.py [--rounds 20]`.

Each round puts half of the traffic on the canary, takes the time right before the call that routes all of it to stable
(the verdict), and waits for the last answer that came from the canary. Router, process manager and routes are the real
ones; the servers are tiny stand-ins that take 2 ms a request, so that it is the way back that is measured, and not a
model. The peer, in the same run: what one does without a route to change, namely stopping the canary's process and
letting the router notice that its connections are refused. Killing is quick, for it cuts off the requests under way
(that nobody loses them is the work of the same router's fallback), and the way forward again then needs a start.

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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from mlship.engines.local import LocalEngine
from mlship.types import Routes, ServerState
from tests.engines.support import Callers, behave, local_engine, pid_of, release, routed

LIMIT_MS = 10.0
WORK = "sleep 0.002"


def by_route(engine: LocalEngine, stable: str, canary: str) -> None:
    """What mlship does."""
    del canary
    engine.route(Routes(stable))


def by_stopping(engine: LocalEngine, stable: str, canary: str) -> None:
    """The peer: end the process, without a word to the router."""
    del stable
    os.kill(pid_of(engine, canary), signal.SIGTERM)


def measure(engine: LocalEngine, stable: str, canary: str, rounds: int) -> dict[str, dict[str, object]]:
    """Rounds of both ways, in turn."""
    results: dict[str, dict[str, object]] = {}
    for name, act in (("mlship", by_route), ("stop_the_canary", by_stopping)):
        times, lost, sent = [], 0, 0
        for _ in range(rounds if name == "mlship" else max(3, rounds // 4)):
            while engine.servers()[canary].state is not ServerState.READY:
                time.sleep(0.05)
            behave(engine, canary, WORK)
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
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as directory:
        engine = local_engine(Path(directory))
        try:
            stable, canary = engine.deploy(release("1")), engine.deploy(release("2"))
            for server in (stable, canary):
                engine.wait_ready(server, 30)
                behave(engine, server, WORK)
            results = measure(engine, stable, canary, rounds)
        finally:
            engine.down()
    ours = results["mlship"]
    ok = float(str(ours["median_ms"])) <= LIMIT_MS and ours["lost"] == 0
    print(json.dumps({**ours, "limit_ms": LIMIT_MS, "ok": ok, "servers": "stand-ins", "peers": results}))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
