"""An order to the controller that runs, and its answer; for a person's commands and for the monitor."""

from __future__ import annotations

import time

from mlship.errors import StateError
from mlship.home import Home
from mlship.ledger import who
from mlship.rollout import lock, offline
from mlship.rollout.mailbox import Mailbox
from mlship.rollout.state import Order

#: How the controller begins its answer to an order that came when everything was decided.
TOO_LATE = "too late: "
#: Seconds that a running controller gets for an answer: it may be waiting for a server.
ANSWER_SECONDS = 15.0


def send(home: Home, model: str, order: Order, by: str | None = None) -> str | None:
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
    answer = mailbox.wait(mailbox.post(order, by or who()), ANSWER_SECONDS)
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
