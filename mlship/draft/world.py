"""What there is around a draft: the registry's models, the version to measure, git. Looks, and changes nothing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class Where:
    """What a policy says about where its registry is."""

    written: str | None = None
    """The URI, for the policy; None: it says nothing."""
    hint: str | None = None
    """The URI for a comment, without what may be secret in it."""
    why: str = ""
    """Where it was found."""
    unknown: str = ""
    """What a person has to do, because the policy says nothing."""


def where(given: str | None, environ: Mapping[str, str], *, answered: bool) -> Where:
    """What the policy says of a registry that `--registry` or MLFLOW_TRACKING_URI names.

    A server that answered is written down, so that every terminal and every colleague looks there. A secret never is;
    nor, unless `--registry` says so, a database of this machine, which nobody else has.
    """
    from mlship.registry.connection import safe

    tracking = environ.get("MLFLOW_TRACKING_URI")
    uri = given or tracking
    if not uri:
        return Where()
    if safe(uri) != uri:
        told = "the registry's URI may hold a password, so it is not written: set MLFLOW_TRACKING_URI to it"
        return Where(None, safe(uri), "its URI may hold a password: set MLFLOW_TRACKING_URI to it", told)
    if given:
        return Where(given, why="as told by --registry")
    if environ.get("MLFLOW_REGISTRY_URI", uri) != uri:
        told = "MLFLOW_REGISTRY_URI names another server than MLFLOW_TRACKING_URI: keep both set wherever mlship runs"
        return Where(None, uri, "from MLFLOW_TRACKING_URI; MLFLOW_REGISTRY_URI names another, so keep both set", told)
    if answered and uri.startswith(("http://", "https://", "databricks")):
        return Where(uri, why="from MLFLOW_TRACKING_URI")
    told = "the policy does not name the registry: keep MLFLOW_TRACKING_URI set, or take the # from its line `registry`"
    kind = "it did not answer" if not answered else "others may not have it"
    return Where(None, uri, f"from MLFLOW_TRACKING_URI ({kind}): keep that set, or take the # away", told)


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
