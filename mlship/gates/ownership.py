"""The ownership gate: somebody answers for this model, and has looked at it lately."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from mlship.gates.base import GateContext
from mlship.policy.schema import Owner
from mlship.report.figures import nearest
from mlship.types import GateResult, Status


class Ownership:
    """Always judged: a model without an owner is a model that nobody repairs at night."""

    name = "ownership"

    def judge(self, context: GateContext) -> list[GateResult]:
        """Three results: contact, review date and runbook."""
        return self.on(context.policy.owner, context.now, context.resolve)

    def on(self, owner: Owner, today: date, resolve: Callable[[str], Path]) -> list[GateResult]:
        """The same, on any day."""
        return [self._contact(owner), self._review(owner, today), self._runbook(owner, resolve)]

    def _contact(self, owner: Owner) -> GateResult:
        lacking = [name for name in ("team", "contact") if not getattr(owner, name).strip()]
        if lacking:
            reason = f"owner.{lacking[0]} is blank"
            return GateResult(self.name, "contact", Status.FAILED, "named", reason)
        reason = f"{owner.team} answers for it, at {owner.contact}"
        return GateResult(self.name, "contact", Status.PASSED, "named", reason)

    def _review(self, owner: Owner, today: date) -> GateResult:
        due = owner.review_by
        if due is None:
            reason = "owner.review_by is not set: nobody is reminded to look at this model again"
            return GateResult(self.name, "review_by", Status.SKIPPED, "not past", reason)
        left = (due - today).days
        limit = f"not past {due.isoformat()}"
        if left < 0:
            reason = (
                f"the review was due on {due.isoformat()}, {_days(-left)} ago: review the model, then move the date"
            )
            return GateResult(self.name, "review_by", Status.FAILED, limit, reason)
        return GateResult(self.name, "review_by", Status.PASSED, limit, f"the next review is due in {_days(left)}")

    def _runbook(self, owner: Owner, resolve: Callable[[str], Path]) -> GateResult:
        runbook = owner.runbook
        if runbook is None:
            reason = "owner.runbook is not set: the person on call has nothing to read"
            return GateResult(self.name, "runbook", Status.SKIPPED, "exists", reason)
        if "://" in runbook:
            reason = f"{runbook} is a URL; it is recorded, not visited"
            return GateResult(self.name, "runbook", Status.PASSED, "exists", reason)
        path = resolve(runbook.partition("#")[0])
        if path.is_file():
            return GateResult(self.name, "runbook", Status.PASSED, "exists", f"{runbook} is there")
        siblings = sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []
        reason = f"there is no file {path}{nearest(path.name, siblings)}"
        return GateResult(self.name, "runbook", Status.FAILED, "exists", reason)


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number:,} days"
