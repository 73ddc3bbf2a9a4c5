"""`mlship plan`: what a promotion would do now, and what each stage of its rollout will be able to see."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.cli.common import PolicyArgument, a_rate, context, leave
from mlship.cli.telling import Format, FormatOption, PagelessReportsOption
from mlship.errors import Exit, RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlship.rollout.planfile import PlanFile
    from mlship.rollout.prospect import Prospect


def plan(
    ctx: typer.Context,
    policy: PolicyArgument,
    *,
    rate: Annotated[
        str | None,
        typer.Option(help="Requests a second, such as 50/s, instead of what endpoint or policy tell.", metavar="RATE"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Keep the plan in a file, for `mlship ship --plan FILE`."),
    ] = None,
    output: FormatOption = Format.TEXT,
    report: PagelessReportsOption = None,
) -> None:
    """Show what a promotion would do now, and what each stage will be able to see.

    Who would replace whom, which proofs are there, and for each stage the canary requests that its bake brings, the
    time it takes, and the smallest regression that so many requests show with a chance of 80 %.

    Nothing is changed. What cannot be found (a registry that is away, no candidate) is said, and the rest told; the
    exit code is 3 only when nothing can be told, or when a plan was to be kept and there is no candidate.

    With --out, versions, digests and proofs are kept in a file: `mlship ship --plan FILE` does that, or refuses.

    \b
    Examples:
      mlship plan mlship.yaml
      mlship plan mlship.yaml --rate 50/s --format markdown
      mlship plan mlship.yaml --out plan.json
    """
    import dataclasses

    from mlship.cli import plan_checks as checks
    from mlship.cli import plan_views as views
    from mlship.cli.telling import Told, destinations, tell
    from mlship.policy.load import load_policy
    from mlship.rollout import planfile
    from mlship.rollout.prospect import prospect

    per_second, files = a_rate(rate), destinations(report, page=False)
    if out is not None:
        planfile.destination(out)
    loaded = load_policy(policy)
    found = prospect(loaded, context(ctx).home, rate=per_second, say=_say())
    if out is not None and found.pins is not None:
        planfile.write(_plan(found), out)
        next_ = f"mlship ship {loaded.path} --plan {out}" if loaded.policy.rollout is not None else found.next
        found = dataclasses.replace(found, plan_file=str(out), next=next_)
    told = Told(
        lambda: views.text(found),
        lambda: views.document(found),
        lambda: views.markdown(found),
        lambda: checks.checklist(found, loaded),
        outputs=checks.outputs(found.pins),
    )
    tell(told, output, files)
    if out is not None and found.pins is None:
        raise RegistryError(
            f"no plan was written: {'; '.join(found.missing) or 'the candidate is not known'}", where=str(out)
        )
    leave(Exit.PASSED if found.told else Exit.UNREACHABLE)


def _plan(found: Prospect) -> PlanFile:
    """Made now, by whoever runs this."""
    import time
    from importlib.metadata import version

    from mlship.ledger import who
    from mlship.rollout.planfile import PlanFile

    assert found.pins is not None, "plan has looked"
    return PlanFile(found.pins, time.time(), who(), version("mlship"))


def _say() -> Callable[[str], None]:
    """Progress on stderr, for whoever looks; a plan takes seconds, and most of them are the registry client's."""

    def say(step: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"mlship: {step}\n")

    return say
