"""A gate's rule is found where the policy has it, or at the nearest place that it has."""

from __future__ import annotations

import pytest

from mlship.policy.places import places
from mlship.report.checklist import of_evaluation
from tests.report.test_reports import EVALUATION

TEXT = """\
version: 1
owner: {team: flight-ops, contact: flight-ops@example.com}
image:
  max_size: 600MB
gates:
  contract: {}
  leakage: {unavailable: [arr_time]}
  metrics:
    recall: {min: 0.6, max_drop: 0.01}
    precision:
      min: 0.5
"""


@pytest.mark.parametrize(
    ("gate", "rule", "place"),
    [
        ("metrics", "recall min", (9, 14)),
        ("metrics", "recall max_drop", (9, 24)),
        ("metrics", "precision min", (11, 7)),
        ("metrics", "f1 min", (8, 3)),
        ("leakage", "unavailable", (7, 13)),
        ("contract", "max_missing", (6, 3)),
        ("ownership", "contact", (2, 27)),
        ("ownership", "review_by", (2, 1)),
        ("latency", "size", (4, 3)),
        ("latency", "p99", (5, 1)),
        ("custom", "mine", (5, 1)),
    ],
)
def test_a_rule_is_found(gate: str, rule: str, place: tuple[int, int]) -> None:
    """Its key, else its metric, else its gate, else `gates`."""
    assert places(TEXT)(gate, rule) == place


@pytest.mark.parametrize("text", ["", "]", "version: 1", "[1, 2]"])
def test_where_there_are_no_gates_there_is_no_place(text: str) -> None:
    """Nothing is invented, and nothing raises."""
    assert places(text)("metrics", "recall min") == (0, 0)


def test_findings_carry_their_place() -> None:
    """So annotations stand beside the limit."""
    found = of_evaluation(EVALUATION, policy="mlship.yaml", place=places(TEXT))
    assert {(check.name, check.line) for check in found.checks if check.group == "metrics"} == {
        ("recall min", 9),
        ("r2 min", 8),
    }
