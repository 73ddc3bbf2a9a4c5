"""`mlship plan`: what a promotion would do now, and what each stage of its rollout will be able to see."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.cli.common import PolicyArgument, context, emit_json, leave
from mlship.errors import Exit, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


class PlanFormat(StrEnum):
    """How a plan is written to stdout."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    GITHUB = "github"


def plan(
    ctx: typer.Context,
    policy: PolicyArgument,
    rate: Annotated[
        str | None,
        typer.Option(help="Requests a second, such as 50/s, instead of what endpoint or policy tell."),
    ] = None,
    output: Annotated[
        PlanFormat, typer.Option("--format", help="How to write the result to stdout.")
    ] = PlanFormat.TEXT,
) -> None:
    """Show what a promotion would do now, and what each stage will be able to see.

    Who would replace whom, which proofs are there, and for each stage the canary requests that its bake brings, the
    time it takes, and the smallest regression that so many requests show with a chance of 80 %.

    Nothing is changed. What cannot be found (a registry that is away, no candidate) is said, and the rest told; the
    exit code is 3 only when nothing can be told.
    """
    from mlship.cli import plan_views as views
    from mlship.policy.load import load_policy
    from mlship.rollout.prospect import prospect

    per_second = _rate(rate)
    loaded = load_policy(policy)
    found = prospect(loaded, context(ctx).home, rate=per_second, say=_say())
    if output is PlanFormat.JSON:
        emit_json(views.document(found))
    else:
        render = {PlanFormat.TEXT: views.text, PlanFormat.MARKDOWN: views.markdown, PlanFormat.GITHUB: views.github}
        sys.stdout.write(render[output](found) + "\n")
    leave(Exit.PASSED if found.told else Exit.UNREACHABLE)


def _say() -> Callable[[str], None]:
    """Progress on stderr, for whoever looks; a plan takes seconds, and most of them are the registry client's."""

    def say(step: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"mlship: {step}\n")

    return say


def _rate(text: str | None) -> float | None:
    """Raises ``UsageError`` for what is no rate, or none at all."""
    from mlship.policy.units import UnitError, parse_rate

    if text is None:
        return None
    try:
        found = parse_rate(text)
    except UnitError as error:
        raise UsageError(f"--rate: {error.what}", hint=error.hint) from None
    if found <= 0:
        raise UsageError("--rate: there must be requests", hint="such as 50/s")
    return found
