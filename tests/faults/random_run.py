"""Random rollouts under random faults; after each, every promise that concerns rollouts is checked.

`python -m tests.faults.random_run --rollouts 200 --seed 1` on fake time; `--real 20` on the local engine with real
processes. Prints how many faults of each kind were survived, and one JSON object last; exit code 1 names the seeds of
rollouts that broke a promise.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from mlship.errors import EngineError, MlshipError, MovedError, RegistryError, UsageError
from mlship.rollout import journal, judge, machine, warm
from mlship.rollout.judge import Guards
from mlship.rollout.plan import Plan, PlanStep, StepKind
from mlship.rollout.state import Order, Outcome
from mlship.types import Routes, Scrape
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, PLAN, Stage, release
from tests.faults import real_run
from tests.faults.audit import (
    AuditedEngine,
    credited_no_more_than_sent,
    nobody_homeless,
    weight_never_rose_against_evidence,
)
from tests.faults.disk import Disk
from tests.faults.fuse import Fuse, Killed, guard_files, guard_world
from tests.faults.story import abort, staged

HOUR = 3600.0
#: Runs of the same command with faults, before the faults end.
ATTEMPTS = 6
#: Looks of one run after which its controller hangs for good: on fake time nobody would notice.
ENOUGH = 400


class Hung(BaseException):
    """This controller has had its looks; it is killed, and the next attempt begins."""


@dataclass
class Tally:
    """How many of each have happened."""

    faults: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    looks: int = 0


def plan(dice: random.Random) -> Plan:
    """A random policy."""
    steps: list[PlanStep] = []
    if dice.random() < 0.3:
        steps.append(PlanStep(0.0, dice.choice((3, 10)), 20, StepKind.MIRROR, mirror=dice.choice((0.1, 1.0))))
    if dice.random() < 0.2:
        steps.append(PlanStep(0.0, 3, 5, StepKind.TESTERS, testers=("x-canary", "1")))
    for weight in sorted(dice.sample((0.01, 0.05, 0.1, 0.25, 0.5, 1.0), dice.randint(1, 3))):
        steps.append(PlanStep(weight, dice.choice((0, 3, 10)), dice.choice((1, 50, 300))))
        last = steps[-1]
        if dice.random() < 0.15:
            expiry = dice.choice(("pause", "abort"))
            steps.append(replace(last, seconds=0, requests=0, kind=StepKind.APPROVE, within=30, expiry=expiry))
        if dice.random() < 0.15:
            steps.append(replace(last, seconds=5, requests=0, kind=StepKind.PAUSE))
    guards = Guards(
        errors=1.25,
        timeouts=dice.choice((None, 1.25)),
        latency=dice.choice((None, 1.25)),
        certify=dice.choice(((), (("errors", 3.0),))),
        negligible=0.01,
    )
    return replace(
        PLAN,
        steps=tuple(steps),
        guards=guards,
        deadline=dice.choice((40, 120)),
        keep_warm=dice.choice((0, 60, 3600)),
        lease=dice.choice((5, 30, 60)),
        on_inconclusive=dice.choice(("pause", "pause", "promote", "rollback")),
    )


def behaviour(dice: random.Random) -> tuple[str, Behaviour]:
    """A random candidate, and what it is."""
    return dice.choice(
        (
            ("good", Behaviour()),
            ("good", Behaviour()),
            ("better", Behaviour(errors=0.0, latency_ms=12)),
            ("a bit worse", Behaviour(errors=0.02)),
            ("slow", Behaviour(latency_ms=60)),
            ("bad", Behaviour(errors=0.6)),
            ("out", Behaviour(errors=1.0)),
        )
    )


class Trial:
    """One rollout under faults."""

    def __init__(self, path: Path, seed: str, tally: Tally, patch: pytest.MonkeyPatch) -> None:
        self.dice, self.tally = random.Random(seed), tally
        self.kind, canary = behaviour(self.dice)
        self.stage = staged(path, plan(self.dice), v2=canary)
        self.engine = self.stage.engine
        assert isinstance(self.engine, AuditedEngine)
        self.audit: AuditedEngine = self.engine
        self.engine.rate = self.dice.choice((30.0, 200.0, 1000.0))
        self.engine.lag = self.dice.choice((0.0, 0.0, 0.5))
        self.stable, self.canary = release("1").server, release("2").server
        self.offset = 0.0
        self.by_hand = self.moved = self.calm = False
        self.excuse = ""
        self.stage.now = lambda: self.stage.clock() + self.offset
        self.disk = Disk(self.stage.home.path, patch)
        self._line()
        self.fuse = Fuse()
        guard_files(self.fuse, patch)
        guard_world(self.fuse, self.stage)
        self.looks = 0
        self.stage.audience.at_look = self._look

    def _line(self) -> None:
        """What lies between the controller and the world: it may fail, and it stamps counters with a wall clock."""
        self.broken: dict[str, int] = {"engine": 0, "registry": 0}
        for target, kind, names, error in (
            (self.engine, "engine", ("deploy", "route", "routes", "scrape", "servers", "stop", "hold"), EngineError),
            (self.stage.registry, "registry", ("alias", "version", "move_alias"), RegistryError),
        ):
            for name in names:
                setattr(target, name, self._fragile(kind, getattr(target, name), error))
        scrape = self.engine.scrape

        def stamped() -> Scrape:
            found = scrape()
            return replace(found, at=found.at + self.offset)

        self.engine.scrape = stamped  # type: ignore[method-assign]  # counters are stamped by the same wall clock

    def _fragile(self, kind: str, call: Callable[..., Any], error: type[MlshipError]) -> Callable[..., Any]:
        def asked(*args: Any, **kwargs: Any) -> Any:
            if self.broken[kind] > 0 and not self.calm:
                self.broken[kind] -= 1
                self.tally.faults[f"{kind} away"] += 1
                if self.dice.random() < 0.3:
                    call(*args, **kwargs)  # it did as told, and the answer was lost
                raise error(f"the {kind} does not answer", hint="is it up?")
            return call(*args, **kwargs)

        return asked

    def happen(self, what: str) -> None:
        """A fault of that kind, now."""
        if what.startswith("order "):
            order = Order(what.removeprefix("order "))
            self.by_hand |= order in (Order.PROMOTE, Order.PROMOTE_FULL)
            self.stage.order(order)
            self.tally.faults[what] += 1
        elif getattr(self, f"_{what.replace(' ', '_')}")():
            self.tally.faults[what] += 1

    # Each is one kind of fault, and tells whether it was there to happen (and has not been counted elsewhere).

    def _up(self, server: str) -> bool:
        found = self.engine._processes.get(server)
        return found is not None and not found.dead and not found.stopped

    def _canary_killed(self) -> bool:
        if up := self._up(self.canary):
            self.engine.kill(self.canary)
        return up

    def _stable_hangs(self) -> bool:
        if up := self._up(self.stable):
            self.engine._processes[self.stable].away_until = self.stage.clock() + self.dice.choice((1, 5))
        return up

    def _counters_reset(self) -> bool:
        if up := self._up(self.canary):
            self.engine.restart(self.dice.choice((self.canary, self.stable)))
        return up

    def _counters_hidden(self) -> bool:
        self.engine.hidden = {self.canary, self.stable} if self.dice.random() < 0.5 else {self.canary}
        return True

    def _clock_set(self) -> bool:
        self.offset += self.dice.choice((-5, -0.02, 0.02, 5, 24 * 30)) * HOUR
        return True

    def _disk_full(self) -> bool:
        self.disk.full_at = self.disk.count + self.dice.randint(1, 4)
        return True

    def _disk_full_in_a_write(self) -> bool:
        self.disk.short = True
        return self._disk_full()

    def _engine_away(self) -> bool:
        self.broken["engine"] = self.dice.randint(1, 7)
        return False

    def _registry_away(self) -> bool:
        self.broken["registry"] = self.dice.randint(1, 7)
        return False

    def _controller_hangs(self) -> bool:
        self.stage.clock.sleep(self.dice.choice((3.0, self.stage.plan.lease + 4)))
        return True

    def _turns_bad(self) -> bool:
        self.engine.change("2", errors=0.7)
        self.kind = "turned bad"
        return True

    def _second_controller(self) -> bool:
        stage, other = self.stage, Stage(self.stage.home.path.parent)
        other.plan, other.engine, other.registry, other.clock = stage.plan, stage.engine, stage.registry, stage.clock
        with pytest.raises(MlshipError, match="running already"):
            other.run()
        return True

    def _champion_moved_by_others(self) -> bool:
        self.stage.registry.aliases["champion"] = "3"
        self.moved = True
        return True

    def _newer_candidate(self) -> bool:
        self.stage.registry.aliases["challenger"] = "3"
        self.moved = True
        return True

    def _look(self, _number: int) -> None:
        self.looks += 1
        self.tally.looks += 1
        if self.looks > ENOUGH:
            raise Hung
        if self.calm:
            return
        if self.engine.hidden and self.dice.random() < 0.2:
            self.engine.hidden = set()
        if self.dice.random() < self.rate:
            self.happen(self.dice.choice(KINDS))

    def attempt(self) -> bool:
        """One run of the command; whether nothing more is to be done."""
        dice, stage = self.dice, self.stage
        self.looks, self.rate = 0, dice.choice((0.0, 0.03, 0.15))
        killed_at = dice.randint(1, 300) if not self.calm and dice.random() < 0.5 else -1
        self.fuse.arm(killed_at)
        self.audit.watched = True
        try:
            result = stage.run()
        except (Killed, Hung):
            if self.fuse.dead:
                self.tally.faults["controller killed"] += 1
            self.fuse.dead = False
            self.engine.bury()
            if not self.calm and dice.random() < 0.3:
                self._tear()
            done = False
        except MlshipError as error:
            _is_told(error)
            self.tally.ends[f"ended by {type(error).__name__}"] += 1
            done = isinstance(error, MovedError)
        else:
            done = result.verdict != "paused"
        finally:
            self.fuse.arm()
            self.engine._advance()
            self.audit.watched = False
        self.disk.free()
        self.disk.short = False
        self.engine.hidden = set()
        stage.clock.sleep(dice.choice((0.5, 10.0, 200.0)))
        self._guardian()
        return done and self.over()

    def _guardian(self) -> None:
        """Nobody watches for longer than the lease: everything is back on stable."""
        self.engine._advance()
        lease, routes = self.engine._view(), self.engine._routes
        if lease is not None and lease["silent"] > lease["seconds"] + 2 and routes is not None:
            assert routes == Routes(routes.stable), f"{lease['silent']:.0f} s without a controller, and {routes}"

    def _tear(self) -> None:
        """A crash of the machine: the last write is not whole."""
        current = journal.current(self.stage.home, MODEL)
        if current is not None and current.path.stat().st_size > 8000:
            whole = current.path.read_bytes()
            keep = max(whole.find(b"\n") + 1, len(whole) - self.dice.randint(1, 900))
            if b"\n" not in whole[keep:-1]:
                current.path.write_bytes(whole[:keep])
                self.tally.faults["journal torn"] += 1

    def over(self) -> bool:
        view = journal.latest(self.stage.home, MODEL)
        return view is not None and view.phase == "done"

    def run(self) -> None:
        """Attempts under faults, then without; then every promise."""
        for _ in range(ATTEMPTS):
            if self.attempt():
                break
        self.calm = True
        if not self.over() and self.dice.random() < 0.7:
            self.attempt()
        if not self.over():
            self._abort()
        assert self.over(), "it comes to an end"
        self.check()

    def _abort(self) -> None:
        """A person ends it; a promotion that has gone too far for that is completed by the same command first."""
        self.audit.watched, self.looks = True, 0
        try:
            abort(self.stage)
        except UsageError as error:
            assert "is being promoted already" in error.what  # noqa: PT017 - any other refusal is a broken promise
            self.attempt()

    def check(self) -> None:
        """Every promise of product.md that concerns rollouts."""
        stage, engine = self.stage, self.engine
        current = journal.current(stage.home, MODEL)
        assert current is not None
        story = journal.story(current)
        outcome, routes = story.state.outcome, engine._routes
        actions = [action for action, _, _ in stage.actions()]
        assert outcome is not None
        self.tally.ends[outcome.value] += 1
        # 2, 3: what convicted is never promoted, no data is never a pass, a weight never rises against the evidence.
        weight_never_rose_against_evidence(stage)
        credited_no_more_than_sent(stage)
        if outcome is Outcome.PROMOTED and not self.by_hand:
            self._earned(story)
        if outcome is Outcome.PROMOTED:
            assert self.kind not in ("bad", "out") or self.by_hand, f"a candidate that is {self.kind} was promoted"
        # 1: alias and route agree, unless somebody else moved the alias, which is told.
        assert routes is not None
        champion = stage.registry.aliases["champion"]
        if not self.moved or outcome is Outcome.PROMOTED:
            assert engine._processes[routes.stable].release.version == champion, f"@champion {champion}, {routes}"
        assert actions.count(outcome.value) == 1, f"the ledger tells it once: {actions}"
        assert actions.count("promoted") == (outcome is Outcome.PROMOTED)
        # 4, 5: stable serves alone, nobody was given to a server that is gone, nothing is left behind.
        assert routes == Routes(routes.stable), f"what is over leaves no canary, mirror or header: {routes}"
        assert nobody_homeless(stage)
        assert not engine._processes[routes.stable].stopped
        running = {name for name, found in engine._processes.items() if not found.stopped}
        kept = set(warm.listed(stage.home.rollouts(MODEL)))
        left = running - {routes.stable} - kept - ({self.stable} if self.moved else set())
        assert not left, f"left behind: {left}"
        lease = engine._view()
        assert lease is None or not lease["owner"] or lease["owner"] in engine.gone, "the lease was given up"

    def _earned(self, story: journal.Story) -> None:
        passed = machine.entered(story.state)
        assert len(passed) == len(story.plan.steps), "every step was gone through"
        for step, (_, seconds, requests) in zip(story.plan.steps, passed, strict=True):
            if step.bakes:
                assert seconds >= step.seconds - 1e-6
                assert requests >= max(1, step.requests)
        if story.evidence is not None and not story.state.unproved:
            assert not judge.unproved(story.evidence)


#: What may happen at a look.
KINDS = (
    "canary killed",
    "stable hangs",
    "counters reset",
    "counters hidden",
    "counters hidden",
    "clock set",
    "clock set",
    "disk full",
    "disk full in a write",
    "engine away",
    "engine away",
    "registry away",
    "registry away",
    "controller hangs",
    "controller hangs",
    "turns bad",
    "second controller",
    "champion moved by others",
    "newer candidate",
    *(f"order {order.value}" for order in Order),
)


def rollouts(count: int, seed: int, say: Callable[[str], object] = lambda _text: None, *, first: bool = False) -> Tally:
    """So many random rollouts on fake time; what happened in them, and the seeds of those that broke a promise.

    With `first` it ends at the first of these.
    """
    tally = Tally()
    for number in range(count):
        if first and tally.broken:
            break
        name = f"{seed}-{number}"
        directory = Path(tempfile.mkdtemp(prefix="mlship-random-"))
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "fsync", lambda _descriptor: None)  # nobody pulls the plug of this machine
                Trial(directory, name, tally, patch).run()
        except Exception:  # noqa: BLE001 - whatever it is, it is a broken promise: no traceback may reach a person
            tally.broken.append(name)
            say(f"rollout {name}:\n{traceback.format_exc()}")
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    return tally


def _is_told(error: MlshipError) -> None:
    """Every error says what happened, and ends with a documented exit code."""
    assert error.what
    assert int(error.exit_code) in range(6)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="the one rollout of this name, such as 1-17")
    parser.add_argument("--real", type=int, default=0, help="so many with real processes, and none on fake time")
    arguments = parser.parse_args()
    began = time.monotonic()
    if arguments.only:
        tally = Tally()
        with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as directory:
            Trial(Path(directory), arguments.only, tally, patch).run()
    elif arguments.real:
        tally, arguments.rollouts = Tally(), arguments.real
        tally.broken = real_run.rollouts(
            arguments.real, arguments.seed, tally.faults, tally.ends, lambda text: sys.stderr.write(f"{text}\n")
        )
    else:
        tally = rollouts(arguments.rollouts, arguments.seed, lambda text: sys.stderr.write(f"{text}\n"))
    seconds = time.monotonic() - began
    told = [f"{many:6,}  {name}" for name, many in sorted(tally.faults.items())]
    looks = f"{tally.looks:,} looks of " if tally.looks else ""
    told.append(f"{sum(tally.faults.values()):6,}  faults survived, in {looks}{arguments.rollouts} rollouts")
    told += [f"{many:6,}  {name}" for name, many in sorted(tally.ends.items())]
    figures = {"faults": tally.faults, "ends": tally.ends, "broken": tally.broken, "seconds": round(seconds, 1)}
    sys.stdout.write("\n".join([*told, json.dumps(figures)]) + "\n")
    return 1 if tally.broken else 0


if __name__ == "__main__":
    sys.exit(main())
