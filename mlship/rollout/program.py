"""Runs a program that is asked to agree: in a session of its own, for a limited time, its last lines kept.

What it started is known by its process group, and on Linux by a mark in its environment: a daemon leaves the group.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlship.scoring import memory

#: Name of the mark in the environment of a program.
MARK = "MLSHIP_HOOK"
#: Bytes of output that are kept, the last ones.
_KEPT = 8192
#: Lines of them that are quoted.
_LINES = 3
#: Seconds between two looks at a program that says nothing.
_LOOK = 0.05
#: Seconds for output that is still under way when the program has ended.
_REST = 0.2
#: How often marked processes are looked for: those that are killed stay for a moment, and their last children longer.
_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    agreed: bool
    how: str
    """`ended with exit code 3`, `gave no answer within 30 s`."""
    lines: tuple[str, ...] = ()
    """The last of what it wrote."""


class Running:
    """The programs that run for one owner."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._marks: dict[int, str] = {}
        """Of each program, by its number."""
        self._closed = False

    def run(self, arguments: Sequence[str], *, directory: Path, environ: Mapping[str, str], timeout: float) -> Ended:
        """Run a program to its end, or for so many seconds; exit code 0 agrees.

        Nothing that it started outlives it, unless that has left both its group and its environment behind.
        """
        try:
            process = self._start(arguments, directory, environ)
        except (OSError, ValueError) as error:
            return Ended(False, f"could not be started: {getattr(error, 'strerror', None) or type(error).__name__}")
        if process is None:
            return Ended(False, "was not asked: the command ends")
        try:
            output, in_time = _follow(process, timeout)
        finally:
            with self._lock:  # killed before it is waited for: until then its number is nobody else's
                self._kill(process)
                self._processes.discard(process)
                self._marks.pop(process.pid, None)
            with contextlib.suppress(subprocess.TimeoutExpired):  # the kernel holds it; it is dead to us
                process.wait(1.0)
        lines = tuple(line for line in output.decode(errors="replace").splitlines() if line.strip())[-_LINES:]
        if not in_time:
            return Ended(False, f"gave no answer within {timeout:g} s", lines)
        code = process.returncode
        return Ended(code == 0, f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}", lines)

    def close(self) -> None:
        """Kill them all, and start no more."""
        with self._lock:
            self._closed = True
            for process in self._processes:
                self._kill(process)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a program with all that it started; of one that has ended, what it left behind."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # there is nothing left
            os.killpg(process.pid, signal.SIGKILL)
        for _ in range(_ROUNDS):  # what starts others while it is looked for
            if not (left := memory.marked(self._marks[process.pid])):
                return
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def _start(
        self, arguments: Sequence[str], directory: Path, environ: Mapping[str, str]
    ) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._closed:
                return None
            mark = secrets.token_hex(8)
            process = subprocess.Popen(
                arguments,
                cwd=directory,
                env={**environ, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._processes.add(process)
            self._marks[process.pid] = f"{MARK}={mark}"
            return process


def _follow(process: subprocess.Popen[bytes], timeout: float) -> tuple[bytes, bool]:
    """The last of a program's output, and whether it ended in time.

    The end of the program counts, not that of its output, which something that it left behind may hold open.
    """
    assert process.stdout is not None  # a pipe was asked for
    deadline, output, ended = time.monotonic() + timeout, b"", 0.0
    with process.stdout as pipe, selectors.DefaultSelector() as selector:
        os.set_blocking(pipe.fileno(), False)
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            if not ended and _over(process):
                ended = now
            if ended and now >= ended + _REST:
                return output, True
            if not ended and now >= deadline:
                return output, False
            if not selector.get_map():  # its output is closed, and it goes on
                time.sleep(min(_LOOK, max(0.0, deadline - now)))
            elif selector.select(min(_LOOK, max(0.0, deadline - now) if not ended else _LOOK)):
                if chunk := os.read(pipe.fileno(), 65536):
                    output = (output + chunk)[-_KEPT:]
                elif ended:
                    return output, True
                else:
                    selector.unregister(pipe)


def _over(process: subprocess.Popen[bytes]) -> bool:
    """Has it ended? Where the system can say so without letting go of its number, it does."""
    if not hasattr(os, "waitid"):
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
