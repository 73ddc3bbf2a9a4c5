"""What the schema cannot say: parts of a policy that contradict each other or ask for what is not there. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from mlship.policy.faults import Fault
from mlship.policy.lint_data import lint_data
from mlship.policy.lint_endpoint import lint_endpoint
from mlship.policy.lint_freeze import lint_freeze
from mlship.policy.lint_gates import lint_gates
from mlship.policy.lint_hooks import lint_hooks
from mlship.policy.lint_latency import lint_latency
from mlship.policy.lint_metrics import lint_metrics
from mlship.policy.lint_monitor import lint_monitor
from mlship.policy.lint_notify import lint_notify
from mlship.policy.lint_rollout import lint_rollout
from mlship.policy.subject import Subject


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


_CHECKS: tuple[Callable[[Subject], Iterable[Fault]], ...] = (
    _names,
    lint_data,
    lint_gates,
    lint_metrics,
    lint_latency,
    lint_endpoint,
    lint_rollout,
    lint_freeze,
    lint_hooks,
    lint_monitor,
    lint_notify,
)
