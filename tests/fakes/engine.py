"""A working engine without processes: fake time, seeded traffic, and servers that behave as a script says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from mlship.engines.front import Front
from mlship.engines.lease import is_dead, lost, to_lease
from mlship.errors import EngineError
from mlship.guardian import lease as guardian
from mlship.guardian.watch import LOOK_SECONDS, decide
from mlship.types import (
    LATENCY_BOUNDS_MS,
    Counts,
    Fault,
    Labelled,
    Lease,
    Release,
    Routes,
    Scrape,
    Server,
    ServerCounters,
    ServerState,
)
from tests.fakes.speech import Speech, both

#: Seconds of label counts that a server remembers.
LABEL_SECONDS = 900


class FakeClock:
    """Time that passes only when somebody sleeps. Calling it tells the time; `sleep` lets it pass."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self.now = start

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(0.0, seconds)


@dataclass(frozen=True)
class Behaviour:
    """How the server of one version behaves."""

    errors: float = 0.005
    """Share of requests that it answers with 5xx."""
    latency_ms: float = 20.0
    """Median of its log-normal latency."""
    sigma: float = 0.4
    wrong: float = 0.1
    """Share of labelled requests whose prediction was wrong."""
    labelled: float = 0.0
    """Share of requests that get a label."""
    label_delay: float = 2.0
    starts_in: float = 0.5
    dies: str = ""
    """Why it never becomes ready; empty when it does."""
    timeouts: float = 0.0
    """Share of requests that it does not answer in time; they are errors, on top of the others."""
    classes: dict[str, float] = field(default_factory=dict, hash=False)
    """What it predicts: classes with their shares. Without, and without scores, it tells no predictions."""
    score_mean: float | None = None
    score_sd: float = 0.1
    disagree: float = 0.0
    """Share of the mirrored requests that it answers otherwise than stable."""
    refuses: float = 0.0
    """Share of the requests that it answers with 4xx, of those that do not fail."""

    @property
    def tells(self) -> bool:
        return bool(self.classes) or self.score_mean is not None

    @property
    def score(self) -> tuple[float, float] | None:
        return None if self.score_mean is None else (self.score_mean, self.score_sd)

    def buckets(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Probability of each latency bucket."""
        law = NormalDist(math.log(self.latency_ms), self.sigma)
        below = [law.cdf(math.log(bound)) for bound in LATENCY_BOUNDS_MS]
        return np.diff(np.array([0.0, *below, 1.0]))


@dataclass
class _Process:
    release: Release
    started: float
    epoch: int = 1
    requests: int = 0
    errors: int = 0
    latency: np.ndarray[tuple[int], np.dtype[np.int64]] = field(
        default_factory=lambda: np.zeros(len(LATENCY_BOUNDS_MS) + 1, dtype=np.int64)
    )
    timeouts: int = 0
    mirrored: tuple[int, int] = (0, 0)
    refused: int = 0
    mirrored_refused: int = 0
    speech: Speech = field(default_factory=Speech)
    labels: dict[int, list[int]] = field(default_factory=dict)
    dead: str = ""
    away_until: float = 0.0
    stopped: bool = False


class FakeEngine:
    """Implements ``engines.base.Engine``; the object itself is the world, so it outlives any controller.

    Parameters
    ----------
    clock
        Fake time; `wait_ready` and nothing else here lets it pass.
    rate
        Requests a second that callers send, or a function of the time.
    behaviours
        By version; versions not named get `Behaviour()`. May be changed while it runs.
    lag
        Seconds until a new route is applied.
    """

    def __init__(
        self,
        clock: FakeClock,
        *,
        rate: float | Callable[[float], float] = 100.0,
        behaviours: dict[str, Behaviour] | None = None,
        seed: int = 1,
        lag: float = 0.0,
    ) -> None:
        self.clock = clock
        self.rate = rate
        self.behaviours = behaviours if behaviours is not None else {}
        self.lag = lag
        self.users = 0.2
        """Where routes are sticky: share of the requests that are the first of their user."""
        self.testers = 0.02
        """Share of the callers whose requests carry the testers' header."""
        self.guardian = True
        """Whether somebody gives the traffic back when a lease runs out."""
        self.gone: set[str] = set()
        """Owners of leases whose process is known to be dead."""
        self.hidden: set[str] = set()
        """Servers whose counters cannot be read."""
        self.calls: list[str] = []
        """Every call that acts, as a person would write it; tests read it."""
        self.history: list[tuple[float, Routes]] = []
        """Every route ever applied, with its time."""
        self.front = Front("127.0.0.1:8080", 5.0)
        self._random = np.random.default_rng(seed)
        self._processes: dict[str, _Process] = {}
        self._routes: Routes | None = None
        self._pending: tuple[float, Routes] | None = None
        self._lease: dict[str, Any] | None = None
        self._simulated = clock()
        self._shares: dict[Behaviour, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}

    @property
    def address(self) -> str:
        return self.front.url

    def deploy(self, release: Release) -> str:
        self._advance()
        self.calls.append(f"deploy {release.server}")
        process = self._processes.get(release.server)
        if process is None or process.dead or process.stopped:
            epoch = process.epoch + 1 if process else 1
            dies = self.behaviour(release.version).dies
            self._processes[release.server] = _Process(release, self.clock(), epoch, dead=dies)
        return release.server

    def wait_ready(self, server: str, timeout: float) -> None:
        deadline = self.clock() + timeout
        while (state := self._state(server)) is ServerState.STARTING and self.clock() < deadline:
            self.clock.sleep(min(0.05, deadline - self.clock()))
        self._advance()
        if state is not ServerState.READY:
            detail = self._processes[server].dead if server in self._processes else "no such server"
            raise EngineError(f"not ready: {detail or 'still starting'}", where=server)

    def servers(self) -> dict[str, Server]:
        self._advance()
        return {
            name: Server(name, process.release.version, process.release.digest, self._state(name), process.dead)
            for name, process in self._processes.items()
            if not process.stopped
        }

    def programs(self) -> dict[str, bool]:
        return {"router": True, "guardian": self.guardian} if self._processes else {}

    def apply(self, front: Front) -> Front:
        self._advance()
        self.calls.append("apply")
        if not self._processes:
            raise EngineError("nothing is deployed")
        if front.url != self.front.url:
            raise EngineError(f"the endpoint of m is {self.front.url} now, and the policy says {front.url}")
        before, self.front = self.front, front
        return before

    def route(self, routes: Routes, owner: str = "") -> None:
        self._advance()
        if owner:
            found = self._lease
            if found is None or found["owner"] != owner or guardian.over(found, self.clock(), "world"):
                raise lost(self._view(), "m", owner)
        self.calls.append(f"route {routes.stable} {routes.canary} {routes.weight:g}")
        for name in filter(None, (routes.stable, routes.canary)):
            if self._state(name) is ServerState.STOPPED:
                raise EngineError("no such server", where=name)
        self._pending = (self.clock() + self.lag, routes)
        self._advance()

    def routes(self) -> Routes | None:
        self._advance()
        return self._routes

    def hold(self, owner: str, seconds: float) -> Lease | None:
        self._advance()
        if not self._processes:
            raise EngineError("nothing is deployed")
        found, before = self._lease, self._view()
        gone = found["owner"] if found is not None and (found["owner"] in self.gone or is_dead(found["owner"])) else ""
        try:
            self._lease = guardian.taken(found, owner, seconds, gone=gone, now=self.clock(), boot="world")
        except guardian.Refused as refused:
            raise lost(refused.found, "m", owner) from None
        return to_lease(before and {**before, "expired_at": self._lease["told"]})

    def release(self, owner: str) -> None:
        self._advance()
        if self._lease is not None and self._lease["owner"] == owner:
            self._lease["owner"] = ""

    def lease(self) -> Lease | None:
        self._advance()
        return to_lease(self._view())

    def scrape(self) -> Scrape:
        self._advance()
        now = self.clock()
        counted = {
            name: ServerCounters(
                epoch=f"{name}/{process.epoch}",
                requests=process.requests,
                errors=process.errors,
                latency=tuple(int(count) for count in process.latency),
                timeouts=process.timeouts,
                mirrored=process.mirrored,
                refused=process.refused,
                mirrored_refused=process.mirrored_refused,
                predictions=process.speech.predictions if self.behaviour(process.release.version).tells else None,
                answers=dict(process.speech.answers) if self._routes is not None and self._routes.mirror else None,
                users=process.speech.users if self._routes is not None and self._routes.sticky else None,
                labels=tuple(
                    Labelled(second, labelled, wrong)
                    for second, (labelled, wrong) in sorted(process.labels.items())
                    if second + 1 + self.behaviour(process.release.version).label_delay <= now
                ),
            )
            for name, process in self._processes.items()
            if not process.stopped and name not in self.hidden
        }
        missing = tuple(name for name in self._processes if name in self.hidden)
        return Scrape(now, counted, missing)

    def stop(self, server: str) -> None:
        self._advance()
        self.calls.append(f"stop {server}")
        routed = self._pending[1] if self._pending else self._routes
        if routed is not None and server in (routed.stable, routed.canary):
            raise EngineError("a route names it", where=server)
        if server in self._processes:
            self._processes[server].stopped = True

    def fail(self, server: str, fault: Fault, seconds: float) -> None:
        self._advance()
        self.calls.append(f"fail {server} {fault}")
        if self._state(server) in (ServerState.STOPPED, ServerState.FAILED):
            raise EngineError("it does not run", where=server)
        process = self._processes[server]
        starts_in = self.behaviour(process.release.version).starts_in
        process.away_until = self.clock() + (seconds if fault is Fault.HANG else starts_in)

    def down(self) -> None:
        self._advance()
        self.calls.append("down")
        self._processes.clear()
        self._routes = self._pending = self._lease = None

    # What a script does to the world; the Protocol ends here.

    def behaviour(self, version: str) -> Behaviour:
        return self.behaviours.get(version, Behaviour())

    def change(self, version: str, **changes: Any) -> None:
        """From now on this version behaves differently."""
        self._advance()
        self.behaviours[version] = replace(self.behaviour(version), **changes)

    def kill(self, server: str, why: str = "killed by signal 9") -> None:
        """The server dies: every request it is given fails from now on."""
        self._advance()
        self._processes[server].dead = why

    def restart(self, server: str) -> None:
        """The server comes back with its counters at zero."""
        self._advance()
        old = self._processes[server]
        self._processes[server] = _Process(old.release, self.clock(), old.epoch + 1)

    def bury(self) -> None:
        """The process that holds the lease has died on this very host."""
        if self._lease is not None:
            self.gone.add(self._lease["owner"])

    def send(self, requests: int) -> None:
        """Requests at this instant, on top of the steady rate."""
        self._advance()
        self._serve(requests, self.clock())

    def _state(self, name: str) -> ServerState:
        process = self._processes.get(name)
        if process is None or process.stopped:
            return ServerState.STOPPED
        if process.dead:
            return ServerState.FAILED
        ready_at = process.started + self.behaviour(process.release.version).starts_in
        return ServerState.READY if self.clock() >= max(ready_at, process.away_until) else ServerState.STARTING

    def _advance(self) -> None:
        """Let the traffic of the time that has passed happen, second by second, under the routes of that time."""
        now = self.clock()
        while self._simulated < now or self._due(now) or self._guarded():
            until = min(now, math.floor(self._simulated) + 1.0)
            if self._pending is not None and self._pending[0] <= self._simulated:
                if self._routes != self._pending[1]:
                    for process in self._processes.values():  # users are counted since the routes were set
                        process.speech.users = Counts()
                self._routes = self._pending[1]
                self.history.append((self._simulated, self._routes))
                self._pending = None
                continue
            if self._pending is not None:
                until = min(until, self._pending[0])
            if self._guarded():
                continue
            if self._lease is not None and self._simulated < (looks := self._expiry()):
                until = min(until, looks)
            rate = self.rate(self._simulated) if callable(self.rate) else self.rate
            self._serve(int(self._random.poisson(rate * (until - self._simulated))), self._simulated)
            self._simulated = until

    def _view(self) -> dict[str, Any] | None:
        return self._lease and guardian.view(self._lease, self.clock(), "world")

    def _expiry(self) -> float:
        """When the guardian sees that the lease has run out."""
        assert self._lease is not None
        return float(self._lease["beat"] + self._lease["seconds"] + LOOK_SECONDS)

    def _guarded(self) -> bool:
        """Let the guardian do its work; whether it changed anything."""
        now, latest = self._simulated, self._pending[1] if self._pending else self._routes
        if not self.guardian or self._lease is None or now < self._expiry():
            return False
        away = latest is not None and latest != Routes(latest.stable)
        act = decide(self._lease, now, "world", now, away=away)
        if act == "back" and latest is not None:
            self._routes, self._pending = Routes(latest.stable), None
            self.history.append((now, self._routes))
        if act and self._lease["expired_at"] is None:
            self._lease["expired_at"] = now
        return bool(act)

    def _due(self, now: float) -> bool:
        return self._pending is not None and self._pending[0] <= now

    def _serve(self, requests: int, at: float) -> None:
        if self._routes is None or requests == 0:
            return
        routes, to_canary = self._routes, 0
        if routes.canary is not None:
            chosen = int(self._random.binomial(requests, self.testers)) if routes.testers else 0
            to_canary = chosen + int(self._random.binomial(requests - chosen, routes.weight))
            self._count(routes.canary, to_canary, at)
            if routes.mirror:
                self._copy(routes.stable, routes.canary, int(self._random.binomial(requests, routes.mirror)), at)
        self._count(routes.stable, requests - to_canary, at)

    def _copy(self, stable: str, name: str, copies: int, at: float) -> None:
        """Copies whose answers nobody waits for; the router does not count them as requests."""
        process = self._processes[name]
        behaviour = self.behaviour(process.release.version)
        gone = process.dead or at < process.away_until
        failed = copies if gone else int(self._random.binomial(copies, behaviour.errors))
        process.mirrored = (process.mirrored[0] + copies, process.mirrored[1] + failed)
        refused = self._refused(behaviour, copies - failed)
        process.mirrored_refused += refused
        good = copies - failed - refused
        process.speech.predict(self._random, good, behaviour.classes, behaviour.score)
        both(self._random, self._processes[stable].speech, process.speech, good, behaviour.disagree)

    def _refused(self, behaviour: Behaviour, answered: int) -> int:
        return int(self._random.binomial(answered, behaviour.refuses)) if behaviour.refuses else 0

    def _count(self, name: str, requests: int, at: float) -> None:
        process = self._processes[name]
        behaviour = self.behaviour(process.release.version)
        if behaviour not in self._shares:
            self._shares[behaviour] = behaviour.buckets()
        gone = process.dead or at < process.away_until
        late = 0 if gone or not behaviour.timeouts else int(self._random.binomial(requests, behaviour.timeouts))
        failed = requests if gone else late + int(self._random.binomial(requests - late, behaviour.errors))
        latency = self._random.multinomial(requests - failed, self._shares[behaviour])
        latency[-1] += failed
        process.requests += requests
        process.errors += failed
        process.timeouts += late
        process.latency += latency
        refused = self._refused(behaviour, requests - failed)
        process.refused += refused
        good = requests - failed - refused
        process.speech.predict(self._random, good, behaviour.classes, behaviour.score)
        if self._routes is not None and self._routes.sticky:
            process.speech.meet(self._random, Counts(requests, failed, late, tuple(latency), refused), self.users)
        labelled = int(self._random.binomial(good, behaviour.labelled))
        if labelled:
            counts = process.labels.setdefault(math.floor(at), [0, 0])
            counts[0] += labelled
            counts[1] += int(self._random.binomial(labelled, behaviour.wrong))
            while len(process.labels) > LABEL_SECONDS:
                del process.labels[min(process.labels)]
