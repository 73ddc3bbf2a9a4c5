"""`mlship policy test`: figures that a person gives, judged by the policy, compared with what the person expects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlship.cli import telling
from mlship.cli.common import leave
from mlship.cli.telling import Format, FormatOption, PagelessReportsOption
from mlship.errors import Exit, UsageError

#: The files that are taken when none is named.
_PATTERN = "*.test.yaml"


def command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help=f"Files of policy tests; default: {_PATTERN} in this directory."),
    ] = None,
    draft: Annotated[
        Path | None,
        typer.Option(metavar="POLICY", help="Print a file of tests for this policy, to begin with, and test nothing."),
    ] = None,
    output: FormatOption = Format.TEXT,
    reports: PagelessReportsOption = None,
) -> None:
    """Judge figures of your own by the policy, and compare with what you expect.

    Neither a model nor data is needed: a test says what was measured, and the gates' own judges decide. Ends with 1
    when something comes out otherwise than expected, with 2 when a file is not valid.

    \b
    Examples:
      mlship policy test --draft mlship.yaml > mlship.test.yaml
      mlship policy test
      mlship policy test mlship.test.yaml --report junit=tests.xml
    """
    from mlship.cli.policy.trials import drafted, run

    destinations = telling.destinations(reports, page=False)
    if draft is not None:
        telling.put(drafted(draft))
        leave(Exit.PASSED)
    named = files or sorted(Path().glob(_PATTERN))
    if not named:
        raise UsageError(
            f"there is no {_PATTERN} in this directory",
            hint="mlship policy test --draft mlship.yaml > mlship.test.yaml",
        )
    result = run(named)
    telling.tell(result.told(), output, destinations)
    leave(result.exit_code)
