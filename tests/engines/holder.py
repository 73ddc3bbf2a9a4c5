"""A controller without a rollout, to be killed: `holder.py local|docker STATE MODEL SECONDS EVERY STABLE CANARY`.

Holds the endpoint for so many seconds, puts half of the traffic on the canary, says `held` and its name, and gives a
sign of life ever after: `beat`, and when it began and ended on the monotonic clock.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from mlship.engines.base import Engine
from mlship.engines.docker import DockerEngine
from mlship.engines.lease import owner
from mlship.engines.local import LocalEngine
from mlship.home import Home
from mlship.types import Routes


def main(*arguments: str) -> None:
    kind, directory, model, seconds, every, stable, canary = arguments
    home = Home(Path(directory))
    engine: Engine = LocalEngine(home, model) if kind == "local" else DockerEngine(home, model)
    mine, wanted = owner("holder"), Routes(stable, canary, 0.5)
    engine.hold(mine, float(seconds))
    engine.route(wanted, mine)
    while engine.routes() != wanted:
        time.sleep(0.005)
    sys.stdout.write(f"held {mine}\n")
    sys.stdout.flush()
    while True:
        started = time.monotonic()
        engine.hold(mine, float(seconds))
        sys.stdout.write(f"beat {started} {time.monotonic()}\n")
        sys.stdout.flush()
        time.sleep(float(every))


if __name__ == "__main__":
    main(*sys.argv[1:])
