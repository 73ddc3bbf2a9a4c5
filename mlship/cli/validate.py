"""`mlship validate`: every fault of every policy, offline and in a fraction of a second."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.cli.common import Format, FormatOption, emit_json, leave
from mlship.errors import Exit, UsageError

if TYPE_CHECKING:
    from mlship.policy.load import Checked

_DEFAULT = Path("mlship.yaml")


def validate(
    policies: Annotated[
        list[Path] | None,
        typer.Argument(metavar="POLICY", help="Promotion policies (YAML); default: mlship.yaml."),
    ] = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Check policies offline: syntax, units, references, contradictions."""
    from mlship.policy.load import examine
    from mlship.rollout.outlook import lint

    paths = policies or [_DEFAULT]
    if not policies and not _DEFAULT.exists():
        raise UsageError(
            "there is no mlship.yaml in this directory", hint="name the policy: mlship validate path/to/policy.yaml"
        )
    results = [(path, examine(path, also=lint)) for path in paths]
    valid = all(checked.loaded is not None for _, checked in results)
    if output is Format.JSON:
        emit_json({"files": [_as_dict(path, checked) for path, checked in results], "valid": valid})
    else:
        sys.stdout.write("".join(_as_text(path, checked) for path, checked in results))
    leave(Exit.PASSED if valid else Exit.USAGE)


def _as_dict(path: Path, checked: Checked) -> dict[str, object]:
    return {
        "file": str(path),
        "valid": checked.loaded is not None,
        "digest": checked.loaded.digest if checked.loaded else None,
        "faults": [fault.as_dict() for fault in checked.faults],
    }


def _as_text(path: Path, checked: Checked) -> str:
    text = "".join(f"{fault}\n" for fault in checked.faults)
    if checked.loaded is None:
        return text
    policy = checked.loaded.policy
    gates = ["ownership", *(name for name in type(policy.gates).model_fields if getattr(policy.gates, name))]
    steps = (
        f"{len(policy.rollout.steps)} step{'s' * (len(policy.rollout.steps) != 1)}" if policy.rollout else "no rollout"
    )
    digest = checked.loaded.digest[: len("sha256:") + 12]
    return f"{text}{path}: valid (model {policy.model}, {len(gates)} gates, {steps}, digest {digest})\n"
