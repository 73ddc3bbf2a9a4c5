"""`mlship pause`: a running rollout stays at its weight until somebody resumes it."""

from __future__ import annotations

import typer

from mlship.cli import orders
from mlship.cli.answers import order
from mlship.cli.common import ModelArgument, context
from mlship.cli.telling import Format, FormatOption, tell
from mlship.ledger import Ledger, who
from mlship.rollout import offline, ordering
from mlship.rollout.state import Order


def pause(ctx: typer.Context, model: ModelArgument, fmt: FormatOption = Format.TEXT) -> None:
    """Hold a rollout at its weight.

    Evidence against the canary still rolls it back, as long as a controller runs.

    \b
    Examples:
      mlship pause flight-delay
      mlship pause flight-delay --format json
    """
    home = context(ctx).home
    answer = ordering.send(home, model, Order.PAUSE)
    if answer is None:
        said = offline.pause(home, model, who(), Ledger(home.ledger))
        _, story = offline.unfinished(home, model)
        pulse = orders.pulse_of(home, model)
        if pulse.lease is not None and pulse.lease.expired_at is not None:
            said = said.rpartition(" at ")[0].rstrip(",")  # it has that weight no more
        becomes = orders.becomes(pulse, story)
        goes_on = f"`mlship rollout {story.plan.policy_path}` carries on"
        answer = "; ".join(filter(None, (said, "no controller runs", becomes, goes_on)))
    else:
        answer = f"{answer}; `mlship resume {model}` goes on"
    tell(order("pause", model, answer), fmt)
