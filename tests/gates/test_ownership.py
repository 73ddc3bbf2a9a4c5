"""The ownership gate: a date in the past fails, a missing runbook fails, what is not written down is not invented."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.gates.ownership import Ownership
from mlship.types import Status
from tests.gates.support import Case


@pytest.mark.parametrize(
    ("review_by", "status", "says"),
    [
        ("2026-11-22", Status.PASSED, "due in 1 day"),
        ("2026-11-21", Status.PASSED, "due in 0 days"),
        ("2026-11-20", Status.FAILED, "was due on 2026-11-20, 1 day ago"),
        ("2024-11-20", Status.FAILED, "731 days ago"),
        (None, Status.SKIPPED, "owner.review_by is not set"),
    ],
)
def test_the_review_date(review_by: str | None, status: Status, says: str) -> None:
    """On the day itself it still passes (today is 2026-11-21)."""
    found = Case(owner={"review_by": review_by}).judged(Ownership())["review_by"]
    assert found.status is status
    assert says in found.reason


def test_the_runbook_is_looked_for_beside_the_policy(tmp_path: Path) -> None:
    """A path must exist (its anchor does not count), a URL is only recorded."""
    (tmp_path / "runbook.md").write_text("call")
    for runbook, status in {
        "runbook.md": Status.PASSED,
        "runbook.md#late": Status.PASSED,
        "runbok.md": Status.FAILED,
        "https://example.com/runbook": Status.PASSED,
    }.items():
        found = Case(owner={"runbook": runbook}, base=tmp_path).judged(Ownership())["runbook"]
        assert found.status is status, runbook
    missing = Case(owner={"runbook": "runbok.md"}, base=tmp_path).judged(Ownership())["runbook"]
    assert "did you mean 'runbook.md'?" in missing.reason


def test_a_blank_contact_fails() -> None:
    """Spaces are nobody."""
    assert Case(owner={"contact": "   "}).judged(Ownership())["contact"].status is Status.FAILED
