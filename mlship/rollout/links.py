"""The links of the chain of evidence behind one version, and where they do not fit together. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlship.report import figures, words
from mlship.report.account import Account, Link, Rule
from mlship.rollout.entries import by_hand, digests, evaluated, outcome, status_of
from mlship.rollout.words import counted, duration
from mlship.types import GateResult, LedgerEntry, Measurement, Status

#: What a person (or the guardian) did to a rollout, by the ledger's word.
_HANDS = {
    "paused": "paused",
    "resumed": "resumed",
    "advanced": "moved on by hand",
    "lease_expired": "taken back by the guardian",
}


@dataclass(frozen=True, slots=True)
class Chain:
    """Everything that the links are made of; see ``chain.Known``."""

    version: str
    entries: tuple[LedgerEntry, ...]
    accounts: tuple[Account, ...]
    anchor: Account | None
    """The rollout that decided; None when there was none."""
    documents: Mapping[str, Mapping[str, Any]]
    registry: Mapping[str, str] | None
    champion: str | None
    evaluation: str
    """Id of the evaluation that is asked about; empty: the one that let it in, or the latest."""

    @property
    def ids(self) -> dict[str, str]:
        """Ids and digests of the rollout that decided."""
        return dict(self.anchor.ids) if self.anchor is not None else {}

    @property
    def digest(self) -> str:
        """Of the version; empty when none is known."""
        found = digests(self.entries, self.version)
        return self.ids.get("candidate", "") or (found[-1][0] if found else "")


def of(chain: Chain) -> tuple[Link, ...]:
    """Every link, from its evaluation to where it stands now."""
    found = [_evaluation(chain), *_image(chain), *_latency(chain)]
    found += [_rollout(chain, account) for account in chain.accounts]
    found += sorted(_unjournaled(chain), key=lambda link: link.at or 0.0)
    found += _hands(chain)
    return (*found, *_registry(chain))


def swapped(chain: Chain) -> tuple[str, ...]:
    """The version had more than one digest: what was judged is not what served."""
    found: dict[str, str] = {}
    for digest, entry in digests(chain.entries, chain.version):
        found.setdefault(digest, entry.action.replace("_", " "))
    if candidate := chain.ids.get("candidate"):
        found.setdefault(candidate, "let onto traffic")
    if len(found) < 2:
        return ()
    listed = ", ".join(f"{figures.digest(digest)} ({action})" for digest, action in found.items())
    return (f"version {chain.version} is recorded with {len(found)} digests: {listed}",)


def _evaluation(chain: Chain) -> Link:
    wanted = chain.evaluation or chain.ids.get("evaluation", "")
    mine = [one for one in chain.entries if one.action == "evaluated" and one.to_version == chain.version]
    entry = evaluated(chain.entries, wanted) if wanted else (mine[-1] if mine else None)
    if entry is None:
        missing = f"no entry of evaluation {wanted} in this ledger" if wanted else "no evaluation in this ledger"
        return Link("evaluation", "evaluation", Status.INCONCLUSIVE, "not recorded here", lacking=(missing,))
    said, ids = entry.evidence, chain.ids
    breaks = list(
        _differences(
            "the evaluation",
            "the rollout",
            (
                ("the candidate", said.get("model"), ids.get("candidate")),
                ("the champion", said.get("champion", ""), ids.get("champion", "") if ids else None),
                ("the policy", said.get("policy"), ids.get("policy")),
                ("the run", said.get("run"), ids.get("MLflow run")),
            ),
        )
    )
    status = status_of(entry)
    if chain.anchor is not None and chain.anchor.weights[1:] and status is not Status.PASSED:
        breaks.append(f"version {chain.version} had traffic although its evaluation was {status}")
    run = said.get("run", "")
    document = chain.documents.get(run)
    lacking = () if document else (f"the figures of the rules: MLflow run {run} (`--registry` asks the registry)",)
    if document is not None:
        breaks += _other_document(entry, document)
    return Link(
        "evaluation",
        f"evaluation {said.get('evaluation', '')}".strip(),
        status,
        outcome(entry),
        entry.at,
        entry.who,
        _facts(said, ("model", "champion", "policy", "data", "reference", "recent", "run")),
        rules=rules(document) if document is not None else (),
        breaks=tuple(breaks),
        lacking=lacking if run else (),
    )


def rules(document: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules that decided: those that did not pass; where all did, all that were judged."""
    found = [rule for one in document.get("results", []) if (rule := _rule(one)) is not None]
    judged = [rule for rule in found if rule.status is not Status.SKIPPED]
    open_ = [rule for rule in judged if rule.status is not Status.PASSED]
    return tuple(open_ or judged)


