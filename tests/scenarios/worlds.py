"""The worlds that a story is told in: fake time, processes of this machine, containers. The story is the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from mlship.engines import processes
from mlship.engines.base import Engine
from mlship.engines.docker import DockerEngine, world
from mlship.engines.front import Front
from mlship.engines.local import LocalEngine
from mlship.engines.options import Setup
from mlship.engines.start import Command
from mlship.home import Home
from mlship.rollout.judge import Guards
from mlship.rollout.plan import PlanStep, StepKind
from mlship.rollout.state import Order
from mlship.types import Fault, LedgerEntry, Release, Routes, ServerState
from tests.engines import docker_support, support
from tests.engines.support import Callers
from tests.fakes.engine import Behaviour, FakeEngine
from tests.fakes.rollout import MODEL, PLAN, Audience, Stage, digest
from tests.fakes.rollout import release as fake_release

#: Seconds that callers wait for an answer: a machine that stands still for a while has lost nobody's request.
PATIENCE = 20.0


@dataclass
class World:
    """An engine that serves version 1 to constant callers, and everything that a rollout needs around it."""

    stage: Stage
    release: Callable[[str], Release]
    pace: float
    """Seconds of a bake."""
    requests: int
    calls: Callers | None = None
    before: int = 0
    """Answers that callers had before this story."""

    @property
    def engine(self) -> Engine:
        return self.stage.engine

    @property
    def real(self) -> bool:
        return self.calls is not None

    def server(self, version: str) -> str:
        return self.release(version).server

    def step(self, weight: float) -> PlanStep:
        return PlanStep(weight, self.pace, self.requests)

    def mirror(self, share: float = 1.0) -> PlanStep:
        return PlanStep(0.0, self.pace, self.requests, StepKind.MIRROR, mirror=share)

    def testers(self) -> PlanStep:
        return PlanStep(0.0, self.pace, 1, StepKind.TESTERS, testers=("x-canary", "1"))

    def plan(self, candidate: str, *steps: PlanStep, champion: str = "1", **changes: object) -> None:
        """What the next rollouts do."""
        self.stage.registry.aliases |= {"champion": champion, "challenger": candidate}
        self.stage.plan = replace(
            PLAN,
            canary=self.release(candidate),
            stable=self.release(champion),
            steps=steps or (self.step(0.2), self.step(0.5)),
            guards=Guards(errors=1.25),
            **{"deadline": 300, "lease": 30.0, **changes},  # type: ignore[arg-type]  # fields of a plan
        )

    def order_at(self, look: int, order: Order) -> None:
        """A person gives an order after that look."""

        def write(number: int) -> None:
            if number == look:
                self.stage.order(order)

        self.stage.audience = Audience(at_look=write)

    def kill(self, version: str) -> None:
        """Its server dies at once."""
        if isinstance(self.engine, FakeEngine):
            self.engine.kill(self.server(version))
        else:
            self.engine.fail(self.server(version), Fault.KILL, 0)

    def until_ready(self, version: str) -> None:
        """Its server has come back from an accident."""
        for _ in range(600):
            if self.engine.servers()[self.server(version)].state is ServerState.READY:
                return
            self.stage.rest(0.05)
        raise AssertionError(f"version {version} does not come back")

    def until_served(self) -> None:
        """After an outage: callers have had good answers only for a while, so none is under way from before."""
        for _ in range(100 if self.calls is not None else 0):
            assert self.calls is not None
            known = len(self.calls.answers)
            self.calls.more(40)
            if all(answer.status == 200 for answer in self.calls.answers[known:]):
                return
        assert self.calls is None, "callers go on losing requests"

    def settle(self) -> None:
        """Callers have had answers of the world as it is now."""
        if self.calls is not None:
            self.calls.more(20)
        else:
            self.stage.clock.sleep(5.0)

    def quiet(self, *, quiet: bool) -> None:
        """Nobody calls, for a while."""
        if self.calls is not None:
            self.calls.pause = 3600.0 if quiet else 0.004
        else:
            cast(FakeEngine, self.engine).rate = 0.0 if quiet else 200.0

    def lost(self) -> list[object]:
        """What callers did not get a good answer to in this story, of the real ones."""
        answers = self.calls.answers[self.before :] if self.calls is not None else []
        return [answer for answer in answers if answer.status != 200]

    def begin(self) -> None:
        """A new story: what callers lost before is not its fault."""
        self.before = len(self.calls.answers) if self.calls is not None else 0

    def servers(self) -> set[str]:
        return set(self.engine.servers())

    def has(self) -> dict[str, int]:
        """How many things of each kind the engine has of its own in the world; none on fake time."""
        if isinstance(self.engine, LocalEngine):
            pids = processes.marked(self.engine.directory)
            return {"processes": len(pids), "ports": len(_listening(pids)), "files": _files(self.engine.directory)}
        if isinstance(self.engine, DockerEngine):
            left = world.left(self.engine.site.client, self.engine.site.names)
            images = self.engine.site.client.api.images(filters={"dangling": False})
            clusters = self.engine.site.router.admin.clusters()
            return {"containers, networks, volumes": len(left), "images": len(images), "clusters": len(clusters)}
        return {}


def _listening(pids: list[int]) -> set[str]:
    """Sockets of these processes on which somebody listens."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A"}
    found = set[str]()
    for pid in pids:
        with suppress(OSError):  # it has ended meanwhile
            found |= {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()} & listening
    return found


def _files(directory: Path) -> int:
    """Files that the engine works with; logs stay."""
    return sum(1 for path in directory.rglob("*") if path.is_file() and "logs" not in path.parts)


@contextmanager
def fake(path: Path) -> Iterator[World]:
    stage = Stage(path, vworse=Behaviour(errors=1.0), vworse2=Behaviour(errors=1.0))
    stage.registry.digests |= {version: digest(version) for version in ("worse", "worse2")}
    stage.serve_stable()
    yield World(stage, fake_release, 3.0, 50)


@contextmanager
def local(path: Path, command: Command = support.standin) -> Iterator[World]:
    setup = Setup(Front(f"127.0.0.1:{support.free_port()}", PATIENCE))
    engine = LocalEngine(Home(path / ".mlship"), "m", setup, command=command)
    try:
        with _real(path, engine, _local_release) as found:
            yield found
    finally:
        engine.down()
        assert processes.marked(engine.directory) == []


@contextmanager
def docker(path: Path) -> Iterator[World]:
    with (
        docker_support.ended(docker_support.docker_engine(path, timeout=PATIENCE)) as engine,
        _real(path, engine, docker_support.release) as found,
    ):
        yield found


@contextmanager
def _real(path: Path, engine: Engine, release: Callable[[str], Release]) -> Iterator[World]:
    stage = Stage(path)
    stage.engine = cast(FakeEngine, engine)  # what a fake can do besides is not asked of it
    stage.now, stage.rest, stage.interval = time.time, time.sleep, 0.1
    for version in ("1", "2", "3", "worse", "worse2"):
        one = release(version)
        stage.registry.digests[version] = one.digest
        if one.image:
            built = {"model": one.digest, "image": one.image}
            stage.ledger.append(LedgerEntry(time.time(), "ci", "built", MODEL, None, version, "built", built))
    one = release("1")
    engine.wait_ready(engine.deploy(one), 20)
    support.routed(engine, Routes(one.server))
    with Callers(f"{engine.address}/invocations", headers={"x-canary": "0"}) as calls:
        yield World(stage, release, 0.4, 15, calls)


def _local_release(version: str) -> Release:
    return support.release(version)


#: Every world, by its name.
WORLDS = {"fake": fake, "local": local, "docker": docker}
