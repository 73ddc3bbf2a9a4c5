"""Who is sending what: a file for each attempt, locked by whoever makes it, with what came of it inside.

The monitor makes the file, takes its lock and hands both down to the program that sends (`__main__`), which keeps the
lock for as long as it lives, whatever becomes of the monitor. So a later pass can tell, for each attempt:

- the lock is held: it is under way, and is let be;
- nobody holds it, and it was not begun: nothing has been sent;
- it was begun, and its outcome is there: that came of it;
- it was begun, and there is none: it was cut short, and nobody knows whether it arrived.

The file has its full size before anything is sent, so that an outcome can be written on a full disk, too.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlship.errors import StateError
from mlship.home import Home
from mlship.monitor.acting.delivery import Delivery, Outcome

#: Bytes of a file, and where in it stands what: which attempt it is, that it has begun, what came of it.
_SIZE, _BEGUN, _OUTCOME = 4096, 512, 1024
#: Bytes of an outcome, with its line end.
_ROOM = _SIZE - _OUTCOME


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that somebody makes: its file is locked while this descriptor is open, here or in a child."""

    path: Path
    descriptor: int

    def begin(self, at: float) -> None:
        """Note, durably, that something is about to be sent. Raises ``OSError``; then nothing may be."""
        _put(self.descriptor, {"begun": at}, _BEGUN, _OUTCOME - _BEGUN)

    def end(self, outcome: Outcome) -> None:
        """Note what came of it."""
        said = outcome.said
        while len(json.dumps({**asdict(outcome), "said": said})) >= _ROOM:  # a page of escapes, from a stranger
            said = said[: len(said) // 2]
        _put(self.descriptor, {**asdict(outcome), "said": said}, _OUTCOME, _ROOM)

    def close(self) -> None:
        """Let go of the lock, as far as this process has it."""
        os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of an attempt that nobody is making any more."""

    path: Path
    delivery: str
    number: int
    """1 for the first."""
    begun: float | None
    """Unix time; None when nothing has been sent."""
    outcome: Outcome | None
    """None when it was cut short."""


def claim(home: Home, model: str, delivery: Delivery) -> Claim:
    """Take the next attempt of a delivery. The claims before it must have been looked at.

    Raises ``StateError`` when the disk does not allow it; then nothing has been claimed.
    """
    directory = home.ensure(_directory(home, model))
    number = delivery.attempts + 1
    path = directory / f"{delivery.id}.{number}"
    try:
        # Under another name until it is locked and whole: a file of the right name always tells the truth.
        fresh = path.with_name(f".{path.name}")
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            what = json.dumps({"delivery": delivery.id, "number": number}).encode("ascii")
            whole = (what + b"\n").ljust(_SIZE)
            if os.pwrite(descriptor, whole, 0) < _SIZE:
                raise OSError(28, os.strerror(28))  # noqa: TRY301 - ENOSPC, which a short write to a file means
            os.fsync(descriptor)
            fresh.replace(path)
            _sync(directory)
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise StateError(
            f"nothing can be sent: {error.strerror or error}",
            where=str(path),
            hint="free space or permissions; the next pass sends it",
        ) from error
    return Claim(path, descriptor)


def under_way(home: Home, model: str) -> set[str]:
    """Deliveries that somebody is making an attempt of right now."""
    return {path.name.rpartition(".")[0] for path in _files(home, model) if _locked(path)}


def ended(home: Home, model: str) -> Iterator[Attempt]:
    """Attempts that nobody is making any more, in no order; ``forget`` those that have been noted."""
    for path in _files(home, model):
        delivery, _, number = path.name.rpartition(".")
        if not number.isdecimal() or _locked(path):
            continue
        begun, outcome = _look(path)
        yield Attempt(path, delivery, int(number), begun, outcome)


def forget(attempt: Attempt) -> None:
    """Remove the file of an attempt whose outcome the store has."""
    with suppress(OSError):  # it is met again, and known
        attempt.path.unlink(missing_ok=True)


def _directory(home: Home, model: str) -> Path:
    return home.monitor(model) / "sending"


def _files(home: Home, model: str) -> list[Path]:
    try:
        return sorted(path for path in _directory(home, model).iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StateError(
            f"what is being sent cannot be looked at: {error.strerror or error}",
            where=str(_directory(home, model)),
            hint="free permissions; until then nothing is sent",
        ) from error


def _locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StateError(
            f"what is being sent cannot be looked at: {error.strerror or error}",
            where=str(path),
            hint="free permissions; until then nothing is sent",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _look(path: Path) -> tuple[float | None, Outcome | None]:
    """Whether it was begun, and what came of it. What cannot be read was begun, and cut short: that is the worse."""
    try:
        content = path.read_bytes()
    except OSError:
        return 0.0, None
    if len(content) < _SIZE:
        return 0.0, None
    begun, outcome = content[_BEGUN:_OUTCOME].strip(), content[_OUTCOME:].strip()
    if not begun and not outcome:
        return None, None
    try:
        at = float(json.loads(begun)["begun"]) if begun else None
        found: dict[str, Any] | None = json.loads(outcome) if outcome else None
        return at, None if found is None else Outcome(**found)
    except (ValueError, KeyError, TypeError):
        return 0.0, None


def _put(descriptor: int, document: dict[str, Any], where: int, room: int) -> None:
    """Write a document over the blanks there."""
    text = json.dumps(document).encode("ascii")
    os.pwrite(descriptor, text.ljust(room - 1) + b"\n", where)
    os.fsync(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
