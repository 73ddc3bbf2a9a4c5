"""What a controller sees between two looks: counters as windows, routes as they are, what slow questions found out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mlship.engines.base import Engine
from mlship.errors import EngineError, MlshipError
from mlship.policy.freeze import frozen
from mlship.rollout import machine
from mlship.rollout.errands import Errands
from mlship.rollout.hands import Hands, same
from mlship.rollout.plan import Plan
from mlship.rollout.state import Command, HookAnswer, Phase, RolloutState, World
from mlship.telemetry.windows import observe
from mlship.types import Observation, Routes, Scrape

if TYPE_CHECKING:
    from mlship.rollout.hooks import Hooks

#: Seconds between two questions to the registry, whether the candidate is still the same.
REGISTRY_SECONDS = 15.0
_CANDIDATE = "candidate"


class Eyes:
    """Looks at the world for one rollout; decides nothing.

    Parameters
    ----------
    hooks
        Who is asked before and after steps; None: nobody.
    say
        Told of what cannot be seen.
    """

    def __init__(
        self,
        plan: Plan,
        hands: Hands,
        *,
        interval: float,
        errands: Errands,
        hooks: Hooks | None,
        say: Callable[[str], None],
    ) -> None:
        self._plan, self._hands, self._interval, self._errands = plan, hands, interval, errands
        self._engine: Engine = hands.engine
        self._hooks, self._say = hooks, say
        self._before: Scrape | None = None
        self._asked_at: float | None = None
        self._newer = ""
        self._answers: dict[str, HookAnswer] = {}

    def look(self, state: RolloutState, command: Command | None, now: float) -> tuple[Observation | None, World]:
        """What the arms did since the last look, and what else there is to know.

        Counters are only compared with earlier ones of the same routes; after anything else a new window begins.
        """
        if state.phase in (Phase.PREPARING, Phase.STEPPING, Phase.PAUSED):  # the way back waits for nobody
            self._ask_around(now)
        world = World(
            None,
            interval=self._interval,
            command=command,
            frozen=frozen(self._plan.freeze, now) if self._plan.freeze else "",
            newer=self._newer,
            answers=dict(self._answers),
        )
        if state.phase is Phase.PROMOTING:
            return None, replace(world, routes=self._routes(), moved=self._moved())
        if state.phase not in (Phase.STEPPING, Phase.PAUSED):
            return None, world
        right = machine.wanted(state, self._plan)
        try:
            routes = self._engine.routes() or Routes("")
            after = self._engine.scrape()
        except EngineError as error:
            self._say(f"cannot look: {error.what}")
            return None, world
        if same(routes, right):
            routes = right
        if self._before is None or routes != right:
            self._begin(after if routes == right else None)
            return None, _at(world, routes, "")
        observation = observe(self._before, after, routes, self._plan.tolerance)
        down = self._canary_down() if "canary" in observation.missing else ""
        if not observation.missing:
            self._before = after
        return observation, _at(world, routes, down)

    def blink(self, *, begin: bool = False) -> None:
        """The routes have moved: what was counted before belongs to another window."""
        self._before = None
        if begin:
            self._begin(self._engine.scrape())

    def ask(self, point: str, facts: Mapping[str, str]) -> None:
        """Ask the hooks of a point, unless that is under way; a later look brings the answer."""
        if self._hooks is None:
            self._answers[point] = HookAnswer(False, "the hooks of the policy are not at hand")
            return
        hooks, known = self._hooks, dict(facts)
        self._errands.start(point, lambda: hooks.ask(point, known))

    def forget_answers(self) -> None:
        """A person goes on after a veto: hooks are asked again."""
        self._answers.clear()

    def _ask_around(self, now: float) -> None:
        follows = self._plan.candidate_reference.startswith("@")
        if follows and (self._asked_at is None or not 0 <= now - self._asked_at < REGISTRY_SECONDS):
            self._asked_at = now
            self._errands.start(_CANDIDATE, self._hands.newer)
        for name, found in self._errands.done().items():
            if name == _CANDIDATE:
                if isinstance(found, str):
                    self._newer = found
                elif isinstance(found, Exception):
                    self._say(f"the registry cannot be asked who the candidate is: {found}")
            elif isinstance(found, HookAnswer):
                self._answers[name] = found
            else:
                self._answers[name] = HookAnswer(False, f"it could not be asked: {found}")

    def _begin(self, scrape: Scrape | None) -> None:
        """Later counters are compared with these, which must hold both arms: else history would count as news."""
        arms = {release.server for release in (self._plan.stable, self._plan.canary) if release is not None}
        self._before = scrape if scrape is not None and arms <= scrape.servers.keys() - set(scrape.missing) else None

    def _routes(self) -> Routes | None:
        try:
            return self._engine.routes()
        except EngineError:
            return None

    def _moved(self) -> bool:
        try:
            return self._hands.moved()
        except MlshipError as error:
            self._say(f"the registry cannot be asked who the champion is: {error.what}")
            return False

    def _canary_down(self) -> str:
        try:
            return self._hands.canary_down()
        except EngineError:
            return ""  # no answer is no verdict


def _at(world: World, routes: Routes, down: str) -> World:
    return replace(world, routes=routes, canary_down=down)
