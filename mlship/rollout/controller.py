"""The loop: observe the world, decide, write the intent, act, read back, write the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from mlship.engines.base import Engine
from mlship.errors import EngineError, MlshipError, MovedError, StateError
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.notify import Nobody, Notifier
from mlship.rollout import judge, lock, machine
from mlship.rollout.errands import Errands, Threads
from mlship.rollout.eyes import Eyes
from mlship.rollout.hands import READY_SECONDS, Aliases, CanaryLost, Hands
from mlship.rollout.mailbox import Letter, Mailbox
from mlship.rollout.opening import Opened, opened
from mlship.rollout.plan import Plan
from mlship.rollout.records import Records
from mlship.rollout.state import Action, Ask, Decision, Order, Outcome, Phase, Promote, Route
from mlship.rollout.tenancy import Tenancy
from mlship.rollout.voice import Voice
from mlship.rollout.watch import Look, RolloutResult, Silent, View, result
from mlship.types import Observation, VerdictKind

if TYPE_CHECKING:
    from mlship.rollout.hooks import Hooks

#: Looks in a row that may fail to act before the command gives up (the journal keeps everything).
PATIENCE = 5


class Controller:
    """Runs one rollout to its end, or carries on one that was cut short; time and the world are arguments.

    Parameters
    ----------
    notifier, hooks
        Who is told, and who is asked; nobody by default.
    errands
        What asks slow questions; threads by default.
    """

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
        notifier: Notifier | None = None,
        hooks: Hooks | None = None,
        errands: Errands | None = None,
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
        self._registry, self._ledger, self._hooks = registry, ledger, hooks
        self._errands = errands if errands is not None else Threads()
        self._notifier = notifier if notifier is not None else Nobody()
        self._directory = home.rollouts(plan.model)
        self._mailbox = Mailbox(self._directory / "mailbox")
        self._failures = 0
        self._deployed = False
        self._waiting: Letter | None = None
        self._started = clock()

    def run(self) -> RolloutResult:
        """Drive the rollout until it is done or paused as inconclusive.

        Raises ``StateError`` when another controller holds the model or the endpoint, ``UsageError`` when another
        rollout is unfinished, ``EngineError`` when the engine cannot do what was asked, ``MovedError`` when the
        registry changed meanwhile (traffic is on stable then). ``KeyboardInterrupt`` passes through; traffic stays as
        it is until the lease runs out.
        """
        self.home.ensure(self._directory)
        with lock.held(self._directory, self.who, f"rollout of version {self.plan.canary.version}") as since:
            self._mailbox.clear(since)
            begun = opened(self.home, self.plan, self.clock(), self.view.say)
            self.plan, self._state, self._evidence = begun.plan, begun.state, begun.evidence
            self._meet(begun)
            try:
                return self._drive()
            except KeyboardInterrupt:
                with suppress(StateError):  # a full disk hides from nobody that they have ended it
                    self._records.note("interrupted")
                self._voice.halted(f"interrupted by whoever ran it{self._until()}")
                self.view.say(
                    f"interrupted: `mlship rollout {self.plan.policy_path}` carries on, `mlship abort "
                    f"{self.plan.model}` goes back{self._until()}"
                )
                raise
            except MlshipError as error:
                self._voice.halted(error.what)
                raise
            finally:
                if self._hooks is not None:
                    self._hooks.close()  # first: it waits for nothing, and an impatient Ctrl-C may skip the rest
                self._tenancy.give_up()
                begun.journal.close()
                self._notifier.close(5.0)

    def _until(self) -> str:
        if self._state.phase not in (Phase.STEPPING, Phase.PAUSED) or self.plan.stable is None:
            return ""
        return f"; nobody watches now, and in {self.plan.lease:g} s all traffic goes back to stable by itself"

    @property
    def _champion(self) -> str | None:
        return self.plan.stable.version if self.plan.stable else None

    def _meet(self, begun: Opened) -> None:
        """Everybody who works on this rollout; they know one plan, that of the rollout that was opened."""
        plan = self.plan
        self._voice = Voice(plan, self._notifier, self.clock)
        self._tenancy = Tenancy(self.engine, self.who, plan.lease)
        self._hands = Hands(
            plan,
            engine=self.engine,
            registry=self._registry,
            ledger=self._ledger,
            directory=self._directory,
            who=self.who,
            owner=self._tenancy.owner,
            hold=self._beat,
            clock=self.clock,
            sleep=self.sleep,
        )
        self._eyes = Eyes(
            plan,
            self._hands,
            interval=self.interval,
            errands=self._errands,
            hooks=self._hooks,
            say=self.view.say,
        )
        self._records = Records(plan, begun.journal, self._hands, self._voice, self.clock)

    def _drive(self) -> RolloutResult:
        self._records.catch_up()
        self._prepare()
        while True:
            self._beat()
            letter = self._next_letter()
            command = letter.command if letter is not None else None
            observation, world = self._eyes.look(self._state, command, self.clock())
            if observation is not None:
                self._evidence = judge.update(self._evidence, observation)
            now = self.clock()
            decision = machine.decide(self._state, self.plan, observation, self._evidence, now=now, world=world)
            self._carry_out(decision, now, letter, observation)
            self.view.look(Look(self.plan, decision, self._evidence, observation, now))
            state = self._state
            if state.outcome is not None and (state.final or state.phase is Phase.PAUSED):
                if self._waiting is not None:
                    self._mailbox.answer(self._waiting.id, f"too late: {decision.verdict.reason}")
                if state.final:  # what was decided has been done: whoever watches sees the end of it
                    over = Decision(machine.over(state, self._evidence), state)
                    self.view.look(Look(self.plan, over, self._evidence, None, now))
                return result(self.plan, state, self._evidence, self.clock() - self._started, world.newer)
            if state.phase in (Phase.PREPARING, Phase.STEPPING, Phase.PAUSED):
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

    def _beat(self) -> None:
        """A sign of life for the guardian, if it can be given."""
        try:
            self._hold()
        except EngineError as error:
            if self._deployed:
                self.view.say(f"no sign of life reaches the engine: {error.what}")

    def _hold(self) -> None:
        """A sign of life for the guardian; what it did while there was none goes into the records.

        Raises ``EngineError`` when it does not arrive, ``LeaseLost`` when another controller holds the endpoint.
        """
        extra = 2 * READY_SECONDS if self._state.phase is Phase.PREPARING else 0.0  # models take their time to load
        expired = self._tenancy.beat(extra)
        if expired is not None and self._state.phase is not Phase.PREPARING and self.plan.stable:
            self.view.say(self._records.lease_expired(expired))
            self._eyes.blink()

    def _prepare(self) -> None:
        """Both servers up, traffic where the state says; thresholds from what stable has served so far."""
        self._beat()  # before anything is started: the endpoint may be somebody else's
        if self._state.phase is Phase.ROLLING_BACK:  # nothing may come before the route, unless there is no router
            if self.plan.stable is not None and self.engine.routes() is None:
                self.engine.deploy(self.plan.stable)
                self.engine.wait_ready(self.plan.stable.server, READY_SECONDS)
            return
        try:
            if self._state.phase is Phase.PREPARING:
                self._hands.unmoved()  # another rollout may have ended since the plan was made
                self._records.started()
            self._hands.deploy(self.view.say)
            self._deployed = True
        except (EngineError, MovedError) as error:
            if self._state.phase is not Phase.PREPARING:
                raise
            reason = f"not started: {error.what}"
            self._hands.record(Outcome.ABORTED.value, self.plan.canary.version, self._champion, reason)
            self._end(Outcome.ABORTED, reason)
            raise
        if self._state.phase is Phase.PREPARING and self.plan.stable is not None:
            counted = self.engine.scrape().servers.get(self.plan.stable.server)
            history = counted.latency if counted else ()
            self._evidence = judge.begin(self.plan.guards, history, stages=len(self.plan.steps))

    def _carry_out(
        self, decision: Decision, now: float, letter: Letter | None, observation: Observation | None
    ) -> None:
        """Intent, act, outcome. On the way back the route does not wait for the disk: the intent is synced after it."""
        urgent = decision.verdict.kind is VerdictKind.ROLLBACK
        before, self._state = self._state, decision.state
        if decision.verdict.kind is VerdictKind.ADVANCE:
            self._evidence = judge.restart(self._evidence)
        try:
            self._records.decided(decision, self._evidence, observation, now, sync=not urgent)
        except StateError:
            if urgent and isinstance(decision.actions[0], Route):  # a full disk keeps no bad canary on traffic
                with suppress(EngineError):  # the disk is what is told; the guardian goes on trying
                    self._hands.route(decision.actions[0].routes)
            raise
        self._records.noted(decision, now)
        if decision.note == "resumed":
            self._eyes.forget_answers()
        answered = letter is None
        for action in decision.actions:
            if letter is not None and not answered and urgent and not isinstance(action, Route):
                self._mailbox.answer(letter.id, decision.verdict.reason)
                answered = True
            try:
                self._act(action, decision)
                self._failures = 0
            except EngineError as error:
                self._records.note(f"failed: {error.what}")
                self._failures += 1
                if self._failures >= PATIENCE:
                    raise
                self.view.say(f"{error.what}; trying again")
                self.sleep(min(self.interval, 1.0))
                break
        if letter is not None and not answered:
            self._mailbox.answer(letter.id, decision.verdict.reason)
        self._records.announce(before, decision)

    def _act(self, action: Action, decision: Decision) -> None:
        if isinstance(action, Route):
            if action.routes.canary is not None:
                self._hold()  # or else the lease might be as long as two servers may take to start
            seconds = self._hands.route(action.routes)
            self._records.routed(action.routes, seconds)
            self._eyes.blink(begin=decision.state.phase in (Phase.STEPPING, Phase.PAUSED))
        elif isinstance(action, Ask):
            self._eyes.ask(action.point, self._voice.facts(action.point, decision, self._evidence))
        elif isinstance(action, Promote):
            try:
                self._hands.promote(decision.state.reason)
            except MovedError as error:
                with suppress(EngineError):  # what has moved is to be told, not a server that does not end
                    self._hands.retire(Outcome.ABORTED, error.what)
                self._end(Outcome.ABORTED, error.what)
                raise
            except CanaryLost as error:
                self._hands.retire(Outcome.ROLLED_BACK, error.what)
                self._end(Outcome.ROLLED_BACK, error.what)
                return
            self._end(Outcome.PROMOTED, decision.state.reason)
        else:
            outcome = decision.state.outcome or Outcome.ABORTED
            self._hands.retire(outcome, decision.state.reason)
            self._end(outcome, decision.state.reason)

    def _end(self, outcome: Outcome, reason: str) -> None:
        self._state = self._records.ended(self._state, self._evidence, outcome, reason)

    def _rest(self) -> None:
        """Sleep until the next look, but wake up for an order, and give signs of life in a long sleep."""
        until, beat = self.clock() + self.interval, self.clock() + self.plan.lease / 4
        piece = max(0.05, min(self.interval, self.plan.lease) / 20)
        # A clock that is set back meanwhile ends the rest: nobody shall wait for hours until it says the same again.
        while 0 < (left := until - self.clock()) <= self.interval and not self._mailbox.waiting():
            self.sleep(min(piece, left))
            if self.clock() >= beat:
                with suppress(EngineError):  # the next look says so
                    self._beat()
                beat = self.clock() + self.plan.lease / 4
