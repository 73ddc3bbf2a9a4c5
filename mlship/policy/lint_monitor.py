"""Lint of what is watched after promotion: no baseline, nothing to read, limits that nothing could break. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from mlship.policy.faults import Fault, plain
from mlship.policy.freeze import zone_of
from mlship.policy.lint_breach import lint_breach
from mlship.policy.lint_data import lacks_target
from mlship.policy.lint_freeze import near_zone
from mlship.policy.lint_performance import NEEDS_SCORE, lint_performance
from mlship.policy.monitor import Log, Monitor
from mlship.policy.subject import Subject
from mlship.policy.tree import Location, Scalar, find
from mlship.policy.units import format_duration

_HERE: Location = ("monitor",)
_LOG: Location = ("monitor", "log")
_LABELS: Location = ("monitor", "labels")
_HOUR, _DAY, _WEEK = 3600.0, 86400.0, 7 * 86400.0


def lint_monitor(subject: Subject) -> Iterable[Fault]:
    """All contradictions in the monitor section."""
    monitor = subject.policy.monitor
    if monitor is None:
        return
    for check in (_baseline, _seasons, _rows, _columns, _labels, _limits, _value, _slices, _features, _spans):
        yield from check(subject, monitor)
    yield from lint_performance(subject, monitor)
    yield from lint_breach(subject, monitor)


def _baseline(subject: Subject, monitor: Monitor) -> Iterable[Fault]:
    """What the traffic is held against is made of the policy's data."""
    data = subject.policy.data
    if data is None:
        if not subject.written_at(("data", "evaluation")):
            what = "'monitor' needs data.evaluation: without a baseline nothing could be said to have moved"
            yield subject.error(_HERE, what, "add data.evaluation.path", at_key=True)
        return
    judged = [name for name in ("performance", "value") if getattr(monitor, name) and not _broken(subject, name)]
    if judged and lacks_target(subject):
        what = (
            f"without data.evaluation.target nothing is known of '{judged[0]}' before the first labels of live traffic"
        )
        yield subject.warning((*_HERE, judged[0]), what, "add target to data.evaluation", at_key=True)
    rows = "reference" if data.reference is not None else "evaluation"
    if _lacks_time(subject, rows):
        add = f"add time to data.{rows}"
        if monitor.season and not _broken(subject, "season"):
            what = f"'season' needs data.{rows}.time: nothing else says what an hour or a weekday is like"
            yield subject.error((*_HERE, "season"), what, add, at_key=True)
        drift = next((name for name in ("features", "predictions") if getattr(monitor, name) is not None), None)
        if drift:
            what = f"without data.{rows}.time nobody knows how windows differ by chance: no drift is ever an alarm"
            yield subject.warning((*_HERE, drift), what, add, at_key=True)
    if judged and _lacks_time(subject, "evaluation"):
        what = "without data.evaluation.time the first weeks of live traffic must show how days differ: no alarm before"
        yield subject.warning((*_HERE, judged[0]), what, "add time to data.evaluation", at_key=True)


def _lacks_time(subject: Subject, rows: str) -> bool:
    """Whether rows are there, and no word about their time, right or wrong."""
    dataset = getattr(subject.policy.data, rows)
    return dataset is not None and not dataset.time and not subject.written_at(("data", rows, "time"))


def _seasons(subject: Subject, monitor: Monitor) -> Iterable[Fault]:
    here: Location = (*_HERE, "zone")
    try:
        zone_of(monitor.zone)
    except ValueError as error:
        node = find(subject.tree, here)
        hidden = isinstance(node, Scalar) and node.from_environment
        what = "there is no such time zone" if hidden else str(error)
        yield subject.error(here, what, near_zone(monitor.zone, hidden=hidden))
    for index, season in enumerate(monitor.season):
        where: Location = (*_HERE, "season", index)
        if season in monitor.season[:index]:
            yield subject.error(where, f"'{season}' stands here twice", "keep one")
        elif monitor.window >= (_DAY if season == "hour" else _WEEK):
            what = f"a window of {format_duration(monitor.window)} has every {season} in it"
            yield subject.error(where, what, f"take '{season}' out, or shorten the window")


