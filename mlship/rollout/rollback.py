"""Back to an earlier champion, now: the route first, then the alias, then the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlship.champions import champions
from mlship.engines.base import Engine
from mlship.errors import MovedError, UsageError
from mlship.ledger import Ledger, serving_image
from mlship.rollout import warm
from mlship.rollout.hands import READY_SECONDS, Aliases, apply
from mlship.types import LedgerEntry, Release, Routes, ServerState

#: Actions in the ledger that tell where a rollback goes, and from which image.
_TELLING = ("promoted", "rolled_back", "built")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a rollback goes, and from where."""

    model: str
    champion: str
    """The version that is left."""
    version: str
    digest: str
    """Of the version that serves afterwards, as recorded when it served before."""
    image: str = ""
    """Id of its image, as recorded when it was built; empty where processes serve."""

    @property
    def server(self) -> str:
        """Name of the server that serves it."""
        return Release(self.model, self.version, self.digest, Path()).server


@dataclass(frozen=True, slots=True)
class Returned:
    """What a rollback did."""

    target: Target
    verdict_at: float
    """Unix time of the decision, before anything was done about it."""
    seconds: float
    """From the decision until the router applied the route."""
    warm: bool
    """The server was still ready: nothing had to be started."""
    reason: str


def target(ledger: Ledger, model: str, to: str | None) -> Target:
    """The previous champion, or the earlier champion `to`, as the ledger knows them.

    Only the entries that tell are read: traffic on a bad champion does not wait until a long ledger is checked.

    Raises ``UsageError`` when there is nothing to go back to, or `to` never was champion.
    """
    entries = ledger.some(model, _TELLING)
    stack, digests = champions(entries), _digests(entries)
    if not stack:
        raise UsageError(
            "nothing was ever promoted, so there is nothing to go back to",
            where=model,
            hint="`mlship abort MODEL` ends a running rollout; `mlship history` shows what happened",
        )
    known = [version for version in dict.fromkeys(reversed(stack[:-1])) if version != stack[-1]]
    if to is None and not known:
        raise UsageError(
            f"version {stack[-1]} is the first champion: there is no earlier one to go back to",
            where=model,
            hint="`mlship history` shows what happened",
        )
    version = to if to is not None else known[0]
    if version == stack[-1]:
        raise UsageError(f"version {version} is the champion already", where=model)
    if version not in digests:
        others = ", ".join(sorted(set(digests) - {stack[-1]})) or "none"
        raise UsageError(
            f"version {version} never was champion; versions that were: {others}",
            where=model,
            hint="a version that never served is let onto traffic by `mlship ship POLICY`",
        )
    return Target(model, stack[-1], version, digests[version], serving_image(entries, digests[version]))


def go_back(
    where: Target,
    *,
    engine: Engine,
    registry: Aliases,
    ledger: Ledger,
    directory: Path,
    alias: str,
    who: str,
    keep_warm: float = 86400.0,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Returned:
    """Route everything to the earlier champion, then move the alias, then write it down. May be repeated.

    Parameters
    ----------
    registry
        Asked last, unless a server has to be started: traffic goes back although the registry is out of reach.
    keep_warm
        Seconds that the server which is left stays ready.

    Raises ``MovedError`` when the version's files are no longer the recorded ones (nothing was changed then), or when
    the alias was moved by others (traffic has gone back then, and the ledger says so).
    """
    ready = engine.servers().get(where.server)
    is_warm = ready is not None and ready.state is ServerState.READY
    decided = clock()
    if not is_warm:
        _start(where, engine, registry)
    apply(engine, Routes(where.server), clock, sleep)
    seconds = clock() - decided
    warm.forget(directory, where.server)
    left = [server.name for server in engine.servers().values() if server.version == where.champion]
    for server in left:
        if server != where.server:
            warm.keep(directory, server, clock() + keep_warm)
    reason = f"rolled back by {who}: version {where.champion} to version {where.version}"
    moved = _move(where, registry, alias)
    evidence = {"model": where.digest}
    entry = LedgerEntry(
        clock(), who, "rolled_back", where.model, where.champion, where.version, moved or reason, evidence
    )
    ledger.append(entry)
    if moved:
        raise MovedError(
            moved,
            where=where.model,
            hint=f"traffic is on version {where.version}; move @{alias} by hand, or ship again",
        )
    return Returned(where, decided, seconds, is_warm, reason)


def _start(where: Target, engine: Engine, registry: Aliases) -> None:
    found = registry.version(where.model, where.version)
    if found.digest != where.digest:
        raise MovedError(
            f"version {where.version} is not what served before: {found.digest} instead of {where.digest}",
            where=where.model,
            hint="find out who changed it; `mlship rollback MODEL --to VERSION` names another one",
        )
    server = engine.deploy(Release(where.model, found.version, found.digest, found.path, where.image))
    engine.wait_ready(server, READY_SECONDS)


def _move(where: Target, registry: Aliases, alias: str) -> str:
    """Move the alias back; empty when it is done, else what was in the way."""
    if registry.alias(where.model, alias) == where.version:
        return ""  # a crash came between the alias and the ledger
    try:
        registry.move_alias(where.model, alias, expected=where.champion, to=where.version)
    except MovedError as error:
        return f"traffic went back to version {where.version}, but {error.what}"
    return ""


def _digests(entries: list[LedgerEntry]) -> dict[str, str]:
    """Digest of every version that was champion."""
    digests: dict[str, str] = {}
    for entry in entries:
        if entry.action == "promoted":
            for version, key in ((entry.from_version, "champion"), (entry.to_version, "model")):
                if version is not None and key in entry.evidence:
                    digests[version] = entry.evidence[key]
    return digests
