"""What `mlship why --registry` asks the registry: which version the alias names, its digest, evaluations it keeps."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import MlshipError

if TYPE_CHECKING:
    from mlship.home import Home


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked about."""

    model: str
    version: str
    runs: tuple[str, ...]
    """Runs whose evaluations are not kept here."""


def ask(plan: dict[str, Any], wanted: Wanted, home: Home) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """(the champion's version and this version's digest, empty where the registry has none; evaluations by run).

    Raises ``RegistryError`` when it cannot be reached.
    """
    from mlship.registry import Registry
    from mlship.registry.connection import told

    registry = Registry.connect(_uri(plan), home)
    alias = registry.alias(wanted.model, str(plan.get("champion_alias") or "champion"))
    documents: dict[str, dict[str, Any]] = {}
    for run in wanted.runs:
        with tempfile.TemporaryDirectory() as scratch:
            try:
                with told(registry.registry_uri):
                    path = Path(registry.client.download_artifacts(run, "evaluation.json", scratch))
                documents[run] = json.loads(path.read_text(encoding="utf-8"))
            except (MlshipError, OSError, ValueError):
                continue
    try:
        digest = registry.version(wanted.model, wanted.version).digest
    except MlshipError:
        digest = ""
    return {"champion": alias or "", "digest": digest}, documents


def _uri(plan: dict[str, Any]) -> str | None:
    """The plan's, else (it held a secret) the policy's, else whatever the environment says."""
    from mlship.policy.load import load_policy

    if plan.get("registry_uri"):
        return str(plan["registry_uri"])
    try:
        return load_policy(Path(str(plan.get("policy_path", "")))).policy.registry.uri
    except MlshipError:
        return None
