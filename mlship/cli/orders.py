"""What `promote`, `pause`, `resume` and `abort` share: an order to the running controller, and its answer."""

from __future__ import annotations

from mlship.errors import StateError, UsageError
from mlship.home import Home
from mlship.ledger import who
from mlship.rollout import lock, offline
from mlship.rollout.mailbox import Mailbox
from mlship.rollout.state import Order

#: Seconds that a running controller gets for an answer: it may be waiting for a server.
ANSWER_SECONDS = 15.0


def send(home: Home, model: str, order: Order) -> str | None:
    """Give an order to the controller that runs; its answer, or None when no controller runs.

    Raises ``UsageError`` when there is no unfinished rollout, ``StateError`` when the controller does not answer.
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
    return answer


def nobody_home(home: Home, model: str) -> UsageError:
    """The error of an order that only a running controller can follow."""
    _, story = offline.unfinished(home, model)
    return UsageError(
        "no controller runs for this rollout; traffic stays as it is until one does",
        where=model,
        hint=f"`mlship rollout {story.plan.policy_path}` carries it on; `mlship abort {model}` ends it",
    )
