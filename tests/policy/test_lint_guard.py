"""The lint of a rollout's guards and certificates: what has nothing to look at, and what contradicts itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.policy.load import check

POLICY = """version: 1
model: flight-delay
owner: {{team: flight-ops, contact: flight-ops@example.com}}
data: {{evaluation: {{path: july.csv, target: late}}}}
gates: {{metrics: {{recall: {{min: 0.6}}}}}}
rollout:
  steps: [{first}{{weight: 10%, bake: {{for: 10m}}}}]
  {text}
"""
MIRROR = "{mirror: 100%, bake: {requests: 100}}, "


def faults(directory: Path, text: str, first: str = "") -> list[str]:
    (directory / "july.csv").write_text("late,distance\n1,100\n")
    (directory / "mlship.yaml").write_text(POLICY.format(text=text, first=first))
    return [f"{fault.severity}: {fault.what}" for fault in check(directory / "mlship.yaml")]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("guard: {errors: null, timeouts: null, refusals: null, latency: null}", "error: nothing is watched"),
        (
            "guard: {errors: null, timeouts: null, refusals: null, latency: null, predictions: {action: pause}}",
            "warning: nothing that is watched can roll back",
        ),
        ("guard: {agreement: {min: 90%}}", "error: no step mirrors requests"),
        ("guard: {latency: {p50: 200ms, p99: 100ms}}", "error: p50 of 200ms is more than p99 of 100ms"),
        ("guard: {latency: {p99: 10s}}", "warning: a request is given up after endpoint.timeout, 5s"),
        ("certify: {errors: null}", "warning: nothing is to be proved"),
        ("certify: {errors: 1.2x}", "warning: 1.2x is not more than what guard.errors tolerates, a ratio of 1.25"),
    ],
)
def test_each_contradiction_is_told(tmp_path: Path, text: str, what: str) -> None:
    (found,) = faults(tmp_path, text)
    assert found.startswith(what)


def test_promotion_of_what_is_unproved_needs_something_to_prove(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, "certify: null\n  on_inconclusive: promote")
    assert found.startswith("warning: nothing is to be proved, so nothing is promoted as unproved")
    assert faults(tmp_path, "on_inconclusive: promote") == []


@pytest.mark.parametrize(
    "text",
    [
        "guard: {agreement: {min: 90%}}",
        "guard: {latency: {p50: 20ms, p99: 200ms}, labels: {max_ratio: 1.1}}",
        "certify: {errors: 2x, latency: 2x, labels: 1.5x}",
    ],
)
def test_what_makes_sense_is_let_be(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, text, MIRROR) == []
