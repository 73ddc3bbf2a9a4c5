"""What the schema cannot say: parts of a policy that contradict each other or ask for what is not there. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from mlship.policy.data import Dataset
from mlship.policy.explain import suggestion
from mlship.policy.faults import Fault, Severity, Source, Spot, plain
from mlship.policy.later import THIS
from mlship.policy.schema import Policy
from mlship.policy.scorers import OWN, SCORERS
from mlship.policy.tree import Location, Node, Scalar, find, key_spot, value_spot
from mlship.policy.units import format_duration, format_percent

_EVALUATION: Location = ("data", "evaluation")
_REFERENCE: Location = ("data", "reference")
_LEAKAGE: Location = ("gates", "leakage")


@dataclass(frozen=True, slots=True)
class Subject:
    """A policy under lint: its values, and where they stand."""

    policy: Policy
    tree: Node
    """Without the parts that the schema refused; `policy` was made of it."""
    written: Node
    """As read; what is in here but not in `tree` has a fault already."""
    source: Source

    def error(self, location: Location, what: str, hint: str = "", *, at_key: bool = False) -> Fault:
        """A fault at a value, or at its key."""
        return self.source.fault(self._spot(location, at_key), what, hint)

    def warning(self, location: Location, what: str, hint: str = "", *, at_key: bool = False) -> Fault:
        """A warning at a value, or at its key."""
        return self.source.fault(self._spot(location, at_key), what, hint, Severity.WARNING)

    def written_at(self, location: Location) -> bool:
        """Does the file say anything about this, right or wrong?"""
        return find(self.written, location) is not None

    def shown(self, location: Location) -> str:
        """A value as it stands in the file, for a message."""
        node = find(self.tree, location)
        return plain(node.written) if isinstance(node, Scalar) else ""

    def _spot(self, location: Location, at_key: bool) -> Spot:
        return key_spot(self.tree, location) if at_key else value_spot(self.tree, location)


def lint(subject: Subject) -> list[Fault]:
    """All contradictions in one policy."""
    return [fault for check in _CHECKS for fault in check(subject)]


def _names(subject: Subject) -> Iterable[Fault]:
    policy = subject.policy
    if re.search(r"[/:]", policy.model):
        yield subject.error(
            ("model",), "a model's name cannot contain '/' or ':'", "the name only, without models:/ and version"
        )
    candidate, champion = ("candidate",), ("champion",)
    if not _ALIAS.fullmatch(policy.candidate) and not re.fullmatch(r"[1-9][0-9]*|latest", policy.candidate):
        meant = (
            f'write "@{subject.shown(candidate)}", '
            if _ALIAS.fullmatch(f"@{policy.candidate}")
            else "write an @alias, "
        )
        yield subject.error(
            candidate, "not an @alias, a version number, or latest", meant + "a version number, or latest"
        )
    if not _ALIAS.fullmatch(policy.champion):
        yield subject.error(champion, "the champion must be an @alias: it is moved at promotion", 'write "@champion"')
    elif policy.candidate == policy.champion:
        where = candidate if subject.written_at(candidate) else champion
        yield subject.error(where, "candidate and champion are the same alias", "they must be able to differ")


_ALIAS = re.compile(r"@(?!latest$|v[0-9]+$|[0-9]+$)[A-Za-z0-9_-]+", re.IGNORECASE)


def _gates(subject: Subject) -> Iterable[Fault]:
    gates = subject.policy.gates
    used = [name for name in ("contract", "leakage", "metrics") if getattr(gates, name)]
    if not used and not _has_broken(subject, ("gates",)):
        yield subject.error(
            ("gates",), "no gate: a promotion would rest on nothing", "add contract, leakage or metrics", at_key=True
        )
    if subject.policy.data is None and not subject.written_at(_EVALUATION):
        for name in used:
            yield subject.error(
                ("gates", name), f"'{name}' needs data.evaluation", "add data.evaluation.path", at_key=True
            )


def _metrics(subject: Subject) -> Iterable[Fault]:
    policy = subject.policy
    for name, rule in policy.gates.metrics.items():
        here: Location = ("gates", "metrics", name)
        if name not in (*SCORERS, *OWN):
            hint = suggestion(name, [*SCORERS, *OWN]) or "see the list of scorers in scikit-learn's user guide"
            yield subject.error(here, f"'{plain(name, 40)}' is not a metric", hint, at_key=True)
        if rule.min is None and rule.max is None and rule.max_drop is None and not _has_broken(subject, here):
            yield subject.error(here, f"'{plain(name, 40)}' has no limit", "add min, max or max_drop", at_key=True)
        if rule.min is not None and rule.max is not None and rule.min > rule.max:
            yield subject.error((*here, "min"), f"min {rule.min:g} is more than max {rule.max:g}", "swap them?")
    data = policy.data
    if (
        policy.gates.metrics
        and data
        and not data.evaluation.target
        and not subject.written_at((*_EVALUATION, "target"))
    ):
        yield subject.error(_EVALUATION, "'metrics' needs the column that holds the label", "add target", at_key=True)


_SOURCES = ("path", "sql", "mlflow")


def _data(subject: Subject) -> Iterable[Fault]:
    data = subject.policy.data
    for name in ("evaluation", "reference", "recent"):
        dataset: Dataset | None = getattr(data, name, None)
        if dataset is None:
            continue
        here: Location = ("data", name)
        given = [key for key in _SOURCES if getattr(dataset, key) is not None]
        if not given and not any(subject.written_at((*here, key)) for key in _SOURCES):
            yield subject.error(here, f"'{name}' names no rows", "add path, sql or mlflow", at_key=True)
        elif len(given) > 1:
            what = f"'{name}' names its rows {len(given)} times, by {' and '.join(given)}"
            yield subject.error((*here, given[1]), what, "keep one", at_key=True)


def _contract(subject: Subject) -> Iterable[Fault]:
    contract, data = subject.policy.gates.contract, subject.policy.data
    if contract is None:
        return
    here: Location = ("gates", "contract")
    conflicts: Location = (*here, "max_label_conflicts")
    if (
        data
        and not data.evaluation.target
        and not subject.written_at((*_EVALUATION, "target"))
        and subject.written_at(conflicts)
    ):
        yield subject.error(conflicts, "label conflicts need data.evaluation.target", "add it", at_key=True)
    for name, rule in contract.columns.items():
        column: Location = (*here, "columns", name)
        if rule.min is not None and rule.max is not None and rule.min > rule.max:
            yield subject.error((*column, "min"), f"min {rule.min:g} is more than max {rule.max:g}", "swap them?")
        if rule.type in ("string", "boolean", "datetime") and (rule.min is not None or rule.max is not None):
            yield subject.error(
                (*column, "type"), f"a {rule.type} has no min or max", "remove them, or correct the type"
            )
        if rule.values == () and not _has_broken(subject, (*column, "values")):
            yield subject.error((*column, "values"), "no value is allowed", "list the values, or remove the key")


def _leakage(subject: Subject) -> Iterable[Fault]:
    """Checks that were asked for by name are errors where they cannot work; checks that are on by default, warnings."""
    leakage, data = subject.policy.gates.leakage, subject.policy.data
    if leakage is None or data is None:
        return
    evaluation, reference = data.evaluation, data.reference

    def lacking(key: str, what: str, hint: str, default: str = "") -> Fault:
        location = (*_LEAKAGE, key)
        if subject.written_at(location):
            return subject.error(location, f"'{key}' {what}", hint, at_key=True)
        return subject.warning(_LEAKAGE, f"'{key}', on by default, {what}", f"{hint}{default}", at_key=True)

    if reference is None and not subject.written_at(_REFERENCE):
        missing = ["max_overlap", "chronological" if leakage.chronological else ""]
        missing += ["max_entity_overlap" if leakage.max_entity_overlap is not None else ""]
        for key in filter(None, missing):
            off = ", or set chronological: false" if key == "chronological" else ""
            yield lacking(key, "needs data.reference", "add data.reference: the rows the candidate was trained on", off)
    if leakage.chronological and reference is not None:
        for where, dataset in ((_EVALUATION, evaluation), (_REFERENCE, reference)):
            if not dataset.time and not subject.written_at((*where, "time")):
                name = ".".join(map(str, where))
                yield lacking(
                    "chronological", f"needs {name}.time", f"add time to {name}", ", or set chronological: false"
                )
    if (
        leakage.max_single_feature_auc is not None
        and not evaluation.target
        and not subject.written_at((*_EVALUATION, "target"))
    ):
        yield lacking("max_single_feature_auc", "needs data.evaluation.target", "add it", ", or set it to null")
    if leakage.max_entity_overlap is not None and not data.entity and not subject.written_at(("data", "entity")):
        yield lacking(
            "max_entity_overlap", "needs data.entity", "add entity: the columns that name what a row is about"
        )


def _endpoint(subject: Subject) -> Iterable[Fault]:
    here: Location = ("endpoint", "listen")
    host, _, port = subject.policy.endpoint.listen.rpartition(":")
    if not 1 <= int(port) <= 65535:
        yield subject.error(here, f"there is no port {port}", "ports go from 1 to 65535")
    elif int(port) < 1024:
        yield subject.warning(here, f"port {port} needs special rights on most machines", "take one from 1024 on")
    if host == "localhost":
        return
    try:
        address = IPv6Address(host[1:-1]) if host.startswith("[") else IPv4Address(host)
    except AddressValueError:
        yield subject.error(
            here, f"there is no address {plain(host)}", "write 127.0.0.1, or another address of this machine"
        )
        return
    if not address.is_loopback:
        yield subject.warning(
            here,
            f"{address} can be reached from other machines, and {THIS} does not ask callers who they are",
            "127.0.0.1?",
        )


def _rollout(subject: Subject) -> Iterable[Fault]:
    rollout = subject.policy.rollout
    if rollout is None:
        return
    before = 0.0
    deadline = rollout.progress_deadline
    for index, step in enumerate(rollout.steps):
        here: Location = ("rollout", "steps", index)
        if step.weight <= before:
            yield subject.error(
                (*here, "weight"),
                f"{format_percent(step.weight)} is not more than the step before, {format_percent(before)}",
                "weights must rise from step to step",
            )
        before = max(before, step.weight)
        if not step.bake.for_ and not step.bake.requests and not _has_broken(subject, (*here, "bake")):
            yield subject.error(
                (*here, "bake"),
                "this step asks for nothing",
                "add for (a duration) or requests (a number), or both",
                at_key=True,
            )
        if step.bake.for_ > deadline:
            yield subject.error(
                (*here, "bake", "for"),
                f"{format_duration(step.bake.for_)} is more than progress_deadline, {format_duration(deadline)}",
                "the step would always pause; shorten it or raise the deadline",
            )
    guard = rollout.guard
    if (
        guard.errors is None
        and guard.latency is None
        and guard.labels is None
        and not _has_broken(subject, ("rollout", "guard"))
    ):
        yield subject.error(
            ("rollout", "guard"),
            "nothing is watched: a bad candidate would be promoted",
            "keep errors, latency or labels",
            at_key=True,
        )


def _has_broken(subject: Subject, location: Location) -> bool:
    """Was a part of this section refused by the schema? Then its values are not what the file says."""
    return find(subject.written, location) != find(subject.tree, location)


_CHECKS: tuple[Callable[[Subject], Iterable[Fault]], ...] = (
    _names,
    _data,
    _gates,
    _metrics,
    _contract,
    _leakage,
    _endpoint,
    _rollout,
)
