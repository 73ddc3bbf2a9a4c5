"""What observing costs a server: CPU time per request of one row, counted, sketched, remembered for labels and logged.

Every answer is told to the observer as the application tells it, and taken in as its thread does; the process's own CPU
time is all there is. The share is of the time that one core has for a request at 5,000 requests a second.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from pathlib import Path

from mlship.serving.exposition import Described
from mlship.serving.feedback import Feedback
from mlship.serving.notes import Notes, Subject
from mlship.serving.observer import Answered
from mlship.serving.observing import Observing
from mlship.serving.others import Alone
from mlship.serving.predictionlog import PredictionLog

RATE, REQUESTS = 5000, 50_000


def answers(columns: int) -> list[Answered]:
    """Requests of one row: three quarters of the columns are floats, the rest texts."""
    rng = random.Random(0)
    texts = [f"category {number}" for number in range(30)]

    def cell(column: int) -> object:
        return rng.choice(texts) if column % 4 == 3 else rng.gauss(0, 1)

    return [
        Answered(
            f"request-{number}",
            1.8e9 + number / RATE,
            rng.expovariate(200),
            200,
            {f"column_{column}": (cell(column),) for column in range(columns)},
            [rng.randrange(3)],
        )
        for number in range(REQUESTS)
    ]


def measure(columns: int, sample: float) -> float:
    """CPU seconds a request."""
    given = answers(columns)
    with tempfile.TemporaryDirectory() as directory:
        log = PredictionLog(Path(directory), 10**8) if sample else None
        notes = Notes(Subject("m", "1", sample), log)
        observing = Observing(Described("m", "1", "d"), notes, log, Feedback(), Alone())
        notes.answered(given[0])
        notes.settle()  # numpy is loaded, as in a server that has its model
        started = time.process_time()
        for second in range(REQUESTS // RATE):
            for one in given[second * RATE : (second + 1) * RATE]:
                observing.answered(one)
            notes.settle()
        observing.close(5)
        spent = time.process_time() - started
        assert notes.missed == 0
        scrape = time.process_time()
        asyncio.run(observing.metrics())
        print(f"{columns} columns, {sample:.0%} logged: {spent / REQUESTS * 1e6:.1f} us a request, "
              f"{(time.process_time() - scrape) * 1e3:.0f} ms a scrape")  # fmt: skip
    return spent / REQUESTS


def main() -> None:
    """Measure, and print the result as JSON."""
    result = {}
    for columns, sample in ((5, 0.0), (20, 0.0), (20, 0.01), (20, 1.0), (100, 0.01)):
        spent = measure(columns, sample)
        result[f"{columns} columns, {sample:.0%} logged"] = {
            "microseconds": round(spent * 1e6, 2),
            "share_at_5000": round(spent * RATE, 4),
        }
    passed = result["20 columns, 1% logged"]["share_at_5000"] < 0.05
    print(json.dumps({"observing": result, "limit": "20 columns, 1% logged: below 0.05", "passed": passed}))
    raise SystemExit(0 if passed else 1)


if __name__ == "__main__":
    main()
