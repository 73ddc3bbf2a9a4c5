"""Which way each key of the policy is stricter: one row a key, and no key without one (a test looks)."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from mlship.policy.schema import Policy


class Way(StrEnum):
    """What makes a value stricter: fewer candidates pass, less traffic meets a bad one, or more is looked at."""

    LESS = "less"
    """A smaller value; no value at all is no limit."""
    MORE = "more"
    """A larger value; no value at all is no limit."""
    LESS_OF_TWO = "less of two"
    """A smaller value; without a value something else holds: ``diff_wider``, or else the two cannot be compared."""
    ON = "on"
    """True."""
    OFF = "off"
    """False."""
    ITEMS = "items"
    """A list: what has all the items of the other, and more. The order does not matter."""
    FEW = "few"
    """A list: what has fewer items of the other. The order does not matter; no list at all allows everything."""
    THERE = "there"
    """That it is there at all; what it says is another matter."""
    RANK = "rank"
    """The later word of the row."""
    NEITHER = "neither"
    """Nobody can say."""


@dataclass(frozen=True, slots=True)
class Row:
    """One key, or one optional section."""

    way: Way
    words: tuple[str, ...] = ()
    """For ``Way.RANK``: from the loosest to the strictest."""
    secret: bool = False
    """Its value may be a secret: only names of variables are shown."""
    empty_is_all: bool = False
    """For ``Way.FEW``: an empty list allows everything. For ``Way.ITEMS``: it stands for all there are."""
    modules: bool = False
    """For ``Way.FEW``: `module.*` is every name in that module."""


#: Rows by way, keys by blanks; `*` is any name, and any item of a list.
_WAYS: dict[Way, str] = {
    Way.LESS: """
        owner.review_by
        gates.contract.max_missing gates.contract.max_duplicates gates.contract.max_label_conflicts
        gates.contract.columns.*.max
        gates.leakage.max_overlap gates.leakage.max_entity_overlap gates.leakage.max_single_feature_auc
        gates.leakage.max_gain
        gates.skew.max_mismatch gates.skew.max_unmatched gates.skew.tolerance gates.skew.max_age
        gates.drift.features.psi gates.drift.features.wasserstein gates.drift.predictions.psi
        gates.drift.outcomes.psi gates.drift.max_unseen
        gates.metrics.*.max gates.metrics.*.max_drop
        gates.slices.max gates.slices.max_gap gates.slices.max_drop gates.slices.min_rows
        gates.fairness.max_difference gates.fairness.min_rows
        gates.agreement.max_changed gates.agreement.tolerance
        gates.robustness.max_drop gates.robustness.max_flipped
        gates.security.memory gates.security.timeout
        gates.latency.p50 gates.latency.p95 gates.latency.p99 gates.latency.p999 gates.latency.errors
        gates.latency.max_ratio gates.latency.max_lag gates.latency.max_replicas gates.latency.cold_start
        gates.latency.memory gates.latency.tolerance
        image.max_size
        endpoint.timeout endpoint.max_body endpoint.rate_limit
        rollout.steps.*.weight
        rollout.guard.errors.max_ratio rollout.guard.timeouts.max_ratio rollout.guard.refusals.max_ratio
        rollout.guard.latency.max_ratio rollout.guard.latency.p50 rollout.guard.latency.p99
        rollout.guard.predictions.max_ratio rollout.guard.agreement.tolerance rollout.guard.labels.max_ratio
        rollout.certify.errors rollout.certify.latency rollout.certify.labels rollout.certify.negligible
        rollout.lease
        monitor.features.psi monitor.features.wasserstein monitor.features.missing monitor.features.unseen
        monitor.predictions.psi monitor.performance.*.max monitor.min_rows monitor.max_age monitor.max_silence
    """,
    Way.MORE: """
        gates.contract.columns.*.min
        gates.drift.min_rows
        gates.metrics.*.min gates.slices.min gates.fairness.min_ratio gates.value.min gates.value.min_gain
        gates.agreement.min_better
        gates.robustness.noise gates.robustness.missing gates.robustness.scale
        gates.latency.rate gates.latency.for gates.latency.volume gates.latency.peak
        rollout.steps.*.mirror rollout.steps.*.pause rollout.steps.*.bake.for rollout.steps.*.bake.requests
        rollout.guard.false_rollback rollout.guard.agreement.min
        rollout.keep_warm
        monitor.performance.*.min monitor.value.min monitor.slices.most monitor.recovered monitor.false_alarms
    """,
    Way.LESS_OF_TWO: """
        gates.contract.columns.*.max_missing rollout.guard.labels.tolerance
    """,
    Way.ON: """
        gates.leakage.chronological gates.slices.pairs gates.robustness.unseen_categories gates.robustness.columns
        gates.security.scan gates.latency.agree monitor.estimate
    """,
    Way.OFF: """
        gates.security.allow_code serving.log.features
    """,
    Way.ITEMS: """
        gates.leakage.unavailable gates.slices.by gates.fairness.by serving.log.redact rollout.freeze
        monitor.slices.by monitor.on_breach.*.retrain.when monitor.on_breach.*.rollback.when
        monitor.on_breach.*.pause.when
    """,
    Way.FEW: """
        gates.contract.columns.*.values gates.leakage.vouched gates.security.environment
    """,
    Way.THERE: """
        owner.runbook
        gates.contract gates.contract.columns.* gates.contract.columns.*.type gates.leakage gates.skew gates.drift
        gates.drift.features gates.drift.predictions gates.drift.outcomes gates.metrics.* gates.slices
        gates.fairness gates.value gates.agreement gates.robustness gates.custom.* gates.latency
        image.sign
        endpoint.auth endpoint.tls
        rollout rollout.steps.* rollout.steps.*.bake rollout.guard.errors rollout.guard.timeouts
        rollout.guard.refusals rollout.guard.latency rollout.guard.predictions rollout.guard.agreement
        rollout.guard.labels rollout.certify
        rollout.hooks.before_step.* rollout.hooks.after_step.*
        monitor monitor.features monitor.predictions monitor.performance.* monitor.value monitor.slices
        monitor.on_breach.* monitor.on_breach.*.notify monitor.on_breach.*.retrain monitor.on_breach.*.rollback
        monitor.on_breach.*.pause
    """,
    Way.NEITHER: """
        version model owner.team owner.contact registry.uri candidate champion
        data data.evaluation.path data.evaluation.sql data.evaluation.sql.query
        data.evaluation.mlflow data.evaluation.mlflow.context data.evaluation.mlflow.name data.evaluation.mlflow.run
        data.evaluation.target data.evaluation.time
        data.reference data.reference.path data.reference.sql data.reference.sql.query
        data.reference.mlflow data.reference.mlflow.context data.reference.mlflow.name data.reference.mlflow.run
        data.reference.target data.reference.time
        data.recent data.recent.path data.recent.sql data.recent.sql.query
        data.recent.mlflow data.recent.mlflow.context data.recent.mlflow.name data.recent.mlflow.run
        data.recent.target data.recent.time
        data.entity
        gates.skew.offline gates.skew.offline.path gates.skew.offline.sql
        gates.skew.offline.sql.query gates.skew.offline.mlflow gates.skew.offline.mlflow.context
        gates.skew.offline.mlflow.name gates.skew.offline.mlflow.run gates.skew.offline.target gates.skew.offline.time
        gates.skew.online gates.skew.online.path gates.skew.online.sql
        gates.skew.online.sql.query gates.skew.online.mlflow gates.skew.online.mlflow.context
        gates.skew.online.mlflow.name gates.skew.online.mlflow.run gates.skew.online.target gates.skew.online.time
        gates.skew.feast gates.skew.feast.repository gates.skew.feast.features gates.skew.feast.python
        gates.skew.feast.entities.path gates.skew.feast.entities.sql
        gates.skew.feast.entities.sql.query gates.skew.feast.entities.mlflow
        gates.skew.feast.entities.mlflow.context gates.skew.feast.entities.mlflow.name
        gates.skew.feast.entities.mlflow.run gates.skew.feast.entities.target gates.skew.feast.entities.time
        gates.skew.key gates.skew.time gates.drift.bins gates.drift.window
        gates.metrics.*.threshold gates.metrics.*.quantile gates.metrics.*.function gates.metrics.*.lower_is_better
        gates.slices.metric gates.slices.bins gates.fairness.metric gates.agreement.by
        gates.robustness.permuted gates.robustness.metric gates.robustness.rows
        gates.value.payoff gates.value.payoff.tp gates.value.payoff.fp gates.value.payoff.fn gates.value.payoff.tn
        gates.value.function gates.value.threshold
        gates.custom.*.function gates.custom.*.command gates.custom.*.timeout
        gates.latency.warmup gates.latency.arrivals gates.latency.rows
        image image.base image.repository image.platform image.requirements image.push image.router
        serving.workers serving.cpus serving.memory serving.max_queue serving.log serving.log.sample
        serving.log.max_size
        endpoint.listen endpoint.auth.api_keys_file endpoint.auth.header endpoint.auth.jwt
        endpoint.auth.jwt.issuer endpoint.auth.jwt.jwks endpoint.tls.certificate endpoint.tls.key
        endpoint.fallback endpoint.rule
        endpoint.rule.answer endpoint.rule.function endpoint.queue.max_jobs endpoint.queue.keep
        rollout.engine rollout.rate rollout.steps.*.testers rollout.steps.*.testers.header
        rollout.steps.*.testers.value rollout.steps.*.approve rollout.steps.*.approve.within
        rollout.guard.labels.metric rollout.on_new_candidate rollout.progress_deadline
        rollout.sticky rollout.sticky.header rollout.sticky.cookie
        rollout.hooks.before_step.*.command rollout.hooks.before_step.*.timeout
        rollout.hooks.after_step.*.command rollout.hooks.after_step.*.timeout
        monitor.window monitor.zone monitor.season monitor.delay
        monitor.log monitor.log.path monitor.log.sql monitor.log.sql.query monitor.log.time monitor.log.prediction
        monitor.log.score monitor.log.key monitor.log.version monitor.log.target
        monitor.labels monitor.labels.path monitor.labels.sql monitor.labels.sql.query monitor.labels.key
        monitor.labels.target
        monitor.on_breach.*.retrain.github monitor.on_breach.*.retrain.workflow monitor.on_breach.*.retrain.ref
        monitor.on_breach.*.retrain.api monitor.on_breach.*.retrain.command monitor.on_breach.*.retrain.cool_down
        monitor.on_breach.*.retrain.timeout
    """,
}
_ACTIONS = ("warn", "pause", "rollback")
#: By pattern: every key, and every section that may be absent.
ROWS: dict[str, Row] = {
    **{pattern: Row(way) for way, patterns in _WAYS.items() for pattern in patterns.split()},
    "gates.security.requirements.unpinned": Row(Way.RANK, ("list", "fail")),
    "gates.security.requirements.vulnerable": Row(Way.RANK, ("off", "list", "fail")),
    "rollout.steps.*.approve.on_expiry": Row(Way.RANK, ("pause", "abort")),
    "rollout.guard.predictions.action": Row(Way.RANK, _ACTIONS),
    "rollout.guard.agreement.action": Row(Way.RANK, _ACTIONS),
    "rollout.on_inconclusive": Row(Way.RANK, ("promote", "pause", "rollback")),
    "gates.security.allow_types": Row(Way.FEW, modules=True),
    "gates.skew.columns": Row(Way.ITEMS, empty_is_all=True),
    "gates.drift.columns": Row(Way.ITEMS, empty_is_all=True),
    "monitor.features.columns": Row(Way.ITEMS, empty_is_all=True),
    "monitor.on_breach.*.notify.when": Row(Way.ITEMS, empty_is_all=True),
    "endpoint.auth.jwt.audiences": Row(Way.FEW, empty_is_all=True),
    "endpoint.auth.api_keys": Row(Way.NEITHER, secret=True),
    "notify": Row(Way.ITEMS, secret=True),
    "rollout.hooks.before_step.*.webhook": Row(Way.NEITHER, secret=True),
    "rollout.hooks.after_step.*.webhook": Row(Way.NEITHER, secret=True),
    "monitor.on_breach.*.retrain.webhook": Row(Way.NEITHER, secret=True),
    "monitor.on_breach.*.retrain.token": Row(Way.NEITHER, secret=True),
    **{
        f"{dataset}.sql.url": Row(Way.NEITHER, secret=True)
        for dataset in (
            "data.evaluation",
            "data.reference",
            "data.recent",
            "gates.skew.offline",
            "gates.skew.online",
            "gates.skew.feast.entities",
            "monitor.log",
            "monitor.labels",
        )
    },
}


def patterns(section: type[BaseModel] = Policy, path: str = "") -> Iterator[str]:
    """Every key of the schema, and every section that may be absent, as the table names them."""
    for name, info in section.model_fields.items():
        here = f"{path}.{info.alias or name}".lstrip(".")
        inner, optional = held(info.annotation)
        many = get_origin(inner) in (dict, tuple)
        if many:
            item, _ = held(next(kind for kind in reversed(get_args(inner)) if kind is not Ellipsis))
            if not is_section(item):
                yield here
                continue
            here, inner, optional = f"{here}.*", item, True
        if not is_section(inner):
            yield here
            continue
        if optional:
            yield here
        yield from patterns(inner, here)


def held(annotation: Any) -> tuple[Any, bool]:
    """The kind of value of an annotation, and whether there may be none."""
    if get_origin(annotation) is Annotated:
        return held(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return held(kinds[0])[0], len(kinds) < len(get_args(annotation))
    return annotation, False


def is_section(kind: Any) -> bool:
    """Whether it is a section of the policy."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)
