"""The prediction log: which requests are sampled, what a line says, and a thread that writes lines into bounded files.

Files are `predictions-WORKER-NUMBER.jsonl`; a higher number is newer, and the oldest go when there are too many bytes.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Final

#: The log of one worker is cut into so many files; one is dropped at a time.
FILES = 8
#: Bytes that may wait for the disk; what comes on top is dropped and counted.
MAX_WAITING = 8 * 10**6
#: A longer line is dropped and counted.
MAX_LINE = 10**6
REDACTED = "[redacted]"

log = logging.getLogger("mlship.serving")


def sampled(request_id: str, share: float) -> bool:
    """Whether a request is in the log: decided by its id alone, so that every worker and every server agrees.

    Parameters
    ----------
    share
        From 0 to 1. A request that is in the log at one share is in it at every larger one.
    """
    if share >= 1:
        return True
    digest = blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64


def line(record: Mapping[str, Any]) -> bytes:
    """A record as one line of strict JSON in ASCII, whatever is in it; raises nothing."""
    try:
        text = json.dumps(record, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError, OverflowError):
        text = json.dumps(clean(record), allow_nan=False, separators=(",", ":"))
    return text.encode("ascii") + b"\n"


def clean(value: Any, depth: int = 0) -> Any:
    """The value as JSON can hold it: `NaN`, `Infinity`, integers beyond all measure and unknown things become text."""
    if isinstance(value, type(None) | bool | str):
        return value
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Mapping) and depth < 20:
        return {str(key): clean(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple) and depth < 20:
        return [clean(inner, depth + 1) for inner in value]
    if callable(getattr(value, "item", None)):  # a numpy scalar
        with suppress(Exception):
            plain = value.item()
            if isinstance(plain, bool | int | float | str):
                return clean(plain)
    return f"<{type(value).__name__}>"


def _number(value: float) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else json.dumps(float(value))
    return int(value) if value.bit_length() <= 1000 else f"an integer of {value.bit_length()} bits"


def instant(unix: float) -> str:
    """A moment as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class PredictionLog:
    """Writes lines beside the server's work. `offer` never waits; a disk that fails ends the log, not the server.

    Parameters
    ----------
    directory
        Created when it is not there.
    worker
        Number of this worker; each has files of its own.
    workers
        How many workers share the directory; files of a worker that is no more are worker 0's to drop.
    size
        Bytes that all files may take together.
    """

    def __init__(self, directory: Path, size: int, *, worker: int = 0, workers: int = 1) -> None:
        self._directory: Final = directory
        self._worker: Final = worker
        self._workers: Final = workers
        self._size: Final = size // workers
        self._segment: Final = self._size // FILES
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._wake = threading.Condition()
        self._closing = False
        self._number = 0
        self.written = self.dropped = self.bytes = 0
        self.stopped = False
        """Whether writing has failed; then everything is dropped."""
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def offer(self, text: bytes) -> None:
        """Hand over one line to be written soon, or count it as dropped."""
        with self._wake:
            too_long = len(text) > min(MAX_LINE, self._segment)
            if self.stopped or self._closing or too_long or self._waiting_bytes + len(text) > MAX_WAITING:
                self.dropped += 1
                return
            self._waiting.append(text)
            self._waiting_bytes += len(text)
            self._wake.notify()

    def drop(self) -> None:
        """Count a line that was never made."""
        with self._wake:
            self.dropped += 1

    def close(self, timeout: float) -> None:
        """Write what waits, and end; wait for it at most so many seconds."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        file: BinaryIO | None = None
        while lines := self._next():
            try:
                file = self._write(file, lines)
            except OSError as fault:
                with self._wake:
                    self.stopped = True
                    self.dropped += len(self._waiting)
                    self._waiting.clear()
                    self._waiting_bytes = 0
                log.warning(
                    "the prediction log has stopped: %s: %s; serving goes on without it", self._directory, fault
                )
                return

    def _next(self) -> list[bytes]:
        """All waiting lines, when there are any; nothing when the log is closed and written."""
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._closing)
            lines = list(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
            return lines

    def _write(self, file: BinaryIO | None, lines: list[bytes]) -> BinaryIO:
        """Write lines, in as few calls as the size of a file allows."""
        done = 0
        try:
            while done < len(lines):
                if file is None or file.tell() + len(lines[done]) > self._segment:
                    if file is not None:
                        file.close()
                    file = self._open()
                room, end = self._segment - file.tell(), done
                while end < len(lines) and len(lines[end]) <= room:
                    room -= len(lines[end])
                    end += 1
                _append(file, b"".join(lines[done:end]))
                self.bytes += sum(map(len, lines[done:end]))
                self.written += end - done
                done = end
        except OSError:
            self.dropped += len(lines) - done
            raise
        assert file is not None, "there was a line, so a file was opened"
        return file

    def _open(self) -> BinaryIO:
        """The next file; the oldest go, so that with this one full all is within the bound."""
        self._directory.mkdir(parents=True, exist_ok=True)
        mine = [file for file in found(self._directory) if self._owns(file[0])]
        files = sorted((_modified(path), path) for *_, path in mine)
        total = self._segment + sum(_length(path) for _, path in files)
        for _, path in files:
            if total <= self._size:
                break
            total -= _length(path)
            path.unlink(missing_ok=True)
        number = max([self._number, *(number for worker, number, _ in mine if worker == self._worker)]) + 1
        while True:
            self._number = number
            with suppress(FileExistsError):  # another server writes into this directory
                path = self._directory / f"predictions-{self._worker}-{number:06d}.jsonl"
                # Features may be anybody's data: only the server's own user reads them.
                return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)
            number += 1

    def _owns(self, worker: int) -> bool:
        return worker == self._worker or (self._worker == 0 and worker >= self._workers)


def found(directory: Path) -> list[tuple[int, int, Path]]:
    """Every file of a log as (worker, number, path)."""
    files = []
    for path in directory.glob("predictions-*.jsonl"):
        match = re.fullmatch(r"predictions-(\d+)-(\d+)\.jsonl", path.name)
        if match is not None:
            files.append((int(match[1]), int(match[2]), path))
    return files


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _modified(path: Path) -> tuple[int, str]:
    """When a file was last written; its name decides between two of one moment."""
    try:
        return path.stat().st_mtime_ns, path.name
    except FileNotFoundError:
        return 0, path.name


def _append(file: Any, data: bytes) -> None:
    """Write all or nothing: on a full disk, the part of a line that still fitted is taken back."""
    start, left = file.tell(), memoryview(data)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError:
        with suppress(OSError):
            file.truncate(start)
        raise
