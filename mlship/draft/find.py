"""From a model's name and the rows that a person named to everything that a draft is made of."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from mlship.draft import world
from mlship.draft.facts import Data, Facts, Owner, Version
from mlship.draft.layout import quoted
from mlship.draft.measure import Asked, measure, proved
from mlship.draft.policy import draft
from mlship.errors import PolicyError
from mlship.home import Home
from mlship.policy.faults import Severity
from mlship.policy.load import LoadedPolicy, examine
from mlship.registry.catalogue import Listed
from mlship.types import GateResult, ModelVersion


@dataclass(frozen=True, slots=True)
class Drafted:
    """A policy that `mlship validate` accepts, what it rests on, and what was proved of it."""

    facts: Facts
    loaded: LoadedPolicy
    warnings: tuple[str, ...]
    """What `mlship validate` will say about it, though it is valid."""
    measured: bool
    """Whether the version was measured on rows."""
    unmet: tuple[GateResult, ...] = ()
    """Rules that the version itself does not pass."""


def drafted(
    model: str,
    asked: Asked | None,
    seen: world.Seen,
    home: Home,
    policy: Path,
    *,
    owner: Owner,
    where: world.Where,
    allow_code: bool = False,
    rate: float | None,
    today: date,
    progress: Callable[[str], None],
) -> Drafted:
    """Find, measure, draft, and prove that the version that was measured passes the draft. Nothing is written.

    Parameters
    ----------
    policy
        Where the file will be: paths in it are relative to its directory.
    where
        What the policy says about the registry.
    allow_code
        The Python code that was logged with the model is trusted: it is measured, and the policy says so.

    Raises ``DataError`` when the rows cannot be read, ``PolicyError`` when no valid policy comes out.
    """
    progress(f"looking for {model} in the registry")
    listed, found_by, version, trouble = world.to_measure(seen, model)
    unknown = [trouble] if trouble else []
    unknown += [where.unknown] if where.unknown else []
    unknown += _owner(owner)
    facts = Facts(
        model,
        owner,
        today,
        quoted(where.written) if where.written else None,
        quoted(where.hint) if where.hint else None,
        where.why,
        _version(version, found_by),
        _aliases(listed),
        allow_code=allow_code,
        rate=rate,
    )
    measured = None
    if asked is None:
        unknown.append("no rows were given, so nothing was measured: draft again with --data FILE --target COLUMN")
    else:
        measured = measure(asked, version, home, progress, allow_code=allow_code)
        if measured.trouble:
            unknown.append(f"{facts.subject} could not be measured: {measured.trouble}")
        data = Data(
            path_in(asked.evaluation, policy.parent),
            measured.rows,
            asked.target,
            asked.time,
            path_in(asked.reference, policy.parent) if asked.reference else None,
            measured.columns,
            measured.others,
        )
        facts = replace(facts, data=data, task=measured.task, likely=measured.likely, results=measured.results)
    facts = replace(facts, unknown=tuple(unknown))
    loaded, warnings = checked(draft(facts), policy)
    whole = version is not None and measured is not None and measured.task is not None
    unmet: list[GateResult] = []
    if whole and version is not None:
        progress(f"proving that {facts.subject} passes the draft")
        unmet = proved(loaded, version, home, progress)
    return Drafted(facts, loaded, warnings, whole, tuple(unmet))


def checked(text: str, policy: Path) -> tuple[LoadedPolicy, tuple[str, ...]]:
    """A drafted text as the policy that it will be at `policy`, and the warnings about it.

    Raises ``PolicyError`` when it is not valid: a name that no policy can hold.
    """
    from mlship.rollout.outlook import lint

    with tempfile.TemporaryDirectory(prefix="mlship-init-") as made:
        path = Path(made) / policy.name
        path.write_text(text, encoding="utf-8")
        found = examine(path, data=False, also=lint)
    if found.loaded is None:
        errors = [fault for fault in found.faults if fault.severity is Severity.ERROR]
        what = "; ".join(fault.what for fault in errors[:3])
        raise PolicyError(
            f"no valid policy comes out: {what}",
            where=str(policy),
            hint="rename what it names, or write the policy by hand: see templates/policy.yaml",
        )
    return replace(found.loaded, path=policy), tuple(fault.what for fault in found.faults)


def path_in(path: Path, directory: Path) -> str:
    """How a policy in `directory` names a file: relative where both are in one tree, else absolute."""
    relative = os.path.relpath(path, directory)
    return relative if relative.count("..") <= 2 else str(path)


def _owner(owner: Owner) -> list[str]:
    lacking = [name for name in ("team", "contact") if not getattr(owner, name)]
    options = " and ".join(f"--{name}" for name in lacking)
    return [f"the owner's {' and '.join(lacking)}: git does not tell, {options} would"] if lacking else []


def _version(version: ModelVersion | None, found_by: str) -> Version | None:
    return None if version is None else Version(version.version, found_by, version.inputs)


def _aliases(listed: Listed | None) -> tuple[str, ...]:
    return () if listed is None else tuple(name for name, _ in listed.aliases)
