"""What `promote`, `pause`, `resume` and `abort` share: an order to the running controller, and its answer."""

from __future__ import annotations

import time

from mlship.errors import MlshipError, StateError, UsageError
from mlship.home import Home
from mlship.ledger import who
from mlship.rollout import lock, offline
from mlship.rollout.journal import Story
from mlship.rollout.mailbox import Mailbox
from mlship.rollout.pulse import Pulse, fate
from mlship.rollout.state import Order, Phase

#: How the controller begins its answer to an order that came when everything was decided.
TOO_LATE = "too late: "
#: How it begins when a promotion is refused.
REFUSED = "not promoted: "
#: Phases in which the canary is to have traffic.
_EXPOSED = (Phase.STEPPING, Phase.PAUSED, Phase.PROMOTING)
#: Seconds that a running controller gets for an answer: it may be waiting for a server.
ANSWER_SECONDS = 15.0


def send(home: Home, model: str, order: Order) -> str | None:
    """Give an order to the controller that runs; its answer, or None when no controller runs (any more).

    Raises ``UsageError`` when there is no unfinished rollout, or it ended before the order was read, and ``StateError``
    when the controller does not answer.
    """
    offline.unfinished(home, model)
    directory = home.rollouts(model)
    holder = lock.holder(directory)
    if holder is None:
        return None
    mailbox = Mailbox(directory / "mailbox")
    answer = mailbox.wait(mailbox.post(order, who()), ANSWER_SECONDS)
    if answer is None:
        raise StateError(
            f"no answer within {ANSWER_SECONDS:g} s, and the order is withdrawn; at work is {holder}",
            where=model,
            hint="`mlship status` shows where it stands; try again",
        )
    if answer.startswith(TOO_LATE):
        offline.unfinished(home, model)  # else it is over, and says so
        until = time.monotonic() + ANSWER_SECONDS
        while lock.holder(directory) is not None and time.monotonic() < until:
            time.sleep(0.05)
        return None
    return answer


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
