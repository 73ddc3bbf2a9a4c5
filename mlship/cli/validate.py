"""`mlship validate`: every fault of every policy, offline and in a fraction of a second."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.cli.common import DEFAULT_POLICY, leave
from mlship.cli.completion import policies
from mlship.cli.telling import Format, FormatOption, PagelessReportsOption, Told, destinations, plain, tell
from mlship.errors import Exit, UsageError

if TYPE_CHECKING:
    from mlship.policy.load import Checked
    from mlship.report.checklist import Checklist


def validate(
    policies: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="POLICY",
            help="Promotion policies (YAML); default: mlship.yaml in this directory.",
            autocompletion=policies,
        ),
    ] = None,
    output: FormatOption = Format.TEXT,
    report: PagelessReportsOption = None,
) -> None:
    """Check policies offline: syntax, units, references, contradictions.

    Every fault is told at once, with its line and how to mend it. Ends with 2 when a policy is invalid; a warning
    does not make it so.

    \b
    Examples:
      mlship validate
      mlship validate mlship.yaml --format github
      mlship validate mlship.yaml --report sarif=validate.sarif
    """
    from mlship.policy.load import examine
    from mlship.rollout.outlook import lint

    files = destinations(report, page=False)
    paths = policies or [DEFAULT_POLICY]
    if not policies and not DEFAULT_POLICY.exists():
        hint = "name the policy: mlship validate path/to/policy.yaml; `mlship init` drafts one"
        raise UsageError(f"there is no {DEFAULT_POLICY} here", hint=hint)
    results = [(path, examine(path, also=lint)) for path in paths]
    valid = all(checked.loaded is not None for _, checked in results)
    tell(_told(results, valid), output, files)
    leave(Exit.PASSED if valid else Exit.USAGE)


def _told(results: list[tuple[Path, Checked]], valid: bool) -> Told:
    def text() -> str:
        return "".join(_as_text(path, checked) for path, checked in results)

    def markdown() -> str:
        from mlship.cli.validate_views import markdown  # needs more than text does, which is to be there at once

        return markdown(results)

    def checklist() -> Checklist:
        from mlship.cli.validate_views import checklist

        return checklist(results)

    return Told(
        text,
        lambda: {"files": [_as_dict(path, checked) for path, checked in results], "valid": valid},
        markdown,
        checklist,
        show=lambda: plain(text()),  # a caret stands below a column
    )


def _as_dict(path: Path, checked: Checked) -> dict[str, object]:
    return {
        "file": str(path),
        "valid": checked.loaded is not None,
        "digest": checked.loaded.digest if checked.loaded else None,
        "faults": [fault.as_dict() for fault in checked.faults],
    }


def _as_text(path: Path, checked: Checked) -> str:
    from mlship.report.figures import digest

    text = "".join(f"{fault}\n" for fault in checked.faults)
    if checked.loaded is None:
        return text
    policy = checked.loaded.policy
    gates = ["ownership", *(name for name in type(policy.gates).model_fields if getattr(policy.gates, name))]
    steps = (
        f"{len(policy.rollout.steps)} step{'s' * (len(policy.rollout.steps) != 1)}" if policy.rollout else "no rollout"
    )
    said = f"{len(gates)} gates, {steps}, digest {digest(checked.loaded.digest)}"
    return f"{text}{path}: valid (model {policy.model}, {said})\n"
