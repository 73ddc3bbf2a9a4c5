"""The loop: observe the world, decide, write the intent, act, read back, write the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from mlship.engines.base import Engine
from mlship.errors import EngineError, MovedError, UsageError
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.rollout import journal as journals
from mlship.rollout import judge, lock, machine
from mlship.rollout.hands import READY_SECONDS, Aliases, Hands, same
from mlship.rollout.journal import Journal
from mlship.rollout.mailbox import Letter, Mailbox
from mlship.rollout.plan import Plan
from mlship.rollout.state import Action, Decision, Order, Outcome, Phase, Promote, Retire, RolloutState, Route, World
from mlship.rollout.watch import EXITS, Look, RolloutResult, Silent, View
from mlship.telemetry.windows import observe
from mlship.types import Observation, Routes, Scrape, VerdictKind

#: Looks in a row that may fail to act before the command gives up (the journal keeps everything).
PATIENCE = 5


class Controller:
    """Runs one rollout to its end, or carries on one that was cut short; time and the world are arguments."""

    def __init__(
        self,
        plan: Plan,
        *,
        home: Home,
        engine: Engine,
        registry: Aliases,
        ledger: Ledger,
        who: str,
        interval: float = 1.0,
        view: View | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.plan = plan
        self.home = home
        self.engine = engine
        self.interval = interval
        self.view = view if view is not None else Silent()
        self.who = who
        self.clock = clock
        self.sleep = sleep
        self._registry, self._ledger = registry, ledger
        self._directory = home.rollouts(plan.model)
        self._mailbox = Mailbox(self._directory / "mailbox")
        self._state = RolloutState()
        self._evidence = judge.begin(plan.guards)
        self._before: Scrape | None = None
        self._failures = 0
        self._waiting: Letter | None = None
        self._started = clock()

    def run(self) -> RolloutResult:
        """Drive the rollout until it is done or paused as inconclusive.

        Raises ``StateError`` when another controller holds the model, ``UsageError`` when another rollout is
        unfinished, ``EngineError`` when the engine cannot do what was asked, ``MovedError`` when the registry changed
        meanwhile (traffic is on stable then). ``KeyboardInterrupt`` passes through; traffic stays as it is.
        """
        self.home.ensure(self._directory)
        with lock.held(self._directory, self.who, f"rollout of version {self.plan.canary.version}"):
            self._mailbox.clear()
            self._journal = self._open()
            try:
                return self._drive()
            except KeyboardInterrupt:
                self._journal.append("note", self.clock(), note="interrupted")
                self.view.say(
                    f"interrupted: traffic stays as it is; `mlship rollout {self.plan.policy_path}` carries on, "
                    f"`mlship abort {self.plan.model}` goes back"
                )
                raise
            finally:
                self._journal.close()

    def _open(self) -> Journal:
        """The unfinished rollout of the same candidate under the same policy, else a new one."""
        journal = journals.current(self.home, self.plan.model)
        story = journals.story(journal) if journal is not None else None
        if journal is None or story is None or story.state.final:
            return journals.begin(self.home, self.plan, self.clock())
        old, new = story.plan, self.plan
        if (old.canary.version, old.canary.digest, old.policy_digest) != (
            new.canary.version,
            new.canary.digest,
            new.policy_digest,
        ):
            what = "under another policy" if old.canary.version == new.canary.version else "which is another candidate"
            raise UsageError(
                f"the rollout of version {old.canary.version} is unfinished, {what}",
                where=new.model,
                hint=f"`mlship abort {new.model}` ends it; then run this command again",
            )
        self.plan = old
        if story.state.phase is Phase.PAUSED:
            self.view.say(f"lifting the pause: {story.state.reason}")
        self._state = machine.carry_on(story.state, self.clock())
        self._evidence = story.evidence if story.evidence is not None else judge.begin(old.guards)
        self.view.say(f"carrying on rollout {old.rollout_id} at {self._state.phase.value.replace('_', ' ')}")
        return journal

    def _drive(self) -> RolloutResult:
        plan = self.plan
        self._hands = Hands(
            plan,
            engine=self.engine,
            registry=self._registry,
            ledger=self._ledger,
            directory=self._directory,
            who=self.who,
            clock=self.clock,
            sleep=self.sleep,
        )
        self._prepare()
        while True:
            letter = self._next_letter()
            observation, world = self._observe(letter)
            now = self.clock()
            decision = machine.decide(self._state, plan, observation, self._evidence, now=now, world=world)
            self._carry_out(decision, now, letter)
            self.view.look(Look(plan, decision, self._evidence, observation, now))
            state = self._state
            if state.outcome is not None and (state.final or state.phase is Phase.PAUSED):
                if self._waiting is not None:
                    self._mailbox.answer(self._waiting.id, f"too late: {decision.verdict.reason}")
                return self._result(state, state.outcome)
            if state.phase in (Phase.STEPPING, Phase.PAUSED) and self._waiting is None:
                self._rest()

    def _next_letter(self) -> Letter | None:
        """The next order. Before the first step and during a promotion only an abort can be obeyed; others wait."""
        letter, self._waiting = self._waiting or self._mailbox.take(), None
        if letter is None or letter.command.order is Order.ABORT:
            return letter
        if self._state.phase in (Phase.STEPPING, Phase.PAUSED):
            return letter
        self._waiting = letter
        return None

    def _prepare(self) -> None:
        """Both servers up, traffic where the state says; thresholds from what stable has served so far."""
        if self._state.phase is Phase.ROLLING_BACK:  # nothing may come before the route, unless there is no router
            if self.plan.stable is not None and self.engine.routes() is None:
                self.engine.deploy(self.plan.stable)
                self.engine.wait_ready(self.plan.stable.server, READY_SECONDS)
            return
        try:
            if self._state.phase is Phase.PREPARING:
                self._hands.unmoved()  # another rollout may have ended since the plan was made
            self._hands.deploy(self.view.say)
        except (EngineError, MovedError) as error:
            if self._state.phase is not Phase.PREPARING:
                raise
            self._end(Outcome.ABORTED, f"not started: {error.what}")
            raise
        if self._state.phase is Phase.PREPARING and self.plan.stable is not None:
            counted = self.engine.scrape().servers.get(self.plan.stable.server)
            self._evidence = judge.begin(self.plan.guards, counted.latency if counted else ())

    def _observe(self, letter: Letter | None) -> tuple[Observation | None, World]:
        """What the arms did since the last look, and what else there is to know.

        Counters are only compared with earlier ones of the same routes; after anything else a new window begins.
        """
        wanted = machine.wanted(self._state, self.plan)
        command = letter.command if letter is not None else None
        if self._state.phase not in (Phase.STEPPING, Phase.PAUSED):
            return None, World(None, interval=self.interval, command=command)
        try:
            routes = self.engine.routes() or Routes("")
            after = self.engine.scrape()
        except EngineError as error:
            self.view.say(f"cannot look: {error.what}")
            return None, World(None, interval=self.interval, command=command)
        if same(routes, wanted):
            routes = wanted
        observation, down = None, ""
        if self._before is None or routes != wanted:
            self._begin_window(after if routes == wanted else None)
        else:
            observation = observe(self._before, after, routes)
            self._evidence = judge.update(self._evidence, observation)
            if "canary" in observation.missing:
                down = self._canary_down()
            if not observation.missing:
                self._before = after
        return observation, World(routes, down, self.interval, command)

    def _begin_window(self, scrape: Scrape | None) -> None:
        """Later counters are compared with these, which must hold both arms: else history would count as news."""
        arms = {release.server for release in (self.plan.stable, self.plan.canary) if release is not None}
        self._before = scrape if scrape is not None and arms <= scrape.servers.keys() - set(scrape.missing) else None

    def _canary_down(self) -> str:
        try:
            return self._hands.canary_down()
        except EngineError:
            return ""  # no answer is no verdict

    def _carry_out(self, decision: Decision, now: float, letter: Letter | None) -> None:
        """Intent, act, outcome. On the way back the route does not wait for the disk: the intent is synced after it."""
        urgent = decision.verdict.kind is VerdictKind.ROLLBACK
        kind = "intent" if decision.actions else "look"
        self._state = decision.state
        self._journal.look(kind, now, decision.verdict, decision.state, self._evidence, sync=not urgent)
        if decision.verdict.kind is VerdictKind.PAUSE:
            self._record_pause(decision)
        if (
            letter is not None
            and letter.command.order is Order.PROMOTE
            and decision.verdict.kind is VerdictKind.ADVANCE
        ):
            self._hands.record("advanced", self._champion, self.plan.canary.version, decision.verdict.reason)
        if (
            letter is not None
            and letter.command.order is Order.RESUME
            and decision.verdict.reason.startswith("resumed")
        ):
            self._hands.record("resumed", self._champion, self.plan.canary.version, decision.verdict.reason)
        answered = letter is None
        for action in decision.actions:
            if letter is not None and not answered and isinstance(action, Retire):
                self._mailbox.answer(letter.id, decision.verdict.reason)
                answered = True
            try:
                self._act(action, decision)
                self._failures = 0
            except EngineError as error:
                self._journal.append("note", self.clock(), note=f"failed: {error.what}")
                self._failures += 1
                if self._failures >= PATIENCE:
                    raise
                self.view.say(f"{error.what}; trying again")
                self.sleep(min(self.interval, 1.0))
                break
        if letter is not None and not answered:
            self._mailbox.answer(letter.id, decision.verdict.reason)

    def _act(self, action: Action, decision: Decision) -> None:
        if isinstance(action, Route):
            seconds = self._hands.route(action.routes)
            self._before = None
            self._journal.append(
                "outcome", self.clock(), routed=[action.routes.stable, action.routes.weight], seconds=seconds
            )
            if decision.state.phase in (Phase.STEPPING, Phase.PAUSED):
                self._begin_window(self.engine.scrape())
        elif isinstance(action, Promote):
            try:
                self._hands.promote(decision.state.reason)
            except MovedError as error:
                self._hands.record("aborted", self.plan.canary.version, self._champion, error.what)
                self._end(Outcome.ABORTED, error.what)
                raise
            self._end(Outcome.PROMOTED, decision.state.reason)
        else:
            outcome = decision.state.outcome or Outcome.ABORTED
            self._hands.retire(outcome, decision.state.reason)
            self._end(outcome, decision.state.reason)

    def _end(self, outcome: Outcome, reason: str) -> None:
        self._state = machine.finish(self._state, outcome, reason)
        if not self._state.verdict_at:
            self._state = replace(self._state, verdict_at=self.clock())
        verdict = machine.over(self._state, self._evidence)
        self._journal.look("outcome", self.clock(), verdict, self._state, self._evidence)

    def _record_pause(self, decision: Decision) -> None:
        self._hands.record("paused", self._champion, self.plan.canary.version, decision.verdict.reason)

    def _rest(self) -> None:
        """Sleep until the next look, but wake up for an order."""
        until = self.clock() + self.interval
        piece = max(0.05, self.interval / 20)
        while (left := until - self.clock()) > 0 and not self._mailbox.waiting():
            self.sleep(min(piece, left))

    @property
    def _champion(self) -> str | None:
        return self.plan.stable.version if self.plan.stable else None

    def _result(self, state: RolloutState, outcome: Outcome) -> RolloutResult:
        return RolloutResult(
            model=self.plan.model,
            rollout_id=self.plan.rollout_id,
            candidate_version=self.plan.canary.version,
            champion_version=self._champion,
            verdict=outcome.value,
            exit_code=EXITS[outcome],
            reason=state.reason,
            verdict_at=state.verdict_at,
            seconds=self.clock() - self._started,
            steps=machine.entered(state),
            evidence=self._evidence.shares,
        )
