"""A registry in memory: versions, aliases, compare-and-set. What a rollout needs of the real one."""

from __future__ import annotations

from pathlib import Path

from mlship.errors import MovedError, RegistryError
from mlship.types import ModelVersion


class FakeRegistry:
    """Implements what ``rollout.hands.Aliases`` asks for; the object itself is the world."""

    def __init__(self, aliases: dict[str, str], digests: dict[str, str]) -> None:
        self.aliases = aliases
        self.digests = digests
        self.calls: list[str] = []

    def version(self, model: str, reference: str) -> ModelVersion:
        version = self.aliases.get(reference[1:]) if reference.startswith("@") else reference
        if version is None or version not in self.digests:
            raise RegistryError("no such version", where=f"{model} {reference}")
        return ModelVersion(model, version, self.digests[version], Path("/nowhere") / version)

    def alias(self, model: str, alias: str) -> str | None:  # noqa: ARG002 - one model is enough here
        return self.aliases.get(alias)

    def move_alias(self, model: str, alias: str, *, expected: str | None, to: str) -> None:
        self.calls.append(f"move {alias} {expected} -> {to}")
        if self.aliases.get(alias) != expected:
            raise MovedError(f"@{alias} points at {self.aliases.get(alias)}, not at {expected}", where=model)
        self.aliases[alias] = to
