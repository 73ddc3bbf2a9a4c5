"""`mlship abort` when no controller runs: whom the policy names is told, once traffic is back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlship.notify import Event
from mlship.rollout.handle import LateNotifier
from tests.fakes.rollout import MODEL, PLAN
from tests.test_notify import Receiver, receiver

__all__ = ["receiver"]  # the fixture

POLICY = """\
version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com, review_by: 2099-06-30}
data: {evaluation: {path: rows.parquet, target: late}}
gates: {contract: {max_missing: 1%}}
rollout:
  engine: local
  steps: [{weight: 50%, bake: {requests: 100}}]
notify: ["${TOLD}"]
"""
ABORTED = Event("aborted", MODEL, "2", "aborted by alice at 5 %", 1_795_262_400.0)


def test_what_was_told_meanwhile_is_passed_on_at_the_end(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mlship.yaml"
    path.write_text(POLICY)
    monkeypatch.setenv("TOLD", receiver.url())
    late = LateNotifier(replace(PLAN, policy_path=str(path)))
    late.tell(replace(ABORTED, kind="lease_expired", text="nobody watched"))
    late.tell(ABORTED)
    assert receiver.got == []
    late.close(10.0)
    assert len(receiver.got) == 2
    assert "flight-ops@example.com" in str(receiver.got[1])


@pytest.mark.parametrize("content", [None, "version: nonsense"])
def test_a_policy_that_cannot_be_read_is_no_reason_to_fail(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "mlship.yaml"
    if content is not None:
        path.write_text(content)
    late = LateNotifier(replace(PLAN, policy_path=str(path)))
    late.tell(ABORTED)
    late.close(1.0)
    assert path.exists() == (content is not None)
