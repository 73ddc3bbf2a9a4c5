"""Traffic as the model's servers tell it: their sketches for drift, their logs for labels and slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlship.errors import EngineError
from mlship.home import Home
from mlship.monitor import reading, schema
from mlship.monitor.reading import Order, Progress, Snapshot
from mlship.report.figures import listed
from mlship.report.monitor_seen import SourceSeen
from mlship.types.monitoring import Baseline, Tally, Trouble

if TYPE_CHECKING:
    from mlship.policy.schema import Policy

_Kept = TypeVar("_Kept")


def resumed(policy: Policy, home: Home, read: Callable[[Any], _Kept], document: Any) -> _Kept | None:
    """What the last pass has left; None at the first. Raises ``StateError`` when it cannot be read."""
    if document is None:
        return None
    try:
        return read(document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        path = home.monitor(policy.model) / "monitor.db"
        raise schema.damaged(path, "where the last pass ended cannot be read") from error


def sketched(
    policy: Policy, home: Home, baseline: Baseline, *, version: str, since: float | None, now: float, before: Any
) -> tuple[Tally | None, Any, SourceSeen, tuple[Trouble, ...]]:
    """The window since the last look at the servers' sketches, what to keep for the next one, and what is the matter.

    Parameters
    ----------
    since
        Unix time of the promotion: what a server has seen since then is the first window.
    before
        What the last call said to keep; None at the first.
    """
    from mlship.engines import exported

    nothing = SourceSeen("servers", policy.model)
    try:
        asked = exported.ask(home, policy.model)
    except EngineError as error:
        return None, before, nothing, (Trouble("engine", " ".join(str(error).split()), now),)
    known = resumed(policy, home, Snapshot.from_json, before)
    if known is None and since is not None:
        known = Snapshot.empty(since)
    look = Snapshot.of(now, asked.told, version)
    if not look.servers:
        others = sorted({one.version for one in asked.told.values()})
        where = f"the servers here are of version {listed(others)}" if others else "no server of the model runs here"
        hint = "monitor where it serves (--home), or name a log under monitor.log"
        return (
            None,
            before,
            nothing,
            (Trouble("engine", f"version {version} is not served here: {where}; {hint}", now),),
        )
    tally, kept = reading.formed(known, look, baseline)
    troubles = []
    if asked.silent:
        what = f"{listed(list(asked.silent))} did not answer: what it has seen counts once it does"
        troubles.append(Trouble("engine", what, now))
    lacking = reading.lacking(look, baseline, _redacted(policy))
    if lacking:
        what = f"the servers tell nothing of {listed(list(lacking))}, so that it is not judged"
        troubles.append(Trouble("engine", what, now))
    rows = tally.rows if tally is not None else 0
    names = ", ".join(sorted(look.servers))
    return tally, kept.to_json(), SourceSeen("servers", names, rows, now if rows else None), tuple(troubles)


def logged(
    policy: Policy, home: Home, baseline: Baseline, *, version: str, since: float | None, now: float, before: Any
) -> tuple[reading.Read | None, tuple[Trouble, ...]]:
    """New windows of the servers' prediction logs; None when the servers of this policy keep none.

    Parameters
    ----------
    before
        {"log": the progress of the last pass, "until": where it ended}; None at the first.
    """
    from mlship.engines import exported

    assert policy.monitor is not None, "the caller has looked"
    if policy.serving.log is None:
        return None, ()
    try:
        places = exported.logs(home, policy.model, version, home.monitor(policy.model) / "logs")
    except EngineError as error:
        return None, (Trouble("engine", " ".join(str(error).split()), now),)
    if not places:
        return None, ()
    known: Mapping[str, Any] = before or {}
    found = reading.read(
        policy.monitor,
        baseline,
        Path,
        version=version,
        since=known["until"] if known.get("until") is not None else since,
        now=now,
        progress=resumed(policy, home, Progress.from_json, known.get("log")),
        served=places,
        redacted=_redacted(policy),
    )
    return found, found.troubles


def order(
    policy: Policy, home: Home, baseline: Baseline, *, version: str, since: float | None, now: float
) -> Order | None:
    """What to look for examples in; None when the servers keep no log."""
    from mlship.engines import exported

    assert policy.monitor is not None, "the caller has looked"
    if policy.serving.log is None:
        return None
    try:
        places = exported.logs(home, policy.model, version, home.monitor(policy.model) / "logs")
    except EngineError:
        return None
    made = Order(policy.monitor, baseline, Path, version, since, now, served=places, redacted=_redacted(policy))
    return made if places else None


def _redacted(policy: Policy) -> frozenset[str]:
    return frozenset(policy.serving.log.redact) if policy.serving.log is not None else frozenset()
