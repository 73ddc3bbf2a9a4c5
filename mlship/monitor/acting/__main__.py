"""The program that sends: it gets its deliveries by standard input, holds their locks, and outlives the monitor.

It runs in a session of its own, so that neither Ctrl-C nor a `kill -9` of the monitor cuts a message short. It takes
the deliveries of one place in order, and stops at the first that finds the place out of reach: those behind it keep
their turn.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from mlship.home import Home
from mlship.monitor import documents
from mlship.monitor.acting.claims import Claim
from mlship.monitor.acting.delivery import Outcome, Result
from mlship.monitor.acting.send import attempt


def main() -> None:
    """Read the job, make each attempt, write down what came of it."""
    try:
        job = json.loads(sys.stdin.buffer.read())
    except ValueError:  # whoever started this died before all was said: nothing is sent, and the next pass does it
        return
    home, model = Home(Path(job["home"])), job["model"]
    claims = [Claim(Path(item["claim"]), item["descriptor"]) for item in job["items"]]
    for claim in claims:
        os.set_inheritable(claim.descriptor, False)  # what is started from here must not hold a lock
    for claim, item in zip(claims, job["items"], strict=True):
        outcome = _one(home, model, claim, item)
        if outcome is not None:
            claim.end(outcome)
        claim.close()
        if outcome is None or outcome.result in ("away", "maybe"):
            break
    # A thread that hangs in a service's answer must not keep the locks of the others.
    os._exit(0)


def _one(home: Home, model: str, claim: Claim, item: dict[str, Any]) -> Outcome | None:
    """What came of one delivery within its time; None when nothing can be written down, so that nothing was sent."""
    delivery = documents.delivery(item["delivery"])
    begun = threading.Event()

    def begin() -> None:
        claim.begin(time.time())
        begun.set()

    found: list[Outcome] = []

    def run() -> None:
        try:
            found.append(attempt(home, model, delivery, item["way"], begin))
        except Exception as error:  # noqa: BLE001 - told, by its kind: its text may hold a URL
            result: Result = "maybe" if begun.is_set() else "refused"
            found.append(Outcome(result, f"{item['name']}: {type(error).__name__}"))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(item["limit"])
    if not found:
        late = f"{item['name']}: no answer within {item['limit']:g} s"
        found.append(Outcome("maybe" if begun.is_set() else "away", late))
    outcome = found[0]
    return Outcome(outcome.result, outcome.said, time.time(), outcome.cleared, outcome.facts)


if __name__ == "__main__":
    main()
