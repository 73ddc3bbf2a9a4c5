"""Runs checks side by side, each with a time limit: one that hangs is told as that, and nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from queue import Empty, Queue
from threading import Thread

from mlship.health.verdict import Finding, Need, lacking

#: Seconds that one check may take.
LIMIT = 8.0


@dataclass(frozen=True, slots=True)
class Check:
    """One look with its verdict."""

    group: str
    name: str
    need: Need
    look: Callable[[], Finding | list[Finding]]
    hint: str
    """What to run when it does not come back, or breaks."""


def side_by_side(checks: Sequence[Check], limit: float = LIMIT) -> list[Finding]:
    """The findings of all checks, in their order.

    A check that has not come back after `limit` seconds, or raises, is a finding too. Its thread is left behind: it is
    a daemon, and ends with the process.
    """
    answers: Queue[tuple[int, list[Finding]]] = Queue()
    began = time.monotonic()

    def work(number: int, check: Check) -> None:
        try:
            found = check.look()
        except Exception as error:  # noqa: BLE001 - a check that breaks is news about the machine, not a reason to stop
            what = f"cannot be looked at: {type(error).__name__}: {error}"
            found = lacking(check.group, check.name, check.need, " ".join(what.split())[:300], check.hint)
        seconds = time.monotonic() - began
        several = found if isinstance(found, list) else [found]
        answers.put((number, [replace(one, seconds=seconds) for one in several]))

    for number, check in enumerate(checks):
        Thread(target=work, args=(number, check), name=f"doctor-{check.name}", daemon=True).start()
    done: dict[int, list[Finding]] = {}
    while len(done) < len(checks) and (left := began + limit - time.monotonic()) > 0:
        try:
            number, found = answers.get(timeout=left)
        except Empty:
            break
        done[number] = found
    for number, check in enumerate(checks):
        if number not in done:
            what = f"no answer within {limit:g} s"
            done[number] = [replace(lacking(check.group, check.name, check.need, what, check.hint), seconds=limit)]
    return [finding for number in range(len(checks)) for finding in done[number]]
