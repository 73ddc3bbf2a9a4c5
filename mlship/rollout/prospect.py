"""What a promotion would do now: who would replace whom, what is proved of it already, and what the rollout will see.

Nothing is changed, and nothing is raised for what cannot be found: it is said instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mlship.errors import GateFailed, Inconclusive, MlshipError, RegistryError
from mlship.home import Home
from mlship.ledger import Ledger, built_image, serving_image
from mlship.policy.freeze import frozen
from mlship.policy.load import LoadedPolicy
from mlship.report.figures import digest
from mlship.rollout import arrivals, earlier, views
from mlship.rollout.admission import admit, same_champion, within_budget
from mlship.rollout.foresee import Foresight, Traffic, foresee
from mlship.rollout.outlook import Remark, known, remarks
from mlship.rollout.pins import Pins, pins
from mlship.rollout.plan import PlanStep, guards, steps
from mlship.types import Candidate, LedgerEntry, ModelVersion


@dataclass(frozen=True, slots=True)
class Proof:
    """Something that must be there before traffic moves."""

    name: str
    """evaluation | baseline | image | latency budget"""
    state: str
    """passed | failed | missing | unknown | not needed"""
    what: str
    """In a sentence."""
    command: str = ""
    """What brings it."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """Everything that is known before a promotion."""

    model: str
    policy: str
    digest: str
    candidate: str | None
    """Its version; None when it could not be found."""
    champion: str | None
    """None: there is none, or it could not be found."""
    proofs: tuple[Proof, ...]
    traffic: Traffic
    steps: tuple[PlanStep, ...]
    """Empty: the policy has no rollout section."""
    foresight: Foresight | None
    freeze: str
    """When no weight may rise now, until when; empty: weights may rise."""
    windows: tuple[str, ...]
    """All times in which no weight may rise, as the policy writes them."""
    lease: float
    """Seconds without a controller after which all traffic goes back to stable."""
    keep_warm: float
    """Seconds that the previous champion stays ready after a promotion."""
    sticky: bool
    """Whether users are assigned to an arm, and not each request by itself."""
    under_way: str
    """The unfinished rollout, in a sentence; empty when there is none."""
    remarks: tuple[Remark, ...]
    missing: tuple[str, ...]
    """What could not be found, each in a sentence."""
    next: str
    """The command to run now."""
    pins: Pins | None = None
    """Everything that the promotion would rest on, by digest; None while the candidate is not known."""
    plan_file: str = ""
    """Where that was written to; empty when nobody asked."""
    told: bool = field(default=True)
    """False: neither the registry, nor the ledger, nor the policy tells anything about a promotion."""


def prospect(
    loaded: LoadedPolicy,
    home: Home,
    *,
    rate: float | None = None,
    say: Callable[[str], None],
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Prospect:
    """What a promotion of this policy's candidate would do now.

    Parameters
    ----------
    rate
        Requests a second, if whoever asks knows better than counters and policy.
    say
        Told what takes its time.

    Raises ``StateError`` when the ledger is damaged.
    """
    policy, missing = loaded.policy, list[str]()
    entries = Ledger(home.ledger).entries(policy.model)
    first = arrivals.read(home, policy.model) if rate is None else None
    say("reaching the registry")
    candidate = _candidate(loaded, home, missing)
    version = candidate.version if candidate is not None else _remembered(entries)
    traffic = known(policy) if rate is None else Traffic(rate, "--rate")
    if first is not None:
        last = arrivals.read(home, policy.model, after=first, sleep=sleep)
        measured = arrivals.traffic(first, last, traffic) if last is not None else None
        if measured is not None and measured.source == traffic.source:
            missing.append("the endpoint runs, and has no requests now: its rate is not measured")
        traffic = measured or traffic
    plan = steps(policy.rollout) if policy.rollout is not None else ()
    foresight = foresee(guards(policy.rollout), plan, traffic) if policy.rollout is not None else None
    proofs = tuple(_proofs(loaded, entries, candidate, version))
    under_way = _under_way(home, policy.model, missing)
    return Prospect(
        policy.model,
        str(loaded.path),
        loaded.digest,
        candidate.version.version if candidate is not None else None,
        candidate.champion.version if candidate is not None and candidate.champion is not None else None,
        proofs,
        traffic,
        plan,
        foresight,
        frozen(policy.rollout.freeze, now()) if policy.rollout is not None else "",
        policy.rollout.freeze if policy.rollout is not None else (),
        policy.rollout.lease if policy.rollout is not None else 0.0,
        policy.rollout.keep_warm if policy.rollout is not None else 0.0,
        policy.rollout is not None and policy.rollout.sticky is not None,
        under_way,
        (
            *_before(loaded, candidate, entries),
            *(remarks(policy.rollout, foresight, traffic) if policy.rollout is not None and foresight else ()),
        ),
        tuple(missing),
        _next(loaded, candidate, proofs, under_way, home),
        pins(loaded, candidate, entries) if candidate is not None else None,
        told=bool(candidate is not None or entries or policy.rollout is not None),
    )


def _before(loaded: LoadedPolicy, candidate: Candidate | None, entries: list[LedgerEntry]) -> list[Remark]:
    """That the candidate was rolled back before: a job that is run again must not go on as if it had not been."""
    if candidate is None or _is_champion(candidate):
        return []
    said = earlier.rolled_back(entries, candidate.version, loaded.digest)
    hint = f"why: `mlship why {candidate.model}`; where a schedule ships, let {loaded.policy.candidate} name another"
    return [Remark(("candidate",), said, hint)] if said else []


def _is_champion(candidate: Candidate) -> bool:
    return candidate.champion is not None and candidate.champion.version == candidate.version.version


def _candidate(loaded: LoadedPolicy, home: Home, missing: list[str]) -> Candidate | None:
    from mlship.registry import Registry, connection

    try:
        _, _, embedded = connection.choose(loaded.policy.registry.uri, home)
        if embedded and not (home.registry_dir / "mlflow.db").exists():
            missing.append("there is no registry here yet: name one by registry.uri or MLFLOW_TRACKING_URI")
            return None
        return Registry.connect(loaded.policy.registry.uri, home).candidate(loaded.policy)
    except RegistryError as error:
        missing.append(f"the registry did not tell the candidate: {error.what}")
        return None


def _remembered(entries: list[LedgerEntry]) -> ModelVersion | None:
    """The version that the ledger saw evaluated last: better than nothing while the registry is away."""
    from pathlib import Path

    for entry in reversed(entries):
        if entry.action == "evaluated" and entry.to_version and entry.evidence.get("model"):
            return ModelVersion(entry.model, entry.to_version, entry.evidence["model"], Path())
    return None


def _proofs(
    loaded: LoadedPolicy, entries: list[LedgerEntry], candidate: Candidate | None, version: ModelVersion | None
) -> list[Proof]:
    policy, path = loaded.policy, str(loaded.path)
    evaluate, build, latency = (f"mlship {command} {path}" for command in ("evaluate", "build", "latency"))
    if version is None:
        unknown = "not known: there is no candidate, and nothing in the ledger"
        return [Proof("evaluation", "unknown", unknown, evaluate)]
    about = "" if candidate is not None else f" of version {version.version}, the last in the ledger"
    found = []

    def asked(name: str, command: str, ask: Callable[[], LedgerEntry]) -> LedgerEntry | None:
        entry = None
        try:
            entry = ask()
        except GateFailed as error:
            found.append(Proof(name, "failed", error.what, command))
        except Inconclusive as error:
            found.append(Proof(name, "missing", error.what, command))
        else:
            at = time.strftime("%Y-%m-%d %H:%M", time.gmtime(entry.at))
            found.append(Proof(name, "passed", f"passed{about}, {at} UTC by {entry.who}"))
        return entry

    def evaluated() -> LedgerEntry:
        entry = admit(entries, version, loaded.digest, path)
        if candidate is not None:
            same_champion(entry, candidate.champion, path)
        return entry

    proved = asked("evaluation", evaluate, evaluated)
    if policy.monitor is not None and proved is not None:
        kept = proved.evidence.get("baseline", "")
        if kept:
            found.append(Proof("baseline", "passed", f"kept with the evaluation: {digest(kept)}"))
        else:  # of an earlier mlship
            found.append(Proof("baseline", "missing", "the evaluation kept none to watch the model by", evaluate))
    docker = policy.rollout is not None and policy.rollout.engine == "docker"
    image = built_image(entries, version.digest, loaded.digest)
    champion = candidate.champion if candidate is not None else None
    if not docker and policy.image is None:
        found.append(Proof("image", "not needed", "not needed: processes of this machine serve"))
    elif not image:
        found.append(Proof("image", "missing", "this version has no image under this policy", build))
    elif docker and champion is not None and not serving_image(entries, champion.digest, loaded.digest):
        command = f"{build} --candidate {champion.version}"
        found.append(Proof("image", "missing", f"the champion, version {champion.version}, has no image", command))
    else:
        found.append(Proof("image", "passed", f"built: {digest(image)}"))
    if policy.gates.latency is None:
        found.append(Proof("latency budget", "not needed", "not needed: the policy has none"))
    else:
        served = image if docker else ""
        asked("latency budget", latency, lambda: within_budget(entries, version, loaded.digest, served, path))
    return found


def _under_way(home: Home, model: str, missing: list[str]) -> str:
    try:
        view = views.latest(home, model)
    except MlshipError as error:
        missing.append(f"the latest rollout cannot be read: {error.what}")
        return ""
    if view is None or view.phase == "done":
        return ""
    alive = "" if view.running else ", and nobody watches it"
    return f"version {view.candidate_version} is at step {view.step + 1} of {view.steps}{alive}"


def _next(
    loaded: LoadedPolicy, candidate: Candidate | None, proofs: tuple[Proof, ...], under_way: str, home: Home
) -> str:
    if candidate is None:
        return ""
    if _is_champion(candidate) and not under_way:
        from mlship.engines import table

        serves = loaded.policy.rollout is None or candidate.model in table.running(home)
        return "" if serves else f"mlship rollout {loaded.path}"  # it would serve the champion
    due = [proof for proof in proofs if proof.command]
    if due and not under_way:
        return due[0].command
    return f"mlship rollout {loaded.path}" if loaded.policy.rollout is not None else ""
