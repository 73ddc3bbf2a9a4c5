"""An alias that lags behind the traffic: a rollback has moved the traffic, and the registry could not be told yet."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mlship.errors import MovedError, StateError


@dataclass(frozen=True, slots=True)
class Behind:
    """What is left of a rollback."""

    alias: str
    """Without its `@`."""
    expected: str
    """The version that it named when the traffic moved; empty when nobody knows."""
    to: str
    """The version that has the traffic."""
    at: float
    """Unix time at which the traffic moved."""


def read(directory: Path) -> Behind | None:
    """What one model's latest rollback has left to do; None when nothing, or when it cannot be read."""
    try:
        found = Behind(**json.loads(_path(directory).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    texts = (found.alias, found.expected, found.to)
    return found if all(isinstance(text, str) for text in texts) and isinstance(found.at, float | int) else None


def write(directory: Path, left: Behind) -> None:
    """Remember it until ``clear``, also when this process is killed. Raises ``StateError`` when the disk is full."""
    path = _path(directory)
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text(json.dumps(asdict(left)), encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise StateError(
            f"cannot remember that @{left.alias} is to name version {left.to}: {error.strerror or error}",
            where=str(fresh),
            hint="free space or permissions, then run the same command again: it carries on",
        ) from error


def clear(directory: Path) -> None:
    """The alias names what it should, or somebody else has decided what it names."""
    try:
        _path(directory).unlink(missing_ok=True)
    except OSError as error:
        raise StateError(
            f"cannot remove what is done: {error.strerror or error}", where=str(_path(directory)), hint="remove it"
        ) from error


def caught_up(directory: Path, model: str, champion: str | None) -> None:
    """Raise ``MovedError`` while the champion's alias lags behind; it names this version now.

    To begin from there would undo a person's rollback without a word. An alias that names anything else by now was
    moved by somebody: that stands.
    """
    left = read(directory)
    if left is None:
        return
    if champion is None or champion != left.expected:
        clear(directory)
        return
    raise MovedError(
        f"version {left.to} has all traffic since a rollback, and @{left.alias} still names version {champion}: it "
        "could not be set then",
        where=model,
        hint=f"`mlship rollback {model} --to {left.to}` sets it; then run this command again",
    )


def _path(directory: Path) -> Path:
    return directory / "behind.json"
