"""Following one rollout from its journal, read-only: what is new, who drives it, and when to stop looking."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from mlship.cli.until import Until
from mlship.engines import state as kept
from mlship.engines import table
from mlship.engines.base import Engine
from mlship.errors import MlshipError
from mlship.home import Home
from mlship.rollout import lines, lock
from mlship.rollout.plan import Plan
from mlship.rollout.pulse import Pulse, sentence
from mlship.rollout.scene import LOOKS, Moment, Tape, of_record
from mlship.rollout.state import Outcome, Phase

#: Seconds between two looks at the journal, and between two questions to the engine.
POLL_SECONDS, ASK_SECONDS = 0.25, 2.0
#: Seconds that an engine gets for its first answer, before a rollout that nobody here drives counts as one that nobody
#: drives at all.
ENGINE_SECONDS = 5.0
#: Seconds that a controller on another machine gets to begin the next rollout: from here nobody sees whether it lives.
NEXT_SECONDS = 60.0
#: Looks in a row that find no controller before it counts as dead: an abort lets go of the lock and takes it again.
PATIENCE = 3


class Stop(StrEnum):
    """Why following has ended."""

    ENDED = "ended"
    """The rollout is over, or stands still and its command has ended."""
    REACHED = "reached"
    """What `--until` asked for is there."""
    TIMED_OUT = "timed_out"
    UNATTENDED = "unattended"
    """No controller runs, and nothing was said about waiting for one."""


@dataclass(frozen=True, slots=True)
class News:
    """What one look at the journal has found."""

    moments: tuple[Moment, ...]
    notes: tuple[tuple[float, str], ...]
    """(Unix time, what the controller has noted)."""
    past: bool
    """It was there before anybody watched."""
    alive: bool
    driver: str
    """Who drives, in a sentence."""
    damaged: int
    """Whole lines of the journal that could not be read."""


class Signs(Protocol):
    """Where signs of life are looked for."""

    def pulse(self, directory: Path) -> Pulse:
        """Signs of life as they are known now; `directory` holds the lock."""

    def wait(self, seconds: float) -> None:
        """Return when the engine has been asked once, or after so many seconds."""


class Lease:
    """Asks the engine for its lease, in a thread of its own: an engine that hangs must not freeze the picture."""

    def __init__(self, engine: Callable[[], Engine | None], every: float = ASK_SECONDS) -> None:
        self._engine, self._every = engine, every
        self._found, self._at = Pulse(None), time.monotonic()
        self._asked = threading.Event()
        self._end = threading.Event()
        threading.Thread(target=self._ask, name="mlship-lease", daemon=True).start()

    def pulse(self, directory: Path) -> Pulse:
        """See ``Signs.pulse``."""
        found, at = self._found, self._at
        return replace(found, holder=lock.holder(directory), aged=time.monotonic() - at)

    def wait(self, seconds: float) -> None:
        """See ``Signs.wait``."""
        self._asked.wait(seconds)

    def close(self) -> None:
        """Ask no more."""
        self._end.set()

    def _ask(self) -> None:
        while not self._end.is_set():
            try:
                engine = self._engine()
                found = Pulse(None, engine.lease() if engine is not None else None)
            except MlshipError as error:
                found = Pulse(None, unreachable=error.what)
            except Exception as error:  # noqa: BLE001 - whatever an engine does, the picture goes on without it
                found = Pulse(None, unreachable=f"{type(error).__name__}: {error}")
            self._found, self._at = found, time.monotonic()
            self._asked.set()
            self._end.wait(self._every)


def engine_of(home: Home, model: str) -> Engine | None:
    """The engine that serves a model; None when there is none in this state directory."""
    directory = home.engine(model)
    if not any((directory / name).exists() for name in (kept.FILE, kept.MARK)):
        return None
    return table.found(home, model)


class Following:
    """One rollout, watched.

    Parameters
    ----------
    path
        Its journal.
    signs
        Tells whether anybody drives.
    until
        What to wait for; None: the verdict.
    timeout
        Seconds to wait at most; None: as long as it takes.
    """

    def __init__(
        self,
        home: Home,
        path: Path,
        plan: Plan,
        signs: Signs,
        *,
        until: Until | None = None,
        timeout: float | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.plan = plan
        self.tape = Tape(plan)
        self.stop: Stop | None = None
        self.driver = ""
        """Who drives, in a sentence, as of the latest news."""
        self.began_at = lines.begun(path)
        """Unix time at which the rollout began."""
        self._directory = home.rollouts(plan.model)
        self._follower = lines.Follower(path)
        self._signs, self._until, self._timeout = signs, until, timeout
        self._clock, self._sleep = clock, sleep
        self._began = clock()
        self._lonely = 0
        self._home = home
        self._driven_by: Pulse | None = None

    def news(self) -> Iterator[News]:
        """What is new: at once what there is, then what comes; ends when `stop` says why."""
        records, past = self._follower.begin(LOOKS), True
        while self.stop is None:
            # The lock is looked at first: whoever lets go of it has written everything before.
            pulse = self._signs.pulse(self._directory)
            if not pulse.alive:
                self._signs.wait(ENGINE_SECONDS)
                pulse = self._signs.pulse(self._directory)
            self._lonely = 0 if pulse.alive else self._lonely + 1
            self._driven_by = pulse if pulse.alive else self._driven_by
            moments = list(filter(None, map(of_record, records)))
            fresh = [(record, of_record(record)) for record in self._follower.more()]
            notes = [(float(r["at"]), str(r["note"])) for r, _ in fresh if r.get("kind") == "note" and "note" in r]
            moments += [moment for _, moment in fresh if moment is not None]
            for moment in moments:
                self.tape.add(moment)
            # What was reached and left again before this began does not count.
            counted = moments[-1:] if past else moments
            reached = self._until is not None and any(self._until.reached(each, self.plan) for each in counted)
            self.stop = self._why(pulse, reached=reached)
            self.driver = self._driver(pulse)
            yield News(tuple(moments), tuple(notes), past, pulse.alive, self.driver, self._follower.damaged)
            records, past = [], False
            if self.stop is None:
                self._sleep(POLL_SECONDS)

    @property
    def ended(self) -> bool:
        """Nothing more will happen: nobody needs to drive."""
        return self.tape.now is not None and self.tape.now.state.final

    @property
    def superseded(self) -> bool:
        """Another version became the candidate meanwhile, and the policy lets that one begin in its turn."""
        moment, plan = self.tape.now, self.plan
        return (
            self.stop is Stop.ENDED
            and moment is not None
            and moment.state.outcome is Outcome.ABORTED
            and plan.on_new_candidate == "restart"
            and moment.state.reason.startswith(f"{plan.candidate_reference} names ")
        )

    def next(self) -> Path | None:
        """The journal of the rollout that comes after one that was superseded; None when none comes.

        Waits for it as long as the command that drove this one lives (it evaluates first, maybe), and the timeout.
        """
        if not self.superseded:
            return None
        path, ended = self._follower.path, self._clock()
        while True:
            lives = self._lives(self._clock() - ended)  # looked at first: whoever ends has begun before
            latest = lines.latest(self._home, self.plan.model)
            if latest is not None and latest != path:
                return latest
            if not lives or self.left == 0:
                return None
            self._sleep(POLL_SECONDS)

    @property
    def left(self) -> float | None:
        """Seconds of the timeout that are left; None without one."""
        return None if self._timeout is None else max(0.0, self._timeout - (self._clock() - self._began))

    def _lives(self, waited: float) -> bool:
        """Whether the command that drove this rollout runs, as far as that can be seen."""
        last = self._driven_by
        if last is None:
            return False
        if last.holder is None:
            return waited < NEXT_SECONDS
        try:
            os.kill(last.holder.pid, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            return True
        return True

    def _why(self, pulse: Pulse, *, reached: bool) -> Stop | None:
        moment = self.tape.now
        if reached:
            return Stop.REACHED
        if self.ended:
            return Stop.ENDED
        if moment is not None and moment.ended and not pulse.alive and not (self._until and self._until.text == "end"):
            return Stop.ENDED
        if self._timeout is not None and self._clock() - self._began >= self._timeout:
            return Stop.TIMED_OUT
        patient = self._until is not None or self._timeout is not None
        return Stop.UNATTENDED if self._lonely >= PATIENCE and not patient else None

    def _driver(self, pulse: Pulse) -> str:
        moment, now = self.tape.now, self._clock()
        if self.ended:
            return ""
        return sentence(
            pulse,
            model=self.plan.model,
            policy=self.plan.policy_path,
            silent=now - (moment.at if moment is not None else self.began_at),
            exposed=moment is not None and moment.state.phase in (Phase.STEPPING, Phase.PAUSED, Phase.PROMOTING),
        )
