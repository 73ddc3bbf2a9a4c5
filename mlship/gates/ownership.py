"""The ownership gate: somebody answers for this model, and has looked at it lately."""

from __future__ import annotations

from mlship.gates.base import GateContext
from mlship.report.figures import nearest
from mlship.types import GateResult, Status


class Ownership:
    """Always judged: a model without an owner is a model that nobody repairs at night."""

    name = "ownership"

    def judge(self, context: GateContext) -> list[GateResult]:
        """Three results: contact, review date and runbook."""
        return [self._contact(context), self._review(context), self._runbook(context)]

    def _contact(self, context: GateContext) -> GateResult:
        owner = context.policy.owner
        lacking = [name for name in ("team", "contact") if not getattr(owner, name).strip()]
        if lacking:
            reason = f"owner.{lacking[0]} is blank"
            return GateResult(self.name, "contact", Status.FAILED, "named", reason)
        reason = f"{owner.team} answers for it, at {owner.contact}"
        return GateResult(self.name, "contact", Status.PASSED, "named", reason)

    def _review(self, context: GateContext) -> GateResult:
        due = context.policy.owner.review_by
        if due is None:
            reason = "owner.review_by is not set: nobody is reminded to look at this model again"
            return GateResult(self.name, "review_by", Status.SKIPPED, "not past", reason)
        left = (due - context.now).days
        limit = f"not past {due.isoformat()}"
        if left < 0:
            reason = (
                f"the review was due on {due.isoformat()}, {_days(-left)} ago: review the model, then move the date"
            )
            return GateResult(self.name, "review_by", Status.FAILED, limit, reason)
        return GateResult(self.name, "review_by", Status.PASSED, limit, f"the next review is due in {_days(left)}")

    def _runbook(self, context: GateContext) -> GateResult:
        runbook = context.policy.owner.runbook
        if runbook is None:
            reason = "owner.runbook is not set: the person on call has nothing to read"
            return GateResult(self.name, "runbook", Status.SKIPPED, "exists", reason)
        if "://" in runbook:
            reason = f"{runbook} is a URL; it is recorded, not visited"
            return GateResult(self.name, "runbook", Status.PASSED, "exists", reason)
        path = context.resolve(runbook.partition("#")[0])
        if path.is_file():
            return GateResult(self.name, "runbook", Status.PASSED, "exists", f"{runbook} is there")
        siblings = sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []
        reason = f"there is no file {path}{nearest(path.name, siblings)}"
        return GateResult(self.name, "runbook", Status.FAILED, "exists", reason)


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number:,} days"
