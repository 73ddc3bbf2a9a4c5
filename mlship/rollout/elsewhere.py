"""What knows the champions of a model when the ledger cannot tell: servers that are warm, journals, the registry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlship.engines.base import Engine
from mlship.errors import MlshipError, StateError, UsageError
from mlship.ledger import serving_image
from mlship.rollout import lines
from mlship.rollout.behind import Behind
from mlship.rollout.hands import Aliases
from mlship.rollout.rollback import Target, digests
from mlship.types import LedgerEntry, ServerState

#: Versions that a hint names.
_MOST = 3


@dataclass(frozen=True, slots=True)
class Known:
    """A version that could serve."""

    version: str
    digest: str
    image: str = ""
    champion: str = ""
    """What shows that it was champion; empty when nothing does."""
    warm: bool = False
    """Its server is ready."""

    def __str__(self) -> str:
        said = [self.champion or "nothing shows that it was champion", *(["its server is ready"] if self.warm else [])]
        return f"version {self.version} ({', '.join(said)})"


def target(
    model: str,
    to: str,
    *,
    directory: Path,
    engine: Engine,
    registry: Aliases,
    entries: Sequence[LedgerEntry],
    only_champions: bool,
    left: Behind | None = None,
) -> tuple[Target, Known] | None:
    """The way to the version that a person has named, and what knows it; None when nothing does.

    Parameters
    ----------
    directory
        Of the model's journals.
    entries
        What of the ledger is sound.
    only_champions
        Whether only a version that is known to have been champion may be gone to.
    left
        What the latest rollback has left to do: to go where it went is to complete it.

    Raises ``UsageError`` when it has all traffic already, and what the registry raises when it alone could know it.
    """
    serving = now_serving(engine)
    begun = serving == to and left is not None and left.to == to
    if serving == to and not begun:
        raise UsageError(f"version {to} serves already, and the ledger does not tell what came before it", where=model)
    found = {one.version: one for one in _known(model, directory, engine, entries)}.get(to)
    if only_champions and (found is None or not found.champion):
        return None
    if found is None:
        version = registry.version(model, to)
        found = Known(version.version, version.digest)
    before = left.expected if begun and left is not None else serving
    return Target(model, before, found.version, found.digest, found.image, begun=begun), found


def candidates(
    model: str,
    *,
    directory: Path,
    engine: Engine,
    registry: Aliases,
    alias: str,
    entries: Sequence[LedgerEntry],
) -> str:
    """The versions that a person may name, the likeliest first, as commands; empty when nothing is known."""
    serving = now_serving(engine)
    found = [one for one in _known(model, directory, engine, entries) if one.version != serving]
    found.sort(key=lambda one: (bool(one.champion), one.warm), reverse=True)  # of equals, the latest stays first
    if not found:
        try:
            named = registry.alias(model, alias)
        except MlshipError:
            named = None
        if named is not None and named != serving:
            found = [Known(named, "", champion=f"@{alias} names it")]
    return "; or ".join(f"`mlship rollback {model} --to {one.version}`: {one}" for one in found[:_MOST])


def _known(model: str, directory: Path, engine: Engine, entries: Sequence[LedgerEntry]) -> list[Known]:
    """Every version that ledger, journals or engine know, the latest first."""
    found: dict[str, Known] = {}
    for version, digest in digests(entries).items():
        image = serving_image(list(entries), digest)
        found[version] = Known(version, digest, image, "it was champion, says the ledger's sound part")
    for one in _of_journals(model, directory):
        before = found.pop(one.version, None)  # the latest goes last
        found[one.version] = replace(one, champion=one.champion or (before.champion if before else ""))
    try:
        servers = engine.servers()
    except MlshipError:
        servers = {}  # whoever needs it will be told
    for server in servers.values():
        if server.state is ServerState.READY:
            before = found.get(server.version)
            if before is not None and before.digest == server.digest:
                found[server.version] = replace(before, warm=True)
            else:
                found[server.version] = Known(server.version, server.digest, warm=True)
    return list(found.values())[::-1]


def _of_journals(model: str, directory: Path) -> Iterator[Known]:
    """What each rollout served, oldest first; one whose journal cannot be read is passed over."""
    for path in sorted(directory.glob("*.jsonl")):  # their names begin with the time
        try:
            plan, (last, _) = lines.plan(path), lines.last(path)
        except StateError:
            continue
        if plan["model"] != model:
            continue
        promoted = last is not None and last["state"].get("outcome") == "promoted"
        arms = ((plan["stable"], "it was champion"), (plan["canary"], "it was promoted" if promoted else ""))
        for arm, how in arms:
            if arm is not None and isinstance(arm.get("digest"), str):
                yield Known(
                    arm["version"], arm["digest"], _text(arm.get("image")), f"{how} in {path.stem}" if how else ""
                )


def now_serving(engine: Engine) -> str:
    """The version that callers meet, but for those on a canary; empty when there is none, or nobody can tell."""
    try:
        routes = engine.routes()
        server = engine.servers().get(routes.stable) if routes is not None else None
    except MlshipError:
        return ""
    return server.version if server is not None else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
