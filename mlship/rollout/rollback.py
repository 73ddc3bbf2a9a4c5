"""Back to an earlier champion, now: the route first, then the ledger, then the alias."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlship.champions import TELLING, champions
from mlship.engines.base import Engine
from mlship.errors import MlshipError, MovedError, RegistryError, UsageError
from mlship.ledger import Ledger, serving_image
from mlship.rollout import behind, warm
from mlship.rollout.behind import Behind
from mlship.rollout.hands import READY_SECONDS, Aliases, apply
from mlship.types import LedgerEntry, Release, Routes, ServerState

#: Actions in the ledger that tell where a rollback goes, and from which image.
_TELLING = (*TELLING, "built")


class NotTold(UsageError):
    """The ledger does not know of it: nothing was ever promoted, or not this version."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", begun: bool = True) -> None:
        super().__init__(what, where=where, hint=hint)
        self.begun = begun
        """Whether it knows of any champion."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a rollback goes, and from where."""

    model: str
    champion: str
    """The version that is left; empty when nothing tells."""
    version: str
    digest: str
    """Of the version that serves afterwards, as recorded when it served before."""
    image: str = ""
    """Id of its image, as recorded when it was built; empty where processes serve."""
    begun: bool = False
    """It serves already, as the ledger says; what is left is the alias."""

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
    since: float
    """Unix time since which it has all traffic."""


def target(ledger: Ledger, model: str, to: str | None, left: Behind | None = None) -> Target:
    """The previous champion, or the earlier champion `to`, as the ledger knows them.

    Only the entries that tell are read: traffic on a bad champion does not wait until a long ledger is checked.

    Parameters
    ----------
    left
        What the latest rollback has left to do: to go where it went is to complete it.

    Raises ``UsageError`` when there is nothing to go back to (``NotTold``: that the ledger knows of), ``StateError``
    when it is damaged where it tells.
    """
    entries = ledger.some(model, _TELLING)
    stack, known = champions(entries), digests(entries)
    if not stack:
        raise NotTold(
            "nothing was ever promoted, so there is nothing to go back to",
            where=model,
            hint=f"`mlship abort {model}` ends a running rollout; `mlship history` shows what happened",
            begun=False,
        )
    now = stack[-1]
    if left is not None and left.to == now and now in known and to in (None, now):
        return Target(model, left.expected, now, known[now], serving_image(entries, known[now]), begun=True)
    below = [version for version in dict.fromkeys(reversed(stack[:-1])) if version != now]
    if to is None and not below:
        others = sorted(set(known) - {now}, key=_number)
        named = f"; `mlship rollback {model} --to VERSION` goes to one that was left: {', '.join(others)}"
        raise UsageError(
            f"version {now} is the first champion: there is no earlier one to go back to",
            where=model,
            hint=f"`mlship history` shows what happened{named if others else ''}",
        )
    version = to if to is not None else below[0]
    if version == now:
        raise UsageError(f"version {version} is the champion already", where=model)
    if version not in known:
        others = sorted(set(known) - {now}, key=_number)
        raise NotTold(
            f"version {version} never was champion; versions that were: {', '.join(others) or 'none'}",
            where=model,
            hint="a version that never served is let onto traffic by `mlship ship POLICY`",
        )
    return Target(model, now, version, known[version], serving_image(entries, known[version]))


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
    why: str = "",
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Returned:
    """Route everything to the earlier champion, then write it down, then move the alias. May be repeated.

    Parameters
    ----------
    registry
        Asked last, unless a server has to be started: traffic goes back although the registry is out of reach.
    keep_warm
        Seconds that the server which is left stays ready.
    why
        What led to it, for the ledger; empty when a person wants it.

    Raises ``MovedError`` when the version's files are no longer the recorded ones (nothing was changed then); and,
    with when the traffic has moved as its first words, ``MovedError`` when the alias was moved by others, and whatever
    else is in the way of ledger or alias. The same rollback again completes it then.
    """
    ready = engine.servers().get(where.server)
    is_warm = ready is not None and ready.state is ServerState.READY
    decided = clock()
    if not is_warm:
        _start(where, engine, registry)
    apply(engine, Routes(where.server), clock, sleep)
    moved_at = clock()
    before = behind.read(directory)
    since = before.at if where.begun and before is not None else moved_at
    expected = before.expected if before is not None and before.to == where.champion else where.champion
    reason = f"rolled back by {who}: {_way(where)}" + (f"; {why}" if why else "")
    evidence = {"model": where.digest}
    entry = LedgerEntry(
        moved_at, who, "rolled_back", where.model, where.champion or None, where.version, reason, evidence
    )
    rest = _Rest()
    noted = rest.do(lambda: behind.write(directory, Behind(alias, expected, where.version, since)))
    if noted and not where.begun:
        rest.do(lambda: ledger.append(entry))
    if not where.begun:
        rest.do(lambda: _keep_warm(where, engine, directory, moved_at + keep_warm))
    named = rest.do(lambda: _name(where, registry, alias, expected))
    if (
        not noted and named and not where.begun
    ):  # until now nothing else would have told the same command that the alias is left to do
        rest.do(lambda: ledger.append(entry))
    if named or any(isinstance(trouble, MovedError) for trouble in rest.troubles):
        rest.do(lambda: behind.clear(directory))
    if rest.troubles:
        raise _after_all(where, alias, since, rest.troubles)
    return Returned(where, decided, moved_at - decided, is_warm, reason, since)


