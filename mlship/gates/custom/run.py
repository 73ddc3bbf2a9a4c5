"""A program run beside the policy with a time limit: what it printed, how it ended, and nothing left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Bytes of output that are read; an answer that is longer is none.
MOST_OUTPUT = 1_000_000
_LAST_WORDS = 300
_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that has ended, or was stopped."""

    code: int | None
    """Its exit code, negative for a signal; None when it was stopped for taking too long."""
    output: str
    """What it wrote on stdout."""
    too_long: bool
    """Whether stdout held more than `MOST_OUTPUT` bytes."""
    last_words: str
    """The end of what it wrote on stderr, in one line; empty when it wrote nothing."""

    @property
    def fault(self) -> str:
        """How it ended badly, in a phrase; empty when it ended well."""
        if self.code == 0:
            return ""
        if self.code is None:
            how = "did not finish in time and was stopped"
        elif self.code < 0:
            how = f"was killed by {signal.Signals(-self.code).name}"
        else:
            how = f"ended with exit code {self.code}"
        return (
            f"{how}; {f'the last it wrote was: {self.last_words}' if self.last_words else 'it wrote nothing on stderr'}"
        )


def run(
    command: list[str], *, cwd: Path, stdin: Path, scratch: Path, environment: dict[str, str], timeout: float
) -> Ended:
    """Run a program in a process group of its own, with a file as its stdin; its output is kept below `scratch`.

    Whatever it has started and left behind in its group is killed with it, also on Ctrl-C. Raises ``OSError`` when it
    cannot be started.
    """
    out, err = scratch / "stdout", scratch / "stderr"
    with stdin.open("rb") as given, out.open("wb") as output, err.open("wb") as errors:
        process = subprocess.Popen(
            command, cwd=cwd, stdin=given, stdout=output, stderr=errors, env=environment, start_new_session=True
        )
        try:
            in_time = _wait(process.pid, timeout)
        finally:
            # Not yet reaped, so that its number, which is its group's, cannot be anybody else's.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
    size = out.stat().st_size
    with out.open("rb") as file:
        text = file.read(MOST_OUTPUT).decode("utf-8", "replace")
    return Ended(code if in_time else None, text, size > MOST_OUTPUT, _end(err))


def _wait(pid: int, timeout: float) -> bool:
    """Wait until the process has ended, without reaping it; False when time is up."""
    ends = time.monotonic() + timeout
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > ends:
            return False
        time.sleep(_PAUSE)
    return True


def _end(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        text = " ".join(file.read().decode("utf-8", "replace").split())
    return text if len(text) <= _LAST_WORDS else f"...{text[-_LAST_WORDS:]}"
