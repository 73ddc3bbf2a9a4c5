"""What a registry holds: the names of its models, and each model's aliases and versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlship.registry import connection

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as Registered

    from mlship.registry.client import Registry


@dataclass(frozen=True, slots=True)
class Listed:
    """One registered model."""

    name: str
    aliases: tuple[tuple[str, str], ...]
    """(alias without `@`, version number), sorted."""

    def version(self, alias: str) -> str | None:
        """The version that an alias points at; None when nobody has it."""
        return dict(self.aliases).get(alias)


@dataclass(frozen=True, slots=True)
class Dated:
    """One version, and when it was registered."""

    version: str
    at: float
    """Unix time."""


def newest(registry: Registry, model: str) -> Dated | None:
    """The version that was registered last; None when the model has none. Raises ``RegistryError``."""
    quote = '"' if "'" in model else "'"
    with connection.told(registry.registry_uri):
        found = registry.client.search_model_versions(
            f"name={quote}{model}{quote}", max_results=1, order_by=["creation_timestamp DESC"]
        )
    return _dated(found[0]) if found else None


def dated(registry: Registry, model: str, version: str) -> Dated:
    """When a version was registered. Raises ``RegistryError``, also when there is no such version."""
    with connection.told(registry.registry_uri):
        return _dated(registry.client.get_model_version(model, version))


def _dated(found: Registered) -> Dated:
    return Dated(str(found.version), (found.creation_timestamp or 0) / 1000)


def models(registry: Registry) -> list[Listed]:
    """Every registered model, by name. Raises ``RegistryError``."""
    found: list[Listed] = []
    token: str | None = None
    with connection.told(registry.registry_uri):
        while True:
            page = registry.client.search_registered_models(max_results=1000, page_token=token)
            for one in page:
                aliases = {str(name): str(version) for name, version in dict(one.aliases).items()}
                found.append(Listed(str(one.name), tuple(sorted(aliases.items()))))
            token = page.token
            if not token:
                return sorted(found, key=lambda one: one.name)


def registered(registry: Registry, model: str, version: str) -> float:
    """When a version was registered, Unix time. Raises ``RegistryError``."""
    with connection.told(registry.registry_uri):
        return float(registry.client.get_model_version(model, version).creation_timestamp) / 1000