def _rows(subject: Subject, monitor: Monitor) -> Iterable[Fault]:
    """Each source names its rows exactly once; where there is none, servers tell."""
    for here, source in ((_LOG, monitor.log), (_LABELS, monitor.labels)):
        if source is None or subject.has_broken(here):
            continue
        if source.path is None and source.sql is None:
            yield subject.error(here, f"'{here[-1]}' names no rows", "add path or sql", at_key=True)
        elif source.path is not None and source.sql is not None:
            what = f"'{here[-1]}' names its rows twice, by path and sql"
            yield subject.error((*here, "sql"), what, "keep one", at_key=True)
    if monitor.log is None and not subject.written_at(_LOG) and subject.policy.rollout is None:
        what = "nothing is read: there is no log, and without a rollout mlship serves nothing that could tell"
        if not subject.written_at(("rollout",)):
            yield subject.warning(_HERE, what, "add log: where your own predictions are logged", at_key=True)


def _columns(subject: Subject, monitor: Monitor) -> Iterable[Fault]:
    """One column means one thing, and what is judged has one."""
    log = monitor.log
    if log is None or subject.has_broken(_LOG):
        return
    meant: dict[str, str] = {}
    for key in ("time", "prediction", "score", "key", "version", "target"):
        name = getattr(log, key)
        if name is not None and name in meant:
            shown = subject.shown((*_LOG, key)) or plain(name, 40)
            what = f"'{shown}' is the {meant[name]} already"
            yield subject.error((*_LOG, key), what, "each of them is a column of its own")
        elif name is not None:
            meant[name] = key
    if log.prediction is None and log.score is None:
        need = [name for name in ("predictions", "performance", "value") if getattr(monitor, name)]
        if need and not _broken(subject, need[0]):
            what = f"'{need[0]}' needs what the model predicted, and the log has no column for it"
            yield subject.error((*_HERE, need[0]), what, "add prediction or score to monitor.log", at_key=True)
        return
    yield from _scores(subject, monitor, log)


def _scores(subject: Subject, monitor: Monitor, log: Log) -> Iterable[Fault]:
    for name in monitor.performance:
        here: Location = (*_HERE, "performance", name)
        if name in NEEDS_SCORE and log.score is None:
            what = f"'{name}' needs the probability of the positive class, and the log has no column for it"
            yield subject.error(here, what, "add score to monitor.log", at_key=True)
        elif name in ("mae", "rmse", "bias") and log.prediction is None:
            what = f"'{name}' needs the number that was predicted, and the log has no column for it"
            yield subject.error(here, what, "add prediction to monitor.log", at_key=True)
    if monitor.estimate and log.score is None and subject.written_at((*_HERE, "estimate")):
        what = "nothing can be estimated: the log has no column for the probability of the positive class"
        yield subject.warning((*_HERE, "estimate"), what, "add score to monitor.log")


def _labels(subject: Subject, monitor: Monitor) -> Iterable[Fault]:
    """A limit of performance or value means something once labels come from somewhere."""
    log, labels = monitor.log, monitor.labels
    if subject.has_broken(_LOG) or subject.has_broken(_LABELS):
        return
    if labels is not None and log is not None and log.key is None:
        what = "labels find their prediction by a key, and the log has no column for it"
        yield subject.error(_LABELS, what, f"add key to monitor.log, such as key: {labels.key}", at_key=True)
    if labels is not None and log is not None and log.target is not None:
        what = "the label is named twice: 'labels' is read, and the log's target is not"
        yield subject.warning((*_LOG, "target"), what, "keep one of the two", at_key=True)
    judged = next((name for name in ("performance", "value") if getattr(monitor, name)), None)
    if log is None:
        lacking = subject.policy.serving.log is None and not subject.written_at(("serving", "log"))
        if lacking and (judged or labels is not None):
            where = (*_HERE, judged) if judged else _LABELS
            what = "labels find nothing: the servers keep no predictions that they could belong to"
            yield subject.warning(where, what, "add `log: {sample: 100%}` to serving, or add monitor.log", at_key=True)
    elif judged and labels is None and log.target is None:
        what = f"'{judged}' is never known: no labels are named"
        hint = "add target to monitor.log, or monitor.labels"
        yield subject.warning((*_HERE, judged), what, hint, at_key=True)


