"""The registry room: MLflow model versions, aliases and evidence runs. The only home of the MLflow client."""

from __future__ import annotations

from mlship.registry.client import Registry

__all__ = ["Registry"]