def _rule(one: Any) -> Rule | None:
    try:
        measured = one["measured"]
        low, high = (measured and measured["interval"]) or (None, None)
        found = Measurement(measured["metric"], measured["value"], low, high, measured["n"]) if measured else None
        status = Status(one["status"])
        result = GateResult(one["gate"], one["rule"], status, one["limit"], one["reason"], found)
        return Rule(result.gate, result.rule, status, words.measured(result), result.limit, result.reason)
    except (KeyError, TypeError, ValueError):
        return None


def _other_document(entry: LedgerEntry, document: Mapping[str, Any]) -> Iterator[str]:
    candidate = document.get("candidate")
    digest = candidate.get("digest") if isinstance(candidate, Mapping) else None
    yield from _differences(
        "the ledger",
        "the evaluation that MLflow keeps",
        (
            ("the evaluation", entry.evidence.get("evaluation"), document.get("evaluation_id")),
            ("the verdict", entry.evidence.get("status"), document.get("status")),
            ("the candidate", entry.evidence.get("model"), digest),
            ("the policy", entry.evidence.get("policy"), document.get("policy_digest")),
            ("the data", entry.evidence.get("data"), document.get("data_digest")),
        ),
    )


def _image(chain: Chain) -> list[Link]:
    image = chain.ids.get("candidate's image", "")
    built = [one for one in chain.entries if one.action == "built" and one.to_version == chain.version]
    mine = [one for one in built if one.evidence.get("image") == image] if image else built
    if not mine and not image:
        return []
    if not mine:
        missing = f"who built {figures.digest(image)}, and of what: no entry in this ledger"
        return [Link("image", f"image {figures.digest(image)}", Status.INCONCLUSIVE, "served", lacking=(missing,))]
    entry, ids = mine[-1], chain.ids
    pairs = (("the model", entry.evidence.get("model"), ids.get("candidate")),)
    breaks = tuple(_differences("the image", "the rollout", pairs))
    facts = _facts(entry.evidence, ("image", "model", "policy", "context", "pushed"))
    title = f"image {figures.digest(entry.evidence.get('image', ''))}"
    return [Link("image", title, Status.PASSED, f"built: {entry.reason}", entry.at, entry.who, facts, breaks=breaks)]


def _latency(chain: Chain) -> list[Link]:
    began = chain.anchor.began if chain.anchor is not None else float("inf")
    mine = [
        one for one in chain.entries if one.action == "measured" and one.to_version == chain.version and one.at <= began
    ]
    if not mine:
        return []
    entry, ids = mine[-1], chain.ids
    pairs = (
        ("the model", entry.evidence.get("model"), ids.get("candidate")),
        ("the policy", entry.evidence.get("policy"), ids.get("policy")),
        ("the image", entry.evidence.get("image"), ids.get("candidate's image")),
    )
    breaks = tuple(_differences("the latency proof", "the rollout", pairs))
    facts = _facts(entry.evidence, ("model", "policy", "image", "run"))
    return [
        Link("latency", "latency budget", status_of(entry), outcome(entry), entry.at, entry.who, facts, breaks=breaks)
    ]


