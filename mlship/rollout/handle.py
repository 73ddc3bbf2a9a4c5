"""What commands need that are given a model's name and no policy: its latest plan, its engine, its registry."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from mlship.engines.base import Engine
from mlship.errors import MlshipError, UsageError
from mlship.home import Home
from mlship.notify import Event
from mlship.rollout import journal as journals
from mlship.rollout import plan as plans
from mlship.rollout.hands import Aliases
from mlship.rollout.plan import Plan
from mlship.types import ModelVersion


def latest_plan(home: Home, model: str) -> Plan:
    """The plan of the model's latest rollout, which knows endpoint, registry and alias.

    Raises ``UsageError`` when there was none.
    """
    journal = journals.current(home, model)
    if journal is None:
        raise UsageError(
            "there was no rollout of this model here",
            where=f"{model} in {home.path}",
            hint="`mlship rollout POLICY` begins one; --home or MLSHIP_HOME names another state directory",
        )
    return plans.from_json(journals.plan_document(journal))


def engine_of(plan: Plan, home: Home) -> Engine:
    """The engine that serves the model here, whichever it is by now; where none does, the one of this plan."""
    from mlship.engines.table import engine, found, running

    return found(home, plan.model) if plan.model in running(home) else engine(plan.engine, home, plan.model, plan.setup)


class LateNotifier:
    """Tells whom the plan's policy names once everything is done: to read the policy takes longer than a way back."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._events: list[Event] = []

    def tell(self, event: Event) -> None:
        """Keep it for the end."""
        self._events.append(event)

    def close(self, seconds: float) -> None:
        """Tell all, and wait at most so long; a policy that cannot be read any more names nobody."""
        from mlship.notify import notifier
        from mlship.policy.load import load_policy

        with suppress(MlshipError):
            policy = load_policy(Path(self._plan.policy_path)).policy
            told = notifier(policy.notify, contact=policy.owner.contact, runbook=policy.owner.runbook or "")
            for event in self._events:
                told.tell(event)
            told.close(seconds)


class LazyRegistry:
    """The plan's registry, reached at the first question: MLflow takes seconds to load, the way back milliseconds."""

    def __init__(self, plan: Plan, home: Home) -> None:
        self._plan = plan
        self._home = home
        self._reached: Aliases | None = None

    def version(self, model: str, reference: str) -> ModelVersion:
        """See ``Registry.version``."""
        return self._registry().version(model, reference)

    def alias(self, model: str, alias: str) -> str | None:
        """See ``Registry.alias``."""
        return self._registry().alias(model, alias)

    def move_alias(self, model: str, alias: str, *, expected: str | None, to: str) -> None:
        """See ``Registry.move_alias``."""
        self._registry().move_alias(model, alias, expected=expected, to=to)

    def _registry(self) -> Aliases:
        if self._reached is None:
            from mlship.registry import Registry

            self._reached = Registry.connect(self._uri(), self._home)
        return self._reached

    def _uri(self) -> str | None:
        """The plan's, else (it held a secret) the policy's, else whatever the environment says."""
        if self._plan.registry_uri is not None:
            return self._plan.registry_uri
        from mlship.policy.load import load_policy

        try:
            return load_policy(Path(self._plan.policy_path)).policy.registry.uri
        except MlshipError:
            return None
