"""Contradictions about rows: datasets that name none, gates without the rows or columns that they judge. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from mlship.policy.data import Dataset
from mlship.policy.faults import Fault
from mlship.policy.scorers import RATES
from mlship.policy.subject import Subject
from mlship.policy.tree import Location

EVALUATION: Location = ("data", "evaluation")
REFERENCE: Location = ("data", "reference")
_LEAKAGE: Location = ("gates", "leakage")
_SOURCES = ("path", "sql", "mlflow")

#: Gates that need no evaluation rows: skew brings its own, a custom gate may look at the model only.
_OWN_ROWS = ("skew", "custom")


def lint_data(subject: Subject) -> Iterable[Fault]:
    """All of them."""
    yield from _datasets(subject)
    yield from _evaluation(subject)
    yield from _label(subject)
    yield from _leakage(subject)
    yield from _drift(subject)


def used_gates(subject: Subject) -> list[str]:
    """Gates that the policy asks for by name; security is judged anyway."""
    gates = subject.policy.gates
    return [name for name in type(gates).model_fields if name != "security" and getattr(gates, name)]


def lacks_target(subject: Subject) -> bool:
    """Are there evaluation rows, and no word about their label, right or wrong?"""
    data = subject.policy.data
    return data is not None and not data.evaluation.target and not subject.written_at((*EVALUATION, "target"))


def _datasets(subject: Subject) -> Iterable[Fault]:
    """Each dataset names its rows exactly once."""
    data, skew = subject.policy.data, subject.policy.gates.skew
    found: list[tuple[Location, Dataset | None]] = [
        (("data", name), getattr(data, name, None)) for name in ("evaluation", "reference", "recent")
    ]
    if skew is not None:
        found += [(("gates", "skew", "offline"), skew.offline), (("gates", "skew", "online"), skew.online)]
        if skew.feast is not None:
            found.append((("gates", "skew", "feast", "entities"), skew.feast.entities))
    for here, dataset in found:
        given = [key for key in _SOURCES if getattr(dataset, key, None) is not None]
        if dataset is not None and not given and not any(subject.written_at((*here, key)) for key in _SOURCES):
            yield subject.error(here, f"'{here[-1]}' names no rows", "add path, sql or mlflow", at_key=True)
        elif len(given) > 1:
            what = f"'{here[-1]}' names its rows {len(given)} times, by {' and '.join(given)}"
            yield subject.error((*here, given[1]), what, "keep one", at_key=True)


def _evaluation(subject: Subject) -> Iterable[Fault]:
    if subject.policy.data is None and not subject.written_at(EVALUATION):
        for name in used_gates(subject):
            if name not in _OWN_ROWS:
                yield subject.error(
                    ("gates", name), f"'{name}' needs data.evaluation", "add data.evaluation.path", at_key=True
                )


def _label(subject: Subject) -> Iterable[Fault]:
    """Gates that compare predictions with labels; one fault for all of them."""
    if not lacks_target(subject):
        return
    gates = subject.policy.gates
    needing = ["metrics"] if gates.metrics else []
    for name in ("slices", "fairness"):
        gate = getattr(gates, name)
        if gate is not None and gate.metric != _WITHOUT_LABELS:
            needing.append(name)
    needing += ["value"] if gates.value is not None else []
    if gates.agreement is not None and gates.agreement.min_better is not None:
        needing.append("agreement.min_better")
    robustness: Location = ("gates", "robustness")
    if any(subject.written_at((*robustness, key)) for key in ("max_drop", "metric")):
        needing.append("robustness")
    if needing:
        *most, last = [f"'{name}'" for name in needing]
        names = f"{', '.join(most)} and {last} need" if most else f"{last} needs"
        yield subject.error(EVALUATION, f"{names} the column that holds the label", "add target", at_key=True)
    conflicts: Location = ("gates", "contract", "max_label_conflicts")
    if gates.contract is not None and subject.written_at(conflicts):
        yield subject.error(conflicts, "label conflicts need data.evaluation.target", "add it", at_key=True)


#: The rate that is about predictions alone.
_WITHOUT_LABELS = RATES[RATES.index("selection_rate")]


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

    if reference is None and not subject.written_at(REFERENCE):
        missing = ["max_overlap", "chronological" if leakage.chronological else ""]
        missing += ["max_entity_overlap" if leakage.max_entity_overlap is not None else ""]
        for key in filter(None, missing):
            off = ", or set chronological: false" if key == "chronological" else ""
            yield lacking(key, "needs data.reference", "add data.reference: the rows the candidate was trained on", off)
    if leakage.chronological and reference is not None:
        for where, dataset in ((EVALUATION, evaluation), (REFERENCE, reference)):
            if not dataset.time and not subject.written_at((*where, "time")):
                name = ".".join(map(str, where))
                yield lacking(
                    "chronological", f"needs {name}.time", f"add time to {name}", ", or set chronological: false"
                )
    if (
        leakage.max_single_feature_auc is not None
        and not evaluation.target
        and not subject.written_at((*EVALUATION, "target"))
    ):
        yield lacking("max_single_feature_auc", "needs data.evaluation.target", "add it", ", or set it to null")
    if leakage.max_entity_overlap is not None and not data.entity and not subject.written_at(("data", "entity")):
        yield lacking(
            "max_entity_overlap", "needs data.entity", "add entity: the columns that name what a row is about"
        )


def _drift(subject: Subject) -> Iterable[Fault]:
    drift, data = subject.policy.gates.drift, subject.policy.data
    here: Location = ("gates", "drift")
    if drift is None:
        return
    judged = (drift.features, drift.predictions, drift.outcomes, drift.max_unseen)
    if all(each is None for each in judged) and not subject.has_broken(here):
        yield subject.error(
            here, "'drift' judges nothing", "keep features, predictions, outcomes or max_unseen", at_key=True
        )
    if data is None:
        return
    if data.reference is None and not subject.written_at(REFERENCE):
        hint = "add data.reference: the rows the candidate was trained on"
        yield subject.error(here, "'drift' needs data.reference", hint, at_key=True)
    if drift.outcomes is not None and subject.written_at((*here, "outcomes")) and lacks_target(subject):
        yield subject.error((*here, "outcomes"), "'outcomes' needs data.evaluation.target", "add it", at_key=True)
    timed = any(subject.written_at(("data", name, "time")) for name in ("evaluation", "recent"))
    if drift.window is not None and not timed:
        yield subject.error((*here, "window"), "'window' needs data.evaluation.time", "add time to it", at_key=True)
