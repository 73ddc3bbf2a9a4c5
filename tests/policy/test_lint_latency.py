"""The latency budget's lint: what contradicts itself, and what so few requests could never tell."""

from __future__ import annotations

import pytest

from tests.policy.conftest import Changed

GATES = "gates:\n"


def budget(text: str, memory: str = "1GB") -> tuple[str, str]:
    """The valid policy's gates with a latency budget, and servers with a limit."""
    return GATES, f"serving: {{memory: {memory}}}\ngates:\n  latency: {{{text}}}\n"


@pytest.mark.parametrize(
    ("text", "what", "severity"),
    [
        ("rate: 100/s, p50: 200ms, p99: 100ms", "p50 of 200ms is more than p99 of 100ms", "error"),
        ("rate: 100/s, max_replicas: 4", "'max_replicas' needs volume", "error"),
        ("rate: 100/s, peak: 3x", "'peak' needs volume", "error"),
        ("rate: 100/s, for: 2s, p99: 1s", "about 200 requests cannot tell p99: 368 are needed at least", "warning"),
        ("rate: 10/s, p999: 1s", "about 300 requests cannot tell p999: 3,688 are needed at least", "warning"),
        ("rate: 10/s, max_ratio: 2x", "about 300 requests cannot tell max_ratio: 750 are needed", "warning"),
        ("rate: 100/s, max_ratio: 1.1x", "about 3,000 requests cannot tell max_ratio: 9,522 are needed", "warning"),
        ("rate: 100/s, memory: 2GB", "a container is ended beyond serving.memory, 1GB", "warning"),
    ],
)
def test_a_contradiction_is_said_once(changed: Changed, text: str, what: str, severity: str) -> None:
    """Where it stands, and how to mend it."""
    (fault,) = changed(*budget(text))
    assert what in fault.what
    assert fault.severity == severity
    assert fault.hint


def test_a_sound_budget_has_no_fault(changed: Changed) -> None:
    """Enough requests, limits in order, replicas with a volume."""
    text = "rate: 100/s, for: 40s, p50: 20ms, p99: 200ms, p999: 1s, max_ratio: 2x, volume: 1000000/d, peak: 3x"
    assert changed(*budget(f"{text}, max_replicas: 3")) == []
