"""The ledger: an append-only file of who did what, when, on which evidence; it survives a crash in mid-write."""

from __future__ import annotations

import errno
import fcntl
import getpass
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mlship.errors import StateError
from mlship.types import LedgerEntry

#: How long an append waits for another process that is appending.
LOCK_SECONDS = 10.0
#: Bytes that are read first from the end.
_BLOCK = 64 * 1024
_FIELDS = tuple(field.name for field in fields(LedgerEntry))


@dataclass(frozen=True, slots=True)
class Reading:
    """What a ledger holds: every entry before the first damage, and the damage, if there is any."""

    entries: tuple[LedgerEntry, ...]
    damage: StateError | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """A file of JSON lines, each with its number (`seq`) and the sha256 of the line before it (`previous`).

    A line counts once its newline is on disk. Bytes after the last newline are the remains of a write that a crash
    cut short: readers pass over them, and the next append moves them to `ledger.torn`. A line in the middle that
    does not follow from the one before it has been changed by other hands, and is reported.
    """

    path: Path

    def append(self, entry: LedgerEntry) -> None:
        """Add one entry, durably: when this returns, it is on disk; when it raises, nothing has been added.

        Raises ``StateError`` when the disk is full, the file is not writable, or another process holds its lock.
        """
        with _os_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                _lock(descriptor, self.path)
                last, torn, end = _tail(descriptor)
                if torn:
                    self._move_aside(torn)
                    os.ftruncate(descriptor, end)
                _write(descriptor, _encode(entry, _seq(last, descriptor, end) + 1, last), end)
                if fresh:
                    _sync_directory(self.path.parent)
            finally:
                os.close(descriptor)

    def read(self) -> Reading:
        """Every entry up to the first damaged line, oldest first; a missing file is an empty ledger.

        Raises ``StateError`` only when the file cannot be read at all.
        """
        lines, _torn = _split(self._content())
        entries: list[LedgerEntry] = []
        before: bytes | None = None
        for number, line in enumerate(lines, start=1):
            try:
                entries.append(_decode(line, number, before))
            except ValueError as error:
                damage = self._damaged(f"{error}; the {len(entries)} entries before this line are sound", number)
                return Reading(tuple(entries), damage)
            before = line
        return Reading(tuple(entries))

    def entries(self, model: str | None = None) -> list[LedgerEntry]:
        """All entries (of one model), oldest first.

        Raises ``StateError``, naming the line, when the chain is broken: nothing should be decided on half a record.
        ``read`` still gives what comes before it.
        """
        reading = self.read()
        if reading.damage is not None:
            raise reading.damage
        return [entry for entry in reading.entries if model is None or entry.model == model]

    def some(self, model: str, actions: Sequence[str]) -> list[LedgerEntry]:
        """The model's entries with these actions, oldest first, at once however long the ledger is.

        Only these lines, and whether each follows from the line before it and the next from it, are looked at: who has
        acted on them has ``read`` check the rest. Raises ``StateError`` when one of them is damaged.
        """
        content = self._content()
        found = []
        for start in _mentions(content[: content.rfind(b"\n") + 1], model, actions):
            line = _line(content, start)
            before = _line(content, content.rfind(b"\n", 0, start - 1) + 1) if start else None
            after = start + len(line) + 1
            try:
                entry = _decode(line, None, before)
                if entry.model != model or entry.action not in actions:
                    continue  # the words stand in its reason
                if content.find(b"\n", after) >= 0:
                    _decode(_line(content, after), None, line)
            except ValueError as error:
                raise self._damaged(str(error), content.count(b"\n", 0, start) + 1) from None
            found.append(entry)
        return found

    def _content(self) -> bytes:
        with _os_errors(self.path):
            try:
                return self.path.read_bytes()
            except FileNotFoundError:
                return b""

    def _damaged(self, how: str, number: int) -> StateError:
        return StateError(
            f"the ledger is damaged: {how}",
            where=f"{self.path}:{number}",
            hint=f"find out who changed it; then `mv {self.path} {self.path}.damaged` begins a new one",
        )

    def _move_aside(self, torn: bytes) -> None:
        aside = self.path.with_suffix(".torn")
        descriptor = os.open(aside, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _write(descriptor, torn + b"\n", os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)


def evaluations(entries: list[LedgerEntry]) -> list[LedgerEntry]:
    """The entries that record an evaluation, oldest first."""
    return [entry for entry in entries if entry.action == "evaluated"]


def built_image(entries: list[LedgerEntry], digest: str, policy: str) -> str:
    """Id of the image that was last built of a model with this digest under this policy; empty when none was.

    An image that another policy had built may stand on another base: it proves nothing about this one.
    """
    return _image(entries, "built", digest, policy)


def serving_image(entries: list[LedgerEntry], digest: str, policy: str | None = None) -> str:
    """Id of the image of a version that has served: the one that it was promoted with, whatever was built of it since.

    One that was never promoted from an image has the one that was last built, under this policy where one is given;
    empty when there is none.
    """
    return _image(entries, "promoted", digest, None) or _image(entries, "built", digest, policy)


def _image(entries: list[LedgerEntry], action: str, digest: str, policy: str | None) -> str:
    for entry in reversed(entries):
        found = entry.evidence
        if (
            entry.action == action
            and found.get("model") == digest
            and policy in (None, found.get("policy"))
            and found.get("image")
        ):
            return found["image"]
    return ""


def who() -> str:
    """Who acts: `MLSHIP_ACTOR`, else `GITHUB_ACTOR`, else the login name; at this host."""
    name = os.environ.get("MLSHIP_ACTOR") or os.environ.get("GITHUB_ACTOR")
    if not name:
        try:
            name = getpass.getuser()
        except (KeyError, OSError):  # a container may run as a user id that has no name
            name = f"uid{os.getuid()}"
    return f"{name}@{socket.gethostname()}"


def _encode(entry: LedgerEntry, seq: int, before: bytes | None) -> bytes:
    document = {"seq": seq, "previous": _digest(before), **asdict(entry)}
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def _decode(line: bytes, number: int | None, before: bytes | None) -> LedgerEntry:
    """Read one line; ``ValueError`` says in half a sentence what is wrong with it. A number may be unknown."""
    try:
        document: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("this line is not JSON") from None
    if not isinstance(document, dict):
        raise ValueError("this line is not an entry")  # noqa: TRY004 - the caller knows one kind of damage
    if number is not None and document.get("seq") != number:
        raise ValueError(f"this line calls itself entry {document.get('seq')}, but it is entry {number}")
    if document.get("previous") != _digest(before):
        raise ValueError("this line does not follow from the line before it, which has been changed or removed")
    try:
        return LedgerEntry(**{name: document[name] for name in _FIELDS})
    except KeyError as error:
        raise ValueError(f"this line lacks {error}") from None


def _digest(line: bytes | None) -> str | None:
    return None if line is None else f"sha256:{hashlib.sha256(line).hexdigest()}"


def _split(content: bytes) -> tuple[list[bytes], bytes]:
    *lines, torn = content.split(b"\n")
    return lines, torn


def _line(content: bytes, start: int) -> bytes:
    return content[start : content.index(b"\n", start)]


def _mentions(content: bytes, model: str, actions: Sequence[str]) -> list[int]:
    """Where the lines begin that have both the model's name and one of these words in them, in order."""
    starts, name = set(), json.dumps(model).encode("ascii")
    for word in (f'"{action}"'.encode("ascii") for action in actions):
        at = content.find(word)
        while at >= 0:
            start, end = content.rfind(b"\n", 0, at) + 1, content.index(b"\n", at)
            if content.find(name, start, end) >= 0:
                starts.add(start)
            at = content.find(word, end)
    return sorted(starts)


def _tail(descriptor: int) -> tuple[bytes | None, bytes, int]:
    """The last whole line, what comes after it, and where that begins."""
    size = left = os.fstat(descriptor).st_size
    content, block = b"", _BLOCK
    while left > 0 and content.count(b"\n") < 2:
        step = min(block, left)
        left, block = left - step, block * 2
        content = os.pread(descriptor, step, left) + content
    lines, torn = _split(content)
    return (lines[-1] if lines else None), torn, size - len(torn)


def _seq(last: bytes | None, descriptor: int, end: int) -> int:
    """The number of the last line; by counting them all, where it does not say."""
    if last is None:
        return 0
    try:
        said = json.loads(last)["seq"]
    except (ValueError, TypeError, KeyError, RecursionError):
        said = None
    if type(said) is int and said > 0:
        return said
    return sum(os.pread(descriptor, 1 << 20, offset).count(b"\n") for offset in range(0, end, 1 << 20))


def _write(descriptor: int, line: bytes, end: int) -> None:
    """Write the line in one call and bring it to disk, or take back what was written of it."""
    try:
        written = os.write(descriptor, line)
        os.fsync(descriptor)
    except BaseException:
        os.ftruncate(descriptor, end)
        raise
    if written < len(line):
        os.ftruncate(descriptor, end)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # what a short write to a file means


def _lock(descriptor: int, path: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StateError(
                    f"another process has held the ledger's lock for {LOCK_SECONDS:.0f} s",
                    where=str(path),
                    hint=f"see which one with `fuser {path}`, then try again",
                ) from None
            time.sleep(0.01)
        else:
            return


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(
            f"cannot use the ledger: {error.strerror or error}",
            where=str(path),
            hint="free space or permissions, or point MLSHIP_HOME at a writable directory",
        ) from error
