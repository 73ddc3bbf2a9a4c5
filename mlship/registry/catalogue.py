"""What a registry holds: the names of its models, and each model's aliases and versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlship.registry import connection

if TYPE_CHECKING:
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
