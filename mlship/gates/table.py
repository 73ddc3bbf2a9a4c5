"""The gates, in the order in which they are judged: cheap ones first. A new gate is one file and one row here."""

from __future__ import annotations

from mlship.gates.agreement import Agreement
from mlship.gates.base import Gate
from mlship.gates.contract import Contract
from mlship.gates.custom.gate import Custom
from mlship.gates.drift.gate import Drift
from mlship.gates.fairness import Fairness
from mlship.gates.latency.gate import Latency
from mlship.gates.leakage import Leakage
from mlship.gates.metrics.gate import Metrics
from mlship.gates.ownership import Ownership
from mlship.gates.robustness.gate import Robustness
from mlship.gates.security import Security
from mlship.gates.skew.gate import Skew
from mlship.gates.slices.gate import Slices
from mlship.gates.value import Value

GATES: tuple[Gate, ...] = (
    Ownership(),
    Security(),
    Contract(),
    Leakage(),
    Skew(),
    Drift(),
    Metrics(),
    Slices(),
    Fairness(),
    Value(),
    Agreement(),
    Robustness(),
    Custom(),
    Latency(),
)
