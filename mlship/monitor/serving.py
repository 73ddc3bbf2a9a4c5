"""Traffic as the model's servers tell it: their sketches for drift, their logs for labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlship.home import Home
from mlship.monitor.traffic import Traffic
from mlship.types.monitoring import Baseline

if TYPE_CHECKING:
    from mlship.policy.load import LoadedPolicy


def take(
    loaded: LoadedPolicy,
    home: Home,
    baseline: Baseline,
    *,
    version: str,
    since: float | None,
    now: float,
    before: Mapping[str, Any] | None,
) -> Traffic:
    """See ``traffic.take``."""
    raise NotImplementedError
