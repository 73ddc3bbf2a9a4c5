"""The demo's callers: a process that sends July's flights in time order, counts answers, and reports outcomes late."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Seconds after which a flight's outcome is known and reported.
LABEL_DELAY = 1.0
#: A caller gives up after this many seconds; giving up is a failed request.
PATIENCE = 10.0
#: The callers go home by themselves after this many seconds, whatever became of the demo.
LONGEST = 1800.0


@dataclass
class Tally:
    """What the callers saw."""

    sent: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    labels: int = 0
    answers: list[tuple[float, str]] = field(default_factory=list)
    """(time the answer was complete, version that gave it)"""

    def fail(self, why: str) -> None:
        """Count a request that was not answered well."""
        self.failed += 1
        self.failures.append(f"{time.time():.3f} {why}")

    def document(self) -> dict[str, Any]:
        """The tally as JSON."""
        return {
            "sent": self.sent,
            "failed": self.failed,
            "failures": self.failures[:20],
            "labels": self.labels,
            "answers": self.answers,
        }


async def drive(url: str, rows: list[dict[str, Any]], outcomes: list[Any], rate: float, stop: asyncio.Event) -> Tally:
    """Send `rows` one by one at `rate` requests a second (open loop: a slow answer delays no other), until `stop`.

    Each row's outcome goes to `/feedback` with the answer's request id, `LABEL_DELAY` seconds after the answer.
    A request fails when it is not answered with 200 within `PATIENCE` seconds, for whatever reason.
    """
    import aiohttp

    tally = Tally()
    due: deque[tuple[float, str, Any]] = deque()

    async def ask(session: aiohttp.ClientSession, row: dict[str, Any], outcome: Any) -> None:
        body = {"dataframe_records": [row]}
        try:
            async with session.post(f"{url}/invocations", json=body) as answer:
                text = await answer.text()
                if answer.status == 200:
                    tally.answers.append((time.time(), answer.headers.get("x-mlship-version", "?")))
                    due.append((time.monotonic() + LABEL_DELAY, answer.headers["x-request-id"], outcome))
                else:
                    tally.fail(f"HTTP {answer.status}: {text[:200]}")
        except (aiohttp.ClientError, TimeoutError, OSError, KeyError) as error:
            tally.fail(f"{type(error).__name__}: {error}")

    async def report(session: aiohttp.ClientSession) -> None:
        while True:
            await asyncio.sleep(0.2)
            known = []
            while due and due[0][0] <= time.monotonic():
                _, request_id, outcome = due.popleft()
                known.append({"request_id": request_id, "label": outcome})
            if known:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.post(f"{url}/feedback", json=known) as answer:
                        tally.labels += len(known) if answer.status == 202 else 0

    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        reporter = asyncio.create_task(report(session))
        under_way: set[asyncio.Task[None]] = set()
        started = time.monotonic()
        for number, (row, outcome) in enumerate(itertools.cycle(zip(rows, outcomes, strict=True))):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, started + number / rate - time.monotonic()))
            if stop.is_set():
                break
            tally.sent += 1
            task = asyncio.create_task(ask(session, row, outcome))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        if under_way:
            await asyncio.wait(under_way)
        reporter.cancel()
    return tally


async def _watch_parent(stop: asyncio.Event) -> None:
    parent, deadline = os.getppid(), time.monotonic() + LONGEST
    while os.getppid() == parent and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
    stop.set()


def main(url: str, rows_file: str, rate: str, tally_file: str) -> None:
    """Send until SIGTERM, SIGINT or the parent's end, then write the tally.

    Arguments: URL, rows (JSON), requests a second, tally file.
    """
    document = json.loads(Path(rows_file).read_text())

    async def run() -> Tally:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        watcher = loop.create_task(_watch_parent(stop))
        tally = await drive(url, document["rows"], document["outcomes"], float(rate), stop)
        watcher.cancel()
        return tally

    tally = asyncio.run(run())
    Path(tally_file).write_text(json.dumps(tally.document()))


if __name__ == "__main__":
    main(*sys.argv[1:])
