"""What it means for one rule that a model gave no answer, where the gate's other rules can do without it."""

from __future__ import annotations

from mlship.errors import DataError, MlshipError, ModelFault, ModelRefused
from mlship.types import ModelVersion, Status


def unanswered(error: MlshipError, candidate: ModelVersion) -> tuple[Status, str]:
    """Status and reason of the rule: the same as a whole gate has when its model gives no answer.

    A candidate at fault fails; a model that was refused, or rows that do not fit it, leave the rule inconclusive; what
    remains is an error.
    """
    if isinstance(error, ModelRefused):
        return Status.INCONCLUSIVE, f"{error.where}: {error.what}"
    reason = " ".join(str(error).replace("\n  next: ", "; ").split())
    if isinstance(error, DataError):
        return Status.INCONCLUSIVE, reason
    at_fault = isinstance(error, ModelFault) and error.where == f"{candidate.model} version {candidate.version}"
    return Status.FAILED if at_fault else Status.ERROR, reason
