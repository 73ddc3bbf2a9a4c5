"""A whole rollout on fake time: engine, registry, ledger and a plan, and controllers that run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.engines.front import Front
from mlship.engines.options import Setup
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.rollout.controller import Controller
from mlship.rollout.errands import AtOnce, Errands
from mlship.rollout.judge import Guards
from mlship.rollout.mailbox import Mailbox
from mlship.rollout.plan import Plan, PlanStep
from mlship.rollout.state import Order
from mlship.rollout.watch import Look, RolloutResult
from mlship.types import Release
from tests.fakes.engine import Behaviour, FakeClock, FakeEngine
from tests.fakes.registry import FakeRegistry

if TYPE_CHECKING:
    from mlship.rollout.hooks import Hooks

MODEL = "flight-delay"


def digest(version: str) -> str:
    return "sha256:" + (version * 64)[:64]


def release(version: str) -> Release:
    return Release(MODEL, version, digest(version), Path("/nowhere") / version)


#: Three steps of 20 s and some requests each; errors and latency are watched.
PLAN = Plan(
    rollout_id="20261121-000000-first1",
    model=MODEL,
    canary=release("2"),
    stable=release("1"),
    steps=(PlanStep(0.05, 20, 50), PlanStep(0.25, 20, 200), PlanStep(0.5, 20, 500)),
    guards=Guards(errors=1.25, latency=1.25),
    deadline=600,
    keep_warm=3600,
    engine="local",
    setup=Setup(Front("127.0.0.1:8080", 5.0)),
    candidate_reference="@challenger",
    champion_alias="champion",
    policy_path="/project/mlship.yaml",
    policy_digest="sha256:policy",
    registry_uri=None,
    evaluation_id="evaluation-1",
    run_id="run-1",
)


@dataclass
class Audience:
    """Remembers what it was told; `at_look` is called at every look with its number."""

    looks: list[Look] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    at_look: Callable[[int], None] = lambda _number: None

    @property
    def reasons(self) -> list[str]:
        return [look.decision.verdict.reason for look in self.looks]

    def say(self, text: str) -> None:
        self.said.append(text)

    def look(self, look: Look) -> None:
        self.looks.append(look)
        self.at_look(len(self.looks))


class Stage:
    """The world of one test: it outlives the controllers that work in it."""

    def __init__(
        self,
        path: Path,
        *,
        rate: float = 200.0,
        seed: int = 1,
        engine: type[FakeEngine] = FakeEngine,
        **behaviours: Behaviour,
    ) -> None:
        self.home = Home(path / ".mlship")
        self.clock = FakeClock()
        script = {name.removeprefix("v"): behaviour for name, behaviour in behaviours.items()}
        self.engine = engine(self.clock, rate=rate, behaviours=script, seed=seed)
        self.registry = FakeRegistry({"champion": "1", "challenger": "2"}, {v: digest(v) for v in "1234"})
        self.ledger = Ledger(self.home.ledger)
        self.plan = PLAN
        self.audience = Audience()
        self.now: Callable[[], float] = self.clock
        """What controllers take the time to be."""
        self.rest: Callable[[float], None] = self.clock.sleep
        self.interval = 1.0
        self.hooks: Hooks | None = None
        self.errands: Errands = AtOnce()
        self._controllers = 0

    @property
    def mailbox(self) -> Mailbox:
        return Mailbox(self.home.rollouts(MODEL) / "mailbox")

    def order(self, order: Order, who: str = "alice") -> str:
        return self.mailbox.post(order, who)

    def serve_stable(self, seconds: float = 30.0) -> None:
        """The champion serves for a while before the rollout begins."""
        from mlship.types import Routes

        assert self.plan.stable is not None
        server = self.engine.deploy(self.plan.stable)
        self.engine.wait_ready(server, 60)
        self.engine.route(Routes(server))
        self.clock.sleep(seconds)
        self.engine.routes()

    def controller(self, **changes: object) -> Controller:
        """A controller with a fresh plan of its own, as every start of the command makes one."""
        self._controllers += 1
        identity = {} if "rollout_id" in changes else {"rollout_id": f"20261121-00000{self._controllers}-again1"}
        return Controller(
            replace(self.plan, **identity, **changes),  # type: ignore[arg-type]  # fields of a plan
            home=self.home,
            engine=self.engine,
            registry=self.registry,
            ledger=self.ledger,
            who="tester",
            interval=self.interval,
            view=self.audience,
            errands=self.errands,
            hooks=self.hooks,
            clock=self.now,
            sleep=self.rest,
        )

    def run(self, **changes: object) -> RolloutResult:
        return self.controller(**changes).run()

    def actions(self) -> list[tuple[str, str | None, str | None]]:
        """The ledger, as (action, from, to)."""
        return [(entry.action, entry.from_version, entry.to_version) for entry in self.ledger.entries(MODEL)]
