"""What the `MLmodel` file says about loading: which module does it, and which code travels with the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlship.policy.gates import SecurityGate
from mlship.scan.findings import Finding, Kind

_NAME = "MLmodel"
#: Keys of a flavor whose value is Python code of the model.
_CODE_KEYS = ("code", "model_code_path")


def look(directory: Path, section: SecurityGate) -> set[Finding]:
    """What loading would run by the word of the `MLmodel` file alone."""
    try:
        flavors = flavors_of(directory)
    except ValueError as error:
        return {Finding(_NAME, Kind.UNREADABLE, str(error))}
    found: set[Finding] = set()
    for name, flavor in flavors.items():
        for key in _CODE_KEYS:
            if flavor.get(key) and not section.allow_code:
                found.add(Finding(_NAME, Kind.CODE, f"{flavor[key]}, for the flavor {name}"))
    loader = str(flavors.get("python_function", {}).get("loader_module") or "mlflow.sklearn")
    if not loader.startswith("mlflow.") and loader not in section.allow_types and not section.allow_code:
        found.add(Finding(_NAME, Kind.CODE, f"the module {loader}, which loads it"))
    return found


def flavors_of(directory: Path) -> dict[str, dict[str, Any]]:
    """The flavors, by name, with their settings.

    Raises ``ValueError`` with the reason when the file cannot be read.
    """
    import yaml

    try:
        document = yaml.safe_load((directory / _NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError("there is no such file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(" ".join(str(error).split())[:200]) from None
    flavors = document.get("flavors") if isinstance(document, dict) else None
    if not isinstance(flavors, dict):
        raise ValueError("it names no flavors")  # noqa: TRY004 - the file is at fault, not a caller
    return {str(name): dict(flavor) for name, flavor in flavors.items() if isinstance(flavor, dict)}