def _limits(subject: Subject, monitor: Monitor) -> Iterable[Fault]:
    features: Location = (*_HERE, "features")
    if monitor.features is not None and not subject.has_broken(features):
        limits = ("psi", "wasserstein", "missing", "unseen")
        if all(getattr(monitor.features, name) is None for name in limits):
            hint = f"keep one of {', '.join(limits)}, or write `features: null`"
            yield subject.error(features, "'features' judges nothing", hint, at_key=True)
    judged = (monitor.features, monitor.predictions, monitor.value, monitor.max_age, monitor.max_silence)
    if all(each is None for each in judged) and not monitor.performance and not subject.has_broken(_HERE):
        what = "no limit: everything is shown, and nothing is ever a breach"
        hint = "add features: {psi: 0.2}, predictions: {psi: 0.1}, performance or max_age"
        yield subject.warning(_HERE, what, hint, at_key=True)


def _value(subject: Subject, monitor: Monitor) -> Iterable[Fault]:
    here: Location = (*_HERE, "value")
    gate = subject.policy.gates.value
    if monitor.value is None or subject.has_broken(("gates", "value")):
        return
    if gate is None or gate.payoff is None:
        what = "'value' needs gates.value.payoff: what each kind of outcome earns"
        if gate is not None and gate.function is not None:
            what += "; a function of your own is not asked about live traffic"
        yield subject.error(here, what, "add `value: {payoff: {tp: 12, fp: -3, fn: -40, tn: 0}}` to gates", at_key=True)


def _slices(subject: Subject, monitor: Monitor) -> Iterable[Fault]:
    here: Location = (*_HERE, "slices")
    if monitor.slices is None or subject.has_broken(here):
        return
    yield from _twice(subject, (*here, "by"), monitor.slices.by)
    if monitor.log is not None or subject.written_at(_LOG):
        return
    log = subject.policy.serving.log
    if log is None or not log.features:
        if not subject.has_broken(("serving",)):
            what = "slices need rows, and the servers tell sums only: they log no features"
            hint = "add `log: {features: true}` to serving, or add monitor.log"
            yield subject.warning(here, what, hint, at_key=True)
        return
    yield from _redacted(subject, (*here, "by"), monitor.slices.by)


def _features(subject: Subject, monitor: Monitor) -> Iterable[Fault]:
    here: Location = (*_HERE, "features", "columns")
    if monitor.features is None or subject.has_broken(here):
        return
    columns = monitor.features.columns
    yield from _twice(subject, here, columns)
    if monitor.log is None and not subject.written_at(_LOG):
        yield from _redacted(subject, here, columns)
        return
    labels = [getattr(monitor.log, key) for key in ("time", "prediction", "score", "target") if monitor.log]
    for index, name in enumerate(columns):
        if name in labels:
            shown = subject.shown((*here, index)) or plain(name, 40)
            what = f"'{shown}' is no feature: the log's section has another meaning for it"
            yield subject.error((*here, index), what, "take it out")


def _redacted(subject: Subject, here: Location, names: tuple[str, ...]) -> Iterable[Fault]:
    hidden = subject.policy.serving.log.redact if subject.policy.serving.log else ()
    for index, name in enumerate(names):
        if name in hidden:
            shown = subject.shown((*here, index)) or plain(name, 40)
            what = f"'{shown}' is redacted: no server tells its values"
            yield subject.error((*here, index), what, "take it out here, or out of serving.log.redact")


def _twice(subject: Subject, here: Location, names: tuple[str, ...]) -> Iterable[Fault]:
    for index, name in enumerate(names):
        if name in names[:index]:
            shown = subject.shown((*here, index)) or plain(name, 40)
            yield subject.error((*here, index), f"'{shown}' stands here twice", "keep one")


def _spans(subject: Subject, monitor: Monitor) -> Iterable[Fault]:
    """Times that do not go together."""
    window = format_duration(monitor.window)
    if _broken(subject, "window"):
        return
    if monitor.recovered < monitor.window and not _broken(subject, "recovered"):
        what = f"one quiet window of {window} would resolve an incident"
        yield subject.warning((*_HERE, "recovered"), what, "several windows tell more than one")
    if monitor.max_silence is not None and monitor.max_silence < monitor.window:
        what = f"a window of {window} is counted when it is over: shorter silence is not seen"
        yield subject.warning((*_HERE, "max_silence"), what, f"write {window} or more, or shorten the window")
    if monitor.max_age is not None and monitor.delay >= monitor.max_age:
        what = f"labels are complete after {format_duration(monitor.delay)}: the champion is too old by then"
        yield subject.warning((*_HERE, "max_age"), what, "a longer max_age, or a shorter delay")


def _broken(subject: Subject, key: str) -> bool:
    return subject.has_broken((*_HERE, key))