def _rollout(chain: Chain, account: Account) -> Link:
    ids = dict(account.ids)
    ends = [one for one in chain.entries if one.evidence.get("rollout") == account.rollout_id]
    ended = [one for one in ends if one.action in ("promoted", "rolled_back", "aborted")]
    breaks: list[str] = []
    lacking: list[str] = []
    for entry in ended:
        pairs = (
            ("the model", entry.evidence.get("model"), ids.get("candidate")),
            ("the champion", entry.evidence.get("champion"), ids.get("champion")),
            ("the policy", entry.evidence.get("policy"), ids.get("policy")),
            ("the image", entry.evidence.get("image"), ids.get("candidate's image")),
            ("the evaluation", entry.evidence.get("evaluation"), ids.get("evaluation")),
        )
        breaks += _differences("the ledger", "the rollout's journal", pairs)
        if account.over and entry.action != account.outcome:
            breaks.append(f"the ledger says {entry.action}, the journal {account.outcome}")
    if account.over and not ended:
        lacking.append(f"the outcome ({account.outcome}) is in the journal, and not in the ledger")
    if account.damaged:
        lacking.append(f"the last {account.damaged} lines of its journal cannot be read")
    passed = [
        f"{step.traffic} for {duration(round(step.seconds, 1))}, {counted(step.requests or 0)}"
        for step in account.steps
        if step.seconds is not None
    ]
    so_far = "" if account.over else "so far: "
    walked = f". Steps: {'; '.join(passed)}" if passed else ""
    who = ended[-1].who if ended else ""
    return Link(
        "rollout",
        f"rollout {account.rollout_id}",
        account.status,
        f"{so_far}{account.sentence}{walked}",
        account.ended,
        who,
        tuple((name, value) for name, value in account.ids if name != "rollout"),
        signals=account.signals if account is chain.anchor else (),
        breaks=tuple(breaks),
        lacking=tuple(lacking),
    )


def _unjournaled(chain: Chain) -> Iterator[Link]:
    """Outcomes in the ledger whose journal is not here."""
    known = {account.rollout_id for account in chain.accounts}
    for entry in chain.entries:
        rollout = entry.evidence.get("rollout")
        mine = entry.to_version if entry.action == "promoted" else entry.from_version
        ended = entry.action in ("promoted", "rolled_back", "aborted")
        if ended and rollout and rollout not in known and mine == chain.version:
            status = {"promoted": Status.PASSED, "rolled_back": Status.FAILED}.get(entry.action, Status.INCONCLUSIVE)
            facts = _facts(entry.evidence, ("model", "champion", "image", "policy", "evaluation"))
            missing = ("its journal: steps, counts and evidence over time",)
            text = f"{entry.action.replace('_', ' ')}: {entry.reason}"
            yield Link("rollout", f"rollout {rollout}", status, text, entry.at, entry.who, facts, lacking=missing)


def _hands(chain: Chain) -> list[Link]:
    mine = {account.rollout_id for account in chain.accounts}
    found = []
    for entry in chain.entries:
        if entry.action in _HANDS and entry.evidence.get("rollout") in mine:
            found.append(Link("hand", _HANDS[entry.action], Status.PASSED, entry.reason, entry.at, entry.who))
        elif by_hand(entry) and chain.version in (entry.from_version, entry.to_version):
            moved = f"rollback from version {entry.from_version} to version {entry.to_version}"
            facts = _facts(entry.evidence, ("model",))
            found.append(Link("hand", moved, Status.PASSED, entry.reason, entry.at, entry.who, facts))
    return found


def _registry(chain: Chain) -> list[Link]:
    said = chain.registry
    if said is None:
        return []
    if fault := said.get("fault"):
        return [Link("registry", "registry", Status.INCONCLUSIVE, "it could not be asked", lacking=(fault,))]
    breaks = []
    champion, digest = said.get("champion", ""), said.get("digest", "")
    if chain.champion is not None and champion != chain.champion:
        named = f"version {champion}" if champion else "nothing"
        breaks.append(f"the champion's alias names {named}, the ledger version {chain.champion}")
    pairs = ((f"version {chain.version}", digest or None, chain.digest or None),)
    breaks += _differences("the registry", "the rest of the chain", pairs)
    names = f"the champion's alias names version {champion}" if champion else "no champion's alias is set"
    facts = (("model", digest),) if digest else ()
    status = Status.FAILED if breaks else Status.PASSED
    return [Link("registry", "registry", status, names, facts=facts, breaks=tuple(breaks))]


def _differences(left_name: str, right_name: str, pairs: Sequence[tuple[str, str | None, str | None]]) -> Iterator[str]:
    """A sentence for every pair that both sides know, and that differs; None is not known, empty is none."""
    for what, mine, theirs in pairs:
        if mine is not None and theirs is not None and mine != theirs:
            one, other = (figures.digest(each) or "none" for each in (mine, theirs))
            yield f"{what}: {left_name} names {one}, {right_name} {other}"


def _facts(evidence: Mapping[str, str], names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    spoken = {"run": "MLflow run", "reference": "reference data", "recent": "recent data"}
    return tuple((spoken.get(name, name), evidence[name]) for name in names if evidence.get(name))
