"""Gathers every model: policies, the registries that they name, what this state directory knows. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlship.errors import MlshipError
from mlship.estate import judge, policies, registries
from mlship.estate.known import Known
from mlship.estate.policies import Found, Search
from mlship.estate.registries import Held
from mlship.estate.watched import policy as watched_policy
from mlship.estate.watched import watched
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.types import LedgerEntry
from mlship.types.estate import Estate, RegistrySeen

#: Tells what runs of a model here, as `mlship status --format json` does.
Describe = Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for."""

    named: tuple[str, ...] = ()
    """Policies: files, directories, globs."""
    registry: str | None = None
    """For policies that name none, and for models without a policy."""
    here: Path = Path()
    """The working directory."""


def gather(home: Home, asked: Asked, now: float, describe: Describe) -> Estate:
    """Every model that has a policy, serves here or is a champion; what cannot be read is told, and hides nothing else.

    Parameters
    ----------
    now
        Unix time.

    Raises ``UsageError`` when policies were named and there are none.
    """
    from mlship.engines import table
    from mlship.rollout import lines

    unread: list[str] = []
    entries = _entries(home, unread)
    running = set(table.running(home))
    local = running | {one.model for one in entries} | set(lines.models(home))
    remembered = _remembered(home, sorted(local), unread)
    search = policies.search(asked.named, remembered, asked.here)
    by_model = _by_model(search, () if asked.named else remembered)
    held = _held(home, asked, search)
    default = registries.key(asked.registry, home)
    known = []
    for model in sorted(_listed(by_model, running, held)):
        where = _where(model, by_model.get(model, ()), asked, home, held) or default
        answered = held.get(where)
        known.append(
            Known(
                model,
                tuple(by_model.get(model, ())),
                answered.uri if answered else registries.shown(asked.registry, home),
                answered is not None and (not answered.fault or model in answered.models),
                answered.models.get(model) if answered else None,
                tuple(one for one in entries if one.model == model),
                describe(model) if model in running or model in local else None,
                watched(home, model),
            )
        )
    rows = tuple(judge.row(one, now) for one in known)
    names = {row.model for row in rows}
    return Estate(
        now,
        rows,
        tuple(sorted({name for one in held.values() for name in one.models} - names)),
        tuple(row.orphan for row in rows if row.orphan is not None),
        tuple(RegistrySeen(one.uri, len(one.models), one.fault) for one in held.values()),
        search.broken,
        tuple(unread),
        search.where,
    )


def _entries(home: Home, unread: list[str]) -> tuple[LedgerEntry, ...]:
    try:
        reading = Ledger(home.ledger).read()
    except MlshipError as error:
        unread.append(str(error))
        return ()
    if reading.damage is not None:
        unread.append(str(reading.damage))
    return reading.entries


def _remembered(home: Home, models: Sequence[str], unread: list[str]) -> list[Path]:
    """Policies that a rollout or a pass of the monitor ran by, the latest of each model."""
    from mlship.rollout import lines

    found = [watched_policy(home, model) for model in models]
    for model in models:
        try:
            path = lines.latest(home, model)
            found += [str(lines.plan(path).get("policy_path") or "")] if path is not None else []
        except MlshipError as error:
            unread.append(str(error))
    return [Path(each) for each in found if each]


def _by_model(search: Search, remembered: Sequence[Path]) -> dict[str, list[Found]]:
    """The policies of each model; the one that ran last first, then as they were given or found."""
    ran = {path.resolve() for path in remembered}
    ordered = sorted(search.found, key=lambda one: one.loaded.path.resolve() not in ran)
    found: dict[str, list[Found]] = {}
    for one in ordered:
        found.setdefault(one.loaded.policy.model, []).append(one)
    return found


def _uri(found: Found, asked: Asked) -> str | None:
    """The registry of a policy; one whose address is not known has the one that is asked otherwise."""
    return asked.registry if found.guessed else found.loaded.policy.registry.uri or asked.registry


def _held(home: Home, asked: Asked, search: Search) -> dict[tuple[str, str], Held]:
    """Every registry that a policy names, and the one of models without a policy; by what tells them apart."""
    uris = [_uri(one, asked) for one in search.found]
    embedded = registries.key(None, home)[0] == home.registry_uri
    if asked.registry or not uris or not embedded or home.registry_dir.exists():
        uris.append(asked.registry)
    aliases: dict[str, str] = {}
    for one in search.found:
        aliases.setdefault(one.loaded.policy.model, one.loaded.policy.champion.removeprefix("@"))
    return {key: registries.read(uri, home, aliases) for key, uri in registries.distinct(uris, home).items()}


def _where(
    model: str, found: Sequence[Found], asked: Asked, home: Home, held: Mapping[tuple[str, str], Held]
) -> tuple[str, str] | None:
    """The registry that a model is looked up in: its policy's, else whichever has it; None: none has."""
    if found:
        return registries.key(_uri(found[0], asked), home)
    return next((key for key, one in held.items() if model in one.models), None)


def _listed(
    by_model: Mapping[str, Sequence[Found]], running: set[str], held: Mapping[tuple[str, str], Held]
) -> set[str]:
    """Models that have a policy, serve here, or have a champion."""
    champions = {name for one in held.values() for name, model in one.models.items() if "champion" in model.aliases}
    return set(by_model) | running | champions
