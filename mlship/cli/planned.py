"""`--plan FILE` and `--max-age`: what was planned, for the commands that carry it out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.errors import UsageError

if TYPE_CHECKING:
    from mlship.policy.load import LoadedPolicy
    from mlship.rollout.planfile import PlanFile

PlanOption = Annotated[
    Path | None,
    typer.Option("--plan", metavar="FILE", help="Do what `mlship plan --out FILE` has shown, or refuse."),
]
AgeOption = Annotated[
    str | None, typer.Option("--max-age", metavar="DURATION", help="Refuse an older plan, such as 24h.")
]


def planned(path: Path | None, max_age: str | None, loaded: LoadedPolicy) -> PlanFile | None:
    """The plan that was asked for; None without one.

    Raises ``UsageError`` when it is none, or of another model or policy; ``MovedError`` when it is too old.
    """
    most = age(max_age, path)
    if path is None:
        return None
    from mlship.rollout import planfile

    plan = planfile.read(path)
    planfile.meant(plan, loaded)
    if most is not None:
        planfile.fresh(plan, most, time.time())
    return plan


def age(text: str | None, plan: Path | None) -> float | None:
    """What `--max-age` allows, in seconds. Raises ``UsageError`` for what is no duration, or without a plan."""
    from mlship.policy.units import UnitError, parse_duration

    if text is None:
        return None
    if plan is None:
        raise UsageError("--max-age is the age of a plan, and there is none", hint="add --plan FILE")
    try:
        return parse_duration(text)
    except UnitError as error:
        raise UsageError(f"--max-age: {error.what}", hint=error.hint) from None
