"""Random rollouts under random faults with real processes: router, process manager, servers, and the controller itself.

`python -m tests.faults.random_run --real 20 --seed 1` runs it. Every controller is a process, and is killed with
SIGKILL. `python -m tests.faults.real_run DIRECTORY PORT` is that controller; it prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlship.engines import processes
from mlship.errors import EngineError, MlshipError, UsageError
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.rollout import journal, lock, offline, warm
from mlship.rollout.mailbox import Mailbox
from mlship.rollout.plan import PlanStep
from mlship.rollout.state import Order
from mlship.rollout.views import RolloutView
from mlship.types import Fault, Release, Routes, ServerState
from tests.engines.support import Callers, behave, free_port, pid_of, routed
from tests.rollout import worker
from tests.rollout.worker import MODEL

STEPS = (PlanStep(0.2, 1.2, 20), PlanStep(0.5, 1.2, 40))
#: Runs of the same command with faults, before a person lets it come to its end.
ATTEMPTS = 3
#: Seconds that one run of the command may take.
PATIENCE = 90
#: What may happen, and whether requests may be lost by it: without router or stable nobody can answer.
KINDS = {
    "controller killed": False,
    "canary killed": False,
    "canary hangs": False,
    "guardian killed": False,
    "process manager killed": False,
    "second controller": False,
    "turns bad": False,
    "order pause": False,
    "order resume": False,
    "order promote": False,
    "order abort": False,
    "router killed": True,
    "stable killed": True,
}


@dataclass
class Trial:
    """One rollout under faults, in a directory of its own."""

    directory: Path
    dice: random.Random
    faults: Counter[str]
    ends: Counter[str]
    bad: bool = False
    excused: bool = False
    """Something was killed without which nobody can answer."""
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.port = free_port()
        self.engine = worker.local_engine(self.directory, self.port)
        self.home = Home(self.directory / ".mlship")
        self.registry = worker.FileRegistry(self.directory / "registry.json")
        self.one, self.two = (Release(MODEL, each, worker.digest(each), self.directory) for each in "12")

    def run(self) -> None:
        """Attempts under faults, then one without, then every promise."""
        self.engine.wait_ready(self.engine.deploy(self.one), 30)
        routed(self.engine, Routes(self.one.server))
        with Callers(f"{self.engine.address}/invocations") as callers:
            for _ in range(ATTEMPTS):
                self._attempt()
                if self._over():
                    break
            if not self._over():
                with self._controller() as process:
                    self._read(process)
            if not self._over():
                self._abort()
            assert self._over(), "it comes to an end"
            self._check()
            if not self.excused:
                assert callers.lost == [], f"{len(callers.lost)} of {len(callers.answers)} requests lost"
            here = len(callers.answers)
            callers.more(40)
            assert [answer for answer in callers.answers[here:] if answer.status != 200] == []

    def _attempt(self) -> None:
        with self._controller() as process:
            deadline = time.monotonic() + self.dice.choice((1.0, 20.0, 20.0))  # sometimes before there is anything
            while not self._begun() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            for _ in range(self.dice.randint(1, 5)):
                time.sleep(self.dice.uniform(0.0, 0.7))
                if process.poll() is None:
                    self._happen(self.dice.choice(list(KINDS)), process)
            time.sleep(self.dice.uniform(0.2, 1.0))
            if process.poll() is None and self._paused():
                self._happen("order resume", process)
            self._read(process)

    @contextmanager
    def _controller(self) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.real_run", str(self.directory), str(self.port)],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def _read(self, process: subprocess.Popen[str]) -> None:
        """How this run of the command ended: by a kill, a verdict, or one clear error."""
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the command hangs; the journal says {self._view()}") from None
        if process.returncode == -signal.SIGKILL:
            assert lock.holder(self.home.rollouts(MODEL)) is None, "the kernel has dropped the lock"
            return
        assert "Traceback" not in err, err
        told = json.loads(out)
        assert process.returncode in range(6)
        self.ends[told.get("verdict") or f"ended by {told['error']}"] += 1
        self.said.append(told["reason"])

    def _happen(self, what: str, process: subprocess.Popen[str]) -> None:
        """A fault of that kind, now, if there is something that it can happen to."""
        if what.startswith("order "):
            Mailbox(self.home.rollouts(MODEL) / "mailbox").post(Order(what.removeprefix("order ")), "alice")
        elif what == "controller killed":
            process.send_signal(signal.SIGKILL)
        elif what == "second controller":
            self._second()
        else:
            try:
                self._accident(what)
            except (EngineError, OSError, KeyError, ValueError):
                return  # it was not there
        self.excused |= KINDS[what]
        self.faults[what] += 1

    def _accident(self, what: str) -> None:
        engine, name = self.engine, what.rpartition(" ")[0]
        if what == "turns bad":
            behave(engine, self.two.server, "500")
            self.bad = True
        elif what == "canary hangs":
            engine.fail(self.two.server, Fault.HANG, 0.4)
        elif what == "process manager killed":
            os.kill(int((engine.directory / "supervisord.pid").read_text()), signal.SIGKILL)
            self.excused = True  # the next run of the command has to start all anew
        elif name in ("canary", "stable"):
            engine.fail((self.two if name == "canary" else self.one).server, Fault.KILL, 0)
        else:
            os.kill(pid_of(engine, {"router": "envoy"}.get(name, name)), signal.SIGKILL)

    def _second(self) -> None:
        with self._controller() as other:
            out, err = other.communicate(timeout=PATIENCE)
        assert "Traceback" not in err, err
        told = json.loads(out)
        refused = "running already" in told["reason"] or "moves this endpoint" in told["reason"]
        assert refused or lock.holder(self.home.rollouts(MODEL)) is None, told  # the first may have ended meanwhile
        if not refused:
            self.ends[told.get("verdict") or f"ended by {told['error']}"] += 1

    def _view(self) -> RolloutView | None:
        return journal.latest(self.home, MODEL)

    def _begun(self) -> bool:
        with suppress(EngineError):
            routes = self.engine.routes()
            return routes is not None and routes.canary is not None
        return False

    def _paused(self) -> bool:
        view = self._view()
        return view is not None and view.phase == "paused"

    def _over(self) -> bool:
        view = self._view()
        return view is not None and view.phase == "done"

    def _abort(self) -> None:
        with suppress(UsageError):  # it is over after all
            offline.abort(
                self.home, MODEL, "alice", engine=self.engine, registry=self.registry, ledger=Ledger(self.home.ledger)
            )

    def _check(self) -> None:
        """Alias, route and ledger tell the same; nothing is left behind; what was bad all along is not champion."""
        view, champion = self._view(), self.registry.alias(MODEL, "champion")
        assert view is not None
        actions = [entry.action for entry in Ledger(self.home.ledger).entries(MODEL)]
        late = view.reason.startswith("not started: ")  # a second controller, when the first had just promoted
        assert late or actions.count(str(view.outcome)) == 1, f"{view.outcome}, and the ledger tells {actions}"
        serving = {"1": self.one, "2": self.two}[str(champion)].server
        deadline = time.monotonic() + 20
        while True:
            with suppress(EngineError):
                if self.engine.routes() == Routes(serving) and self._ready(serving):
                    break
            assert time.monotonic() < deadline, f"@champion {champion}, {self.engine.routes()}"
            time.sleep(0.1)
        assert ("promoted" in actions) == (champion == "2"), f"{actions}, and @champion is {champion}"
        kept = set(warm.listed(self.home.rollouts(MODEL)))
        assert set(self.engine.servers()) <= {serving} | kept, "servers left behind"
        lease = self.engine.lease()
        assert lease is None or not lease.owner or lock.holder(self.home.rollouts(MODEL)) is None

    def _ready(self, server: str) -> bool:
        return self.engine.servers()[server].state is ServerState.READY


def rollouts(
    count: int, seed: int, faults: Counter[str], ends: Counter[str], say: Callable[[str], object]
) -> list[str]:
    """So many random rollouts with real processes; names of those that broke a promise."""
    broken = []
    for number in range(count):
        name = f"real-{seed}-{number}"
        with tempfile.TemporaryDirectory(prefix="mlship-real-") as directory:
            trial = Trial(Path(directory), random.Random(name), faults, ends)
            try:
                trial.run()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a broken promise
                broken.append(name)
                say(f"rollout {name}: {type(error).__name__}: {error}; {trial.said}")
            finally:
                trial.engine.down()
                if left := processes.marked(trial.engine.directory):
                    broken.append(name)
                    say(f"rollout {name}: processes are left: {left}")
    return broken


def main(directory: Path, port: int) -> int:
    """The controller: a verdict or an error as one line of JSON, and its exit code."""
    try:
        result = worker.controller(directory, port, STEPS).run()
    except MlshipError as error:
        sys.stdout.write(json.dumps({"error": type(error).__name__, "reason": str(error)}) + "\n")
        return int(error.exit_code)
    sys.stdout.write(json.dumps({"verdict": result.verdict, "reason": result.reason}) + "\n")
    return int(result.exit_code)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
