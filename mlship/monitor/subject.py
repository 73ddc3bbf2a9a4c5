"""Who is watched: the champion, and the baseline that its evaluation kept; from memory while the registry is away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlship.errors import Inconclusive, MlshipError, RegistryError
from mlship.home import Home
from mlship.monitor.kept import Champion
from mlship.monitor.store import Store
from mlship.policy.schema import Policy
from mlship.types.monitoring import Baseline, Trouble

if TYPE_CHECKING:
    from mlship.registry import Registry

#: The document of the store that says more of the champion than `Champion` does.
_MORE = "subject"


@dataclass(frozen=True, slots=True)
class Subject:
    """The version that serves, and what it was when it was proved."""

    version: str
    baseline: Baseline
    digest: str
    """Of `baseline.json`, as the registry's tags say."""
    run: str
    registered: float | None
    """Unix time; None when the registry has not said so."""
    promoted: float | None
    """Unix time of its promotion, by the ledger; None when that does not know it."""
    champion: Champion
    """For the store."""
    more: dict[str, object]
    """For the store, by name of the document."""
    trouble: Trouble | None = None


def subject(policy: Policy, home: Home, kept: Store, now: float) -> Subject:
    """Ask the registry; when it is away, what it said last.

    Raises ``RegistryError`` when nothing is remembered of the champion either, or it has no baseline, and
    ``Inconclusive`` when there is no champion.
    """
    from mlship.registry import Registry

    version: str | None = None
    try:
        registry = Registry.connect(policy.registry.uri, home)
        version = registry.alias(policy.model, policy.champion)
        if version is not None:
            return _asked(registry, policy, home, version, now)
    except RegistryError as error:
        remembered = _remembered(kept, version, now, error)
        if remembered is None:
            raise
        return remembered
    what, hint = f"nobody is {policy.champion}: there is nothing to watch yet", "`mlship ship POLICY` promotes one"
    raise Inconclusive(what, where=policy.model, hint=hint)


def _asked(registry: Registry, policy: Policy, home: Home, version: str, now: float) -> Subject:
    from mlship.registry import baselines, catalogue

    found = registry.baseline(policy.model, version)
    born = catalogue.registered(registry, policy.model, version)
    promoted = _promoted(home, policy.model, version)
    text = baselines.dumps(found.baseline)
    champion = Champion(version, found.baseline.digest, text, promoted, now)
    more: dict[str, object] = {
        _MORE: {"version": version, "digest": found.digest, "run": found.run, "registered": born}
    }
    return Subject(version, found.baseline, found.digest, found.run, born, promoted, champion, more)


def _remembered(kept: Store, version: str | None, now: float, error: RegistryError) -> Subject | None:
    """What was said last, unless the registry still says that another version is champion."""
    from mlship.registry import baselines

    champion, more = kept.champion(), kept.memory(_MORE)
    if champion is None or not isinstance(more, dict) or more.get("version") != champion.version:
        return None
    if version is not None and version != champion.version:
        return None
    try:
        baseline = baselines.loads(champion.baseline)
    except ValueError:
        return None
    said = f"{error.where}: {error.what}" if error.where else error.what
    trouble = Trouble("registry", f"{said}; version {champion.version} was champion when it last answered", now)
    return Subject(
        champion.version,
        baseline,
        str(more["digest"]),
        str(more["run"]),
        float(more["registered"]) if more.get("registered") is not None else None,
        champion.since,
        champion,
        {},
        trouble,
    )


def _promoted(home: Home, model: str, version: str) -> float | None:
    """When the version last became champion, by the ledger; a damaged ledger tells what it can."""
    from mlship.champions import TELLING
    from mlship.ledger import Ledger

    try:
        entries = Ledger(home.ledger).read().entries
    except MlshipError:
        return None
    told = [one for one in entries if one.model == model and one.action in TELLING and one.to_version == version]
    return told[-1].at if told else None
