"""What a promotion rests on, by name and digest: versions, images, policy, proofs; and what of it has moved. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlship.errors import GateFailed, Inconclusive
from mlship.ledger import built_image, serving_image
from mlship.policy.load import LoadedPolicy
from mlship.report import figures
from mlship.rollout.admission import admit, same_champion, within_budget
from mlship.rollout.views import RolloutView
from mlship.types import Candidate, LedgerEntry, ModelVersion


@dataclass(frozen=True, slots=True)
class Arm:
    """The candidate or the champion."""

    reference: str
    """As the policy names it: `@challenger`, `7`, `latest`."""
    version: str | None
    """What that means now; None: there is no champion yet."""
    digest: str = ""
    """sha256 of the version's files; empty where there is no version."""
    image: str = ""
    """Id of its image; empty where none was built, or processes serve."""


@dataclass(frozen=True, slots=True)
class Proved:
    """A proof that lets the candidate in."""

    id: str
    run: str
    """The MLflow run that keeps it."""
    at: float
    """Unix seconds."""
    who: str
    data: tuple[tuple[str, str], ...] = ()
    """Digest of each data set that it was judged on: evaluation, reference, recent."""


@dataclass(frozen=True, slots=True)
class Pins:
    """Everything that a promotion now would rest on."""

    model: str
    policy: str
    """Path of the policy, as it was given."""
    policy_digest: str
    candidate: Arm
    champion: Arm
    evaluation: Proved | None
    """None: there is none that lets the candidate in."""
    latency: Proved | None
    """None: there is none, or the policy has no latency budget."""

    @property
    def changes(self) -> bool:
        """Whether other bytes would serve after the promotion than before it."""
        return self.candidate.digest != self.champion.digest


def pins(loaded: LoadedPolicy, candidate: Candidate, entries: Sequence[LedgerEntry]) -> Pins:
    """What a promotion of this candidate would rest on.

    Parameters
    ----------
    entries
        Of this model, from the ledger.
    """
    policy, known = loaded.policy, list(entries)
    docker = policy.rollout is not None and policy.rollout.engine == "docker"
    version, champion = candidate.version, candidate.champion
    image = built_image(known, version.digest, loaded.digest)
    served = serving_image(known, champion.digest, loaded.digest) if docker and champion is not None else ""
    if champion is not None and champion.digest == version.digest:
        image = served if docker else image
    return Pins(
        policy.model,
        str(loaded.path),
        loaded.digest,
        Arm(policy.candidate, version.version, version.digest, image),
        Arm(policy.champion, champion.version if champion else None, champion.digest if champion else "", served),
        _evaluation(loaded, version, champion, known),
        _latency(loaded, version, known, image if docker else ""),
    )


def _evaluation(
    loaded: LoadedPolicy, version: ModelVersion, champion: ModelVersion | None, entries: list[LedgerEntry]
) -> Proved | None:
    try:
        entry = admit(entries, version, loaded.digest, str(loaded.path))
        same_champion(entry, champion, str(loaded.path))
    except (GateFailed, Inconclusive):
        return None
    return _proved(entry)


def _latency(loaded: LoadedPolicy, version: ModelVersion, entries: list[LedgerEntry], image: str) -> Proved | None:
    if loaded.policy.gates.latency is None:
        return None
    try:
        return _proved(within_budget(entries, version, loaded.digest, image, str(loaded.path)))
    except (GateFailed, Inconclusive):
        return None


def _proved(entry: LedgerEntry) -> Proved:
    found = entry.evidence
    names = (("evaluation", "data"), ("reference", "reference"), ("recent", "recent"))
    data = tuple((name, found[key]) for name, key in names if found.get(key))
    return Proved(found.get("evaluation", ""), found.get("run", ""), entry.at, entry.who, data)


def moved(planned: Pins, now: Pins, under_way: RolloutView | None = None) -> list[str]:
    """What is not as it was planned any more, each in a sentence: what moved, from what, to what; empty: nothing.

    An image that was not built when the plan was made is no surprise; one that is not known here is not compared.

    Parameters
    ----------
    under_way
        The unfinished rollout, if there is one: that of the planned candidate may have moved the alias itself.
    """
    found = []
    if planned.policy_digest != now.policy_digest:
        found.append(
            "the policy, or what the environment puts into it, says something else: digest "
            f"{figures.digest(now.policy_digest)} now, {figures.digest(planned.policy_digest)} as planned"
        )
    wanted = (planned.candidate.version, planned.champion.version)
    mine = under_way is not None and (under_way.candidate_version, under_way.champion_version) == wanted
    finishing = mine and _same(planned.candidate, now.champion)
    found += _arm("candidate", planned.candidate, now.candidate)
    found += [] if finishing else _arm("champion", planned.champion, now.champion)
    return found


def _same(left: Arm, right: Arm) -> bool:
    return (left.version, left.digest) == (right.version, right.digest)


def _arm(role: str, planned: Arm, now: Arm) -> list[str]:
    if planned.version != now.version:
        return [f"{now.reference} moved from {_named(planned.version)} to {_named(now.version)}"]
    if planned.digest != now.digest:
        return [
            f"the files of the {role}, {_named(now.version)}, are others: digest {figures.digest(now.digest)} now, "
            f"{figures.digest(planned.digest)} as planned"
        ]
    if planned.image and now.image and planned.image != now.image:
        return [
            f"the image of the {role}, {_named(now.version)}, is another: {figures.digest(now.image)} now, "
            f"{figures.digest(planned.image)} as planned"
        ]
    return []


def _named(version: str | None) -> str:
    return "nothing" if version is None else f"version {version}"
