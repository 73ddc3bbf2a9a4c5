"""One controller per model, one monitor, too: a lock that the kernel drops when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mlship.errors import StateError


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock."""

    who: str
    pid: int
    doing: str
    since: float

    def __str__(self) -> str:
        started = time.strftime("%H:%M:%S", time.localtime(self.since))
        return f"{self.who} ({self.doing}, process {self.pid}, since {started})"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a lock is for, in the words of its errors."""

    whose: str
    busy: str
    hint: str


ROLLOUT = Kind(
    "the rollout's lock",
    "a rollout of this model is running already",
    "`mlship status` shows it; `mlship promote|pause|resume|abort MODEL` steers it",
)


@contextmanager
def held(directory: Path, who: str, doing: str, kind: Kind = ROLLOUT) -> Iterator[float]:
    """Hold the model's lock in this (existing) directory; since when, as Unix time of the moment before it was taken.

    Raises ``StateError`` naming the holder when somebody else has it.
    """
    path = _path(directory)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"cannot use {kind.whose}: {error.strerror}", where=str(path)) from error
    try:
        since = time.time()
        if not _taken(descriptor):
            raise StateError(f"{kind.busy}: {_read(path)}", where=str(path), hint=kind.hint)
        mine = {"who": who, "pid": os.getpid(), "doing": doing, "since": since}
        with suppress(OSError):  # the lock is held all the same; a full disk must not be in the way of a way back
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(mine).encode(), 0)
        yield since
    finally:
        os.close(descriptor)


def holder(directory: Path) -> Holder | None:
    """Who holds the lock now; None when nobody does."""
    path = _path(directory)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path)
    else:
        return None
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    """Take the lock, if need be at the second try: `holder` holds it too, for an instant, to see whether it is free."""
    for pause in (0.02, 0.05, 0.1, 0.0):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(pause)
        else:
            return True
    return False


def _path(directory: Path) -> Path:
    return directory / "lock"


def _read(path: Path) -> Holder:
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):  # it has been locked this very moment, and the name is not in it yet
        return Holder("somebody", 0, "starting", time.time())
