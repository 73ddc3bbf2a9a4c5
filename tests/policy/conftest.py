"""A policy that is valid, with its data beside it, and a way to change it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlship.policy.faults import Fault
from mlship.policy.load import check

VALID = """version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com, review_by: 2027-06-30}
data:
  evaluation: {path: july.csv, target: late, time: time_hour}
  reference: {path: spring.csv, time: time_hour}
  entity: [tailnum]
gates:
  contract: {max_missing: 1%}
  leakage: {unavailable: [arr_time]}
  metrics:
    recall: {min: 0.6, max_drop: 0.01}
endpoint: {listen: "127.0.0.1:8080"}
rollout:
  steps:
    - {weight: 1%, bake: {for: 10m, requests: 500}}
    - {weight: 50%, bake: {requests: 5000}}
  guard:
    labels: {max_ratio: 1.1}
"""

#: (old text, new text, environment) -> the faults of the valid policy with that change.
Changed = Callable[..., list[Fault]]


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    """The valid policy, in a directory with the two files that it names."""
    for name in ("july", "spring"):
        (tmp_path / f"{name}.csv").write_text("late,time_hour,tailnum,distance,arr_time\n1,2013-07-01,N1,100,900\n")
    path = tmp_path / "mlship.yaml"
    path.write_text(VALID)
    return path


@pytest.fixture
def changed(policy_file: Path) -> Changed:
    """The faults of the valid policy after a replacement of its text."""

    def faults(old: str = "", new: str = "", environ: dict[str, str] | None = None) -> list[Fault]:
        assert old in VALID
        policy_file.write_text(VALID.replace(old, new, 1) if old else VALID)
        return check(policy_file, environ or {})

    return faults
