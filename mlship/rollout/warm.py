"""Which servers stay ready although nothing routes to them, and until when: a way back that needs no start."""

from __future__ import annotations

import json
from pathlib import Path

from mlship.engines.base import Engine
from mlship.errors import EngineError, StateError


def keep(directory: Path, server: str, until: float) -> None:
    """Remember that this server stays until then (Unix time). Raises ``StateError`` when the disk is full."""
    _write(directory, {**listed(directory), server: until})


def forget(directory: Path, server: str) -> None:
    """This server has a role again, or is gone. Raises ``StateError`` when the disk is full."""
    kept = listed(directory)
    if kept.pop(server, None) is not None:
        _write(directory, kept)


def listed(directory: Path) -> dict[str, float]:
    """Server -> Unix time until which it stays."""
    try:
        document = json.loads((directory / "warm.json").read_text())
        return {str(server): float(until) for server, until in document.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # nothing is kept, or the file is damaged: then nothing is stopped by it either


def stop_expired(directory: Path, engine: Engine, now: float, spared: set[str]) -> list[str]:
    """Stop the servers whose time is over, except those with a role; the names of those that were stopped."""
    routes = engine.routes()
    if routes is not None:
        spared = spared | {routes.stable, routes.canary or routes.stable}
    expired = [server for server, until in listed(directory).items() if until <= now and server not in spared]
    for server in expired:
        try:
            engine.stop(server)
        except EngineError:
            continue  # it is asked again at the next rollout; nothing depends on it
        forget(directory, server)
    return expired


def _write(directory: Path, kept: dict[str, float]) -> None:
    fresh = directory / "warm.json.new"
    try:
        fresh.write_text(json.dumps(kept))
        fresh.replace(directory / "warm.json")
    except OSError as error:
        raise StateError(
            f"cannot remember which servers stay warm: {error.strerror or error}",
            where=str(fresh),
            hint="free space or permissions, then run the same command again: it carries on",
        ) from error
