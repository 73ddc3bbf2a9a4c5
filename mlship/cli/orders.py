"""What `promote`, `pause`, `resume` and `abort` share: what they say where nobody follows an order."""

from __future__ import annotations

from mlship.errors import MlshipError, UsageError
from mlship.home import Home
from mlship.rollout import offline
from mlship.rollout.journal import Story
from mlship.rollout.pulse import Pulse, fate
from mlship.rollout.state import Phase

#: How it begins when a promotion is refused.
REFUSED = "not promoted: "
#: Phases in which the canary is to have traffic.
_EXPOSED = (Phase.STEPPING, Phase.PAUSED, Phase.PROMOTING)


def nobody_home(home: Home, model: str) -> UsageError:
    """The error of an order that only a running controller can follow."""
    _, story = offline.unfinished(home, model)
    pulse = pulse_of(home, model)
    if pulse.elsewhere and pulse.lease is not None:
        return UsageError(
            f"the controller of this rollout runs elsewhere: {pulse.lease.owner.rpartition('#')[0]}",
            where=model,
            hint="give the order on that machine, in its state directory",
        )
    policy = story.plan.policy_path
    return UsageError(
        "; ".join(filter(None, ("no controller runs for this rollout", becomes(pulse, story)))),
        where=model,
        hint=f"`mlship rollout {policy}` carries it on, and takes orders then; `mlship abort {model}` ends it",
    )


def pulse_of(home: Home, model: str) -> Pulse:
    """Signs of life on the engine's side, of a rollout whose lock nobody holds here."""
    from mlship.cli.following import engine_of

    try:
        engine = engine_of(home, model)
        return Pulse(None, engine.lease() if engine is not None else None)
    except MlshipError as error:
        return Pulse(None, unreachable=error.what)


def becomes(pulse: Pulse, story: Story) -> str:
    """What becomes of the canary's traffic while nobody drives, as the lease tells it; empty when nothing does."""
    return fate(pulse, exposed=story.state.phase in _EXPOSED)
