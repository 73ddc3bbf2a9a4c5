"""What there is around a draft: the registry's models, the version to measure, git. Looks, and changes nothing."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.draft.facts import Owner
from mlship.errors import MlshipError
from mlship.home import Home
from mlship.report.figures import nearest

if TYPE_CHECKING:
    from mlship.registry import Registry
    from mlship.registry.catalogue import Listed
    from mlship.types import ModelVersion

#: Seconds that git may take to say a name.
_GIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A registry, as far as it could be seen."""

    registry: Registry | None
    models: tuple[Listed, ...]
    trouble: MlshipError | None = None
    """Why nothing was seen."""
    absent: bool = False
    """There is none: nobody names one, and none was made here."""


def look(uri: str | None, home: Home) -> Seen:
    """The models of the registry that a policy would use. An embedded one that is not there yet is not made."""
    from mlship.registry import Registry, connection
    from mlship.registry.catalogue import models

    _, _, embedded = connection.choose(uri, home)
    if embedded and not (home.registry_dir / "mlflow.db").is_file():
        return Seen(None, (), absent=True)
    try:
        registry = Registry.connect(uri, home)
        return Seen(registry, tuple(models(registry)))
    except MlshipError as error:
        return Seen(None, (), error)


def to_measure(seen: Seen, model: str) -> tuple[Listed | None, str, ModelVersion | None, str]:
    """The registered model, how its version was found, the version itself, and what stood in the way."""
    if seen.registry is None:
        why = seen.trouble.what if seen.trouble else "no registry is named, and none was made here"
        way = "set MLFLOW_TRACKING_URI, or give --registry"
        return None, "", None, f"the registry was not asked: {why}; {way}, and draft again"
    listed = next((one for one in seen.models if one.name == model), None)
    if listed is None:
        names = [one.name for one in seen.models]
        return None, "", None, f"the registry has no model named {model}{nearest(model, names)}"
    aliases = dict(listed.aliases)
    reference = next((f"@{alias}" for alias in ("champion", "challenger") if alias in aliases), "latest")
    try:
        return listed, reference, seen.registry.version(model, reference), ""
    except MlshipError as error:
        return listed, reference, None, f"{reference} of {model} could not be fetched: {error.what}"


def top(directory: Path) -> Path | None:
    """The top of the git work tree that a directory is in; None outside of one."""
    for one in (directory, *directory.parents):
        if (one / ".git").exists():
            return one
    return None


def git_owner(directory: Path) -> Owner:
    """Name and address as git knows them there; empty where it does not, or is not there."""
    return Owner(_git(directory, "user.name"), _git(directory, "user.email"))


def _git(directory: Path, key: str) -> str:
    program = shutil.which("git")
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, "config", "--get", key],
            cwd=directory,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