class _Rest:
    """What is left to do once traffic has moved: nothing of it keeps the rest from being done."""

    def __init__(self) -> None:
        self.troubles: list[MlshipError] = []

    def do(self, act: Callable[[], None]) -> bool:
        """Whether it could be done."""
        try:
            act()
        except MlshipError as trouble:
            self.troubles.append(trouble)
            return False
        return True


def _after_all(where: Target, alias: str, since: float, troubles: list[MlshipError]) -> MlshipError:
    """The error that says first where the traffic is."""
    first = next((one for one in troubles if isinstance(one, MovedError)), troubles[0])
    at = time.strftime("%H:%M:%S", time.localtime(since))
    said = [
        f"@{alias} could not be set: {one.what}" if isinstance(one, RegistryError) else one.what for one in troubles
    ]
    what = f"traffic went back to version {where.version} at {at}, but {'; and '.join(said)}"
    if isinstance(first, MovedError):
        hint = f"traffic is on version {where.version}; move @{alias} by hand, or ship again"
    else:
        again = f"`mlship rollback {where.model} --to {where.version}`"
        hint = f"when that is mended, {again} does what is left, and goes no further back; {first.hint}"
    return type(first)(what, where=where.model, hint=hint)


def _keep_warm(where: Target, engine: Engine, directory: Path, until: float) -> None:
    warm.forget(directory, where.server)
    for server in engine.servers().values():
        if server.version == where.champion and server.name != where.server:
            warm.keep(directory, server.name, until)


def _start(where: Target, engine: Engine, registry: Aliases) -> None:
    try:
        found = registry.version(where.model, where.version)
    except RegistryError as error:
        raise RegistryError(
            f"nothing has moved: the server of version {where.version} is not ready, and {error.what}",
            where=error.where,
            hint=f"`mlship status` shows whose server is: `mlship rollback {where.model} --to VERSION`; {error.hint}",
        ) from error
    if found.digest != where.digest:
        raise MovedError(
            f"version {where.version} is not what served before: {found.digest} instead of {where.digest}",
            where=where.model,
            hint="find out who changed it; `mlship rollback MODEL --to VERSION` names another one",
        )
    server = engine.deploy(Release(where.model, found.version, found.digest, found.path, where.image))
    engine.wait_ready(server, READY_SECONDS)


def _name(where: Target, registry: Aliases, alias: str, expected: str) -> None:
    """Let the alias name the version that serves. Raises ``MovedError`` when it named another one than the champion."""
    named = registry.alias(where.model, alias)
    if named != where.version:  # else it does so already: a crash came in between, or a person was here
        registry.move_alias(where.model, alias, expected=expected or named, to=where.version)


def _way(where: Target) -> str:
    return f"version {where.champion} to version {where.version}" if where.champion else f"to version {where.version}"


def digests(entries: Sequence[LedgerEntry]) -> dict[str, str]:
    """Digest of every version that was champion, the latest last."""
    found: dict[str, str] = {}
    for entry in entries:
        by_hand = entry.action == "served" or (entry.action == "rolled_back" and "rollout" not in entry.evidence)
        ends = (
            ((entry.to_version, "model"),)
            if by_hand
            else ((entry.from_version, "champion"), (entry.to_version, "model"))
        )
        for version, key in ends if by_hand or entry.action == "promoted" else ():
            if version is not None and key in entry.evidence:
                found.pop(version, None)
                found[version] = entry.evidence[key]
    return found


def _number(version: str) -> tuple[int, str]:
    """Versions are numbers, and sort as such."""
    return (int(version) if version.isdecimal() else 0, version)
