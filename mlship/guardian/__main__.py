"""`python -m mlship.guardian LEASE-FOLDER ROUTES-FOLDER`: looks four times a second, and never ends by itself."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from contextlib import ExitStack

from mlship.guardian import lease
from mlship.guardian.watch import LOOK_SECONDS, Watch

log = logging.getLogger("mlship.guardian")


def run(folder: str, routes: str) -> None:
    """Guard until stopped; a fault is told once, and tried again at the next look."""
    with ExitStack() as stack:
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            stack.enter_context(lease.alive(folder))
        except OSError as error:  # two guardians do no harm; none does
            log.error("cannot tell that a guardian lives: %s", error)  # noqa: TRY400 - a traceback tells no more
        log.info("guards %s", routes)
        watch, told = Watch(folder, routes), ""
        while True:
            try:
                watch.look()
                fault = ""
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody else gives the traffic back
                fault = f"{type(error).__name__}: {error}"
            if fault and fault != told:
                log.error("cannot guard: %s", fault)
            told = fault
            time.sleep(LOOK_SECONDS)


def main(arguments: list[str]) -> int:
    """Run; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m mlship.guardian LEASE-FOLDER ROUTES-FOLDER\n")
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):  # the first process of a container ignores what it does not handle
        signal.signal(number, lambda *_: sys.exit(0))
    run(*arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
