"""What registries hold: every model's aliases, when its champion and its newest version were registered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mlship.errors import MlshipError
from mlship.home import Home

#: Questions that are asked at once.
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Registered:
    """One model, as its registry has it."""

    aliases: Mapping[str, str]
    """Version by alias, without `@`."""
    made: float | None = None
    """Unix time at which the champion was registered."""
    newest: str | None = None
    newest_at: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """One registry."""

    uri: str
    """Without anything secret."""
    models: Mapping[str, Registered]
    fault: str = ""
    """Why it could not be asked; empty when it was."""


def key(uri: str | None, home: Home) -> tuple[str, str]:
    """What tells registries apart: the URIs that are asked, where the policy names one, or none."""
    from mlship.registry.connection import choose

    tracking, registry, _ = choose(uri, home)
    return tracking, registry


def shown(uri: str | None, home: Home) -> str:
    """The registry's name without anything secret."""
    from mlship.registry.connection import safe

    return safe(key(uri, home)[1])


def read(uri: str | None, home: Home, champions: Mapping[str, str]) -> Held:
    """Everything that is needed of one registry; a fault where it does not answer.

    Parameters
    ----------
    champions
        By model of interest, the alias of its champion, without `@`: those are asked for in detail.
    """
    from mlship.registry import Registry
    from mlship.registry.catalogue import dated, models, newest

    name = shown(uri, home)
    if key(uri, home)[0] == home.registry_uri and not home.registry_dir.exists() and not home.begun:
        return Held(name, {})  # nothing has been recorded yet, and looking makes nothing
    try:
        registry = Registry.connect(uri, home)
        listed = models(registry)
    except MlshipError as error:
        return Held(name, {}, error.what)

    def asked(model: str, aliases: Mapping[str, str]) -> Registered:
        champion = aliases.get(champions.get(model, "champion"))
        last = newest(registry, model)
        if champion is None:
            made = None
        elif last is not None and last.version == champion:
            made = last.at
        else:
            made = dated(registry, model, champion).at
        return Registered(aliases, made, last.version if last else None, last.at if last else None)

    found = {one.name: Registered(dict(one.aliases)) for one in listed}
    wanted = [name for name, one in found.items() if name in champions or "champion" in one.aliases]
    faults: list[str] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = {model: pool.submit(asked, model, found[model].aliases) for model in wanted}
        for model, answer in answers.items():
            try:
                found[model] = answer.result()
            except MlshipError as error:
                faults.append(f"{model}: {error.what}")
    return Held(name, found, "; ".join(faults[:3]))


def distinct(uris: Iterable[str | None], home: Home) -> dict[tuple[str, str], str | None]:
    """Each registry once, by what tells it apart."""
    found: dict[tuple[str, str], str | None] = {}
    for uri in uris:
        found.setdefault(key(uri, home), uri)
    return found
