"""The lines of a rollout's journal as a reader meets them: half written, damaged, still growing. Reads; writes nothing.

A line that cannot be read is passed over and counted; only a journal that does not begin with a plan is an error.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlship.errors import StateError
from mlship.home import Home

#: Bytes that are read at once from the end.
_BLOCK = 64 * 1024
#: What stands between a record and its checksum.
_MARK = b',"sum":"'
#: A line longer than this was not written by a journal.
_LONGEST = 16 * 1024 * 1024


def latest(home: Home, model: str) -> Path | None:
    """The journal of the model's latest rollout; None when there was none.

    Raises ``StateError`` when the pointer to it is damaged, or points to nowhere.
    """
    directory = home.rollouts(model)
    try:
        rollout_id = (directory / "current").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(directory / "current", error) from error
    except ValueError:
        raise _astray(directory, "is damaged") from None
    path = directory / f"{rollout_id}.jsonl"
    if not rollout_id or "/" in rollout_id or "\0" in rollout_id:
        raise _astray(directory, "is damaged")
    if not path.exists():
        raise _astray(directory, f"points to {path.name}, which is not there")
    return path


def models(home: Home) -> tuple[str, ...]:
    """Models that have had a rollout in this state directory, sorted; one whose plan cannot be read is left out."""
    found = set()
    for pointer in (home.path / "rollouts").glob("*/current"):
        try:
            path = pointer.with_name(f"{pointer.read_text(encoding='ascii').strip()}.jsonl")
            found.add(str(plan(path)["model"]))
        except (OSError, ValueError, StateError):
            continue
    return tuple(sorted(found))


def plan(path: Path) -> dict[str, Any]:
    """The plan of a rollout, as it was written down.

    Raises ``StateError`` when the first record is not a plan.
    """
    first = _first(path)
    found = first.get("plan") if first is not None else None
    if not isinstance(found, dict) or not _has_arms(found):
        raise StateError(
            "the journal of the latest rollout is damaged: it does not begin with a plan",
            where=str(path),
            hint="move it and `current` beside it away; the traffic stays as it is, and `mlship status` shows it",
        )
    return found


def begun(path: Path) -> float:
    """Unix time at which a rollout began, as its first record says; 0 when it does not."""
    at = (_first(path) or {}).get("at")
    return float(at) if isinstance(at, int | float) else 0.0


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Every record that can be read, oldest first."""
    try:
        with path.open("rb") as lines:
            yield from filter(None, map(parse, lines))
    except OSError as error:
        raise unusable(path, error) from error


def last(path: Path) -> tuple[dict[str, Any] | None, int]:
    """The last record that carries a state, and how many whole lines after it cannot be read."""
    damaged = 0
    for line in backwards(path):
        record = parse(line)
        damaged += record is None and bool(line.strip())
        if record is not None and has_state(record):
            return record, damaged
    return None, damaged


def seal(document: bytes) -> bytes:
    """The line of a record: its JSON object with a checksum as the last field, so that no changed byte is believed."""
    return document[:-1] + _MARK + f'{zlib.crc32(document):08x}"}}\n'.encode("ascii")


def parse(line: bytes) -> dict[str, Any] | None:
    """A record; None for a line that a crash has cut short, or something has damaged."""
    head, mark, _ = line.rpartition(_MARK)
    if not mark or seal(head + b"}") != line.rstrip(b"\n") + b"\n":
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def tail(path: Path) -> bytes:
    """What comes after the last end of a line: cut short by a crash, or being written."""
    return next(backwards(path))


def has_state(record: dict[str, Any]) -> bool:
    """Whether a record carries the machine's state."""
    return isinstance(record.get("state"), dict) and isinstance(record.get("evidence"), dict)


def backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file, the last one first, however long ago the first was written."""
    try:
        with path.open("rb") as file:
            left, rest = file.seek(0, os.SEEK_END), b""
            while left > 0:
                size = min(_BLOCK, left)
                left -= size
                file.seek(left)
                first, *lines = (file.read(size) + rest).split(b"\n")
                yield from reversed(lines)
                rest = first
            yield rest
    except OSError as error:
        raise unusable(path, error) from error


class Follower:
    """Reads a journal while somebody writes it: first its last records, then what is new at each call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        """Whole lines that could not be read, of those that it has met."""
        self._offset = 0
        self._inode = 0

    def begin(self, looks: int) -> list[dict[str, Any]]:
        """The last records, oldest first: so many that carry a state, and all between them."""
        self._inode, size = self._stat()
        found: list[dict[str, Any]] = []
        states, ended = 0, False
        for line in backwards(self.path):
            if not ended:  # what comes after the last end of a line is being written, or was cut short
                self._offset, ended = size - len(line), True
                continue
            record = self._read(line)
            if record is not None:
                found.append(record)
                states += has_state(record)
            if states >= looks:
                break
        return found[::-1]

    def more(self) -> list[dict[str, Any]]:
        """Records that are new since the last call; the whole journal again when it was replaced."""
        inode, size = self._stat()
        if inode != self._inode or size < self._offset:
            self._inode, self._offset = inode, 0
        if size == self._offset:
            return []
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError as error:
            raise unusable(self.path, error) from error
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [record for line in whole.splitlines() if (record := self._read(line)) is not None]

    def _read(self, line: bytes) -> dict[str, Any] | None:
        record = parse(line)
        self.damaged += record is None and bool(line.strip())
        return record

    def _stat(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except OSError as error:
            raise unusable(self.path, error) from error
        return found.st_ino, found.st_size


def unusable(path: Path, error: OSError) -> StateError:
    """What to tell when a journal's file cannot be used."""
    return StateError(
        f"cannot use the rollout's journal: {error.strerror or error}",
        where=str(path),
        hint="free space or permissions, then run the same command again: it carries on",
    )


def _astray(directory: Path, how: str) -> StateError:
    pointer = directory / "current"
    hint = f"if its journal was moved away for good, `rm {pointer}` forgets that rollout, and traffic stays"
    if journals := sorted(path.stem for path in directory.glob("*.jsonl")):  # their names begin with the time
        hint = f"if {journals[-1]} is the latest, `echo {journals[-1]} > {pointer}` repairs it; {hint}"
    return StateError(f"the pointer to the latest rollout {how}", where=str(pointer), hint=hint)


def _first(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as lines:
            return parse(lines.readline(_LONGEST))
    except OSError as error:
        raise unusable(path, error) from error


def _has_arms(document: dict[str, Any]) -> bool:
    """Whether a plan says what every view of it says."""
    canary, stable, steps = document.get("canary"), document.get("stable"), document.get("steps")
    arms = [canary] if stable is None else [canary, stable]
    return (
        all(isinstance(arm, dict) and isinstance(arm.get("version"), str) for arm in arms)
        and isinstance(steps, list)
        and all(isinstance(document.get(name), str) for name in ("rollout_id", "model"))
    )
