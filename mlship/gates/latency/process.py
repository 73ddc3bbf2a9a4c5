"""The server as the local engine runs it: `python -m mlship.serving` as a process, with its memory read from /proc."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mlship.engines.options import ServerOptions
from mlship.engines.start import serving
from mlship.engines.state import free_ports
from mlship.engines.supervisor import ENVIRONMENT
from mlship.errors import EngineError
from mlship.gates.latency.target import Gauge, Memory, Ready, last_lines, wait_ready
from mlship.types import ModelVersion, Release

_PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1
#: Between SIGTERM and SIGKILL: nobody waits for its answers any more.
_GRACE = 5.0
WHAT = "proportional set size (PSS) of its processes, looked at once a second"


class Process:
    """A server process of one version; see ``Target``."""

    kind = "process"

    def __init__(self, version: ModelVersion, servers: ServerOptions) -> None:
        self._version = version
        self._servers = servers
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._gauge: Gauge | None = None

    def start(self, patience: float) -> Ready:
        """See ``Target.start``."""
        version = self._version
        self._directory = Path(tempfile.mkdtemp(prefix="mlship-latency-"))
        (port,) = free_ports(1)
        address = f"127.0.0.1:{port}"
        release = Release(version.model, version.version, version.digest, version.path)
        started = time.monotonic()
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    serving(self._servers)(release, address),
                    cwd=self._directory,
                    env={**os.environ, **ENVIRONMENT},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # a Ctrl-C at the terminal is for the command alone
                    preexec_fn=_dies_with_us(),  # noqa: PLW1509 - it only makes one system call
                )
        except OSError as error:
            raise EngineError(f"the server cannot be started: {error.strerror or error}") from error
        ready = wait_ready(address, started, patience, self.ended, f"{version.model} version {version.version}")
        self._gauge = Gauge(self._weigh)
        return ready

    def memory(self) -> Memory | None:
        """See ``Target.memory``."""
        peak = self._gauge.peak() if self._gauge else None
        return None if peak is None else Memory(peak, WHAT)

    def ended(self) -> str:
        """See ``Target.ended``."""
        code = self._process.poll() if self._process else None
        if code is None:
            return ""
        how = f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it ended with exit code {code}"
        said = last_lines(self._log.read_text(errors="replace")) if self._log.exists() else ""
        return f"{how}: {said}" if said else how

    def close(self) -> None:
        """See ``Target.close``."""
        if self._gauge is not None:
            self._gauge.close()
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def _log(self) -> Path:
        assert self._directory is not None, "start has made it"
        return self._directory / "server.log"

    def _weigh(self) -> int | None:
        if self._process is None:
            return None
        sizes = [_pss(pid) for pid in family(self._process.pid)]
        known = [size for size in sizes if size is not None]
        return sum(known) if known else None


def family(pid: int) -> list[int]:
    """A process and everything that descends from it; the process alone where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):  # gone meanwhile
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, new = [pid], [pid]
    while new:
        new = [child for parent in new for child in children.get(parent, [])]
        found += new
    return found


def _pss(pid: int) -> int | None:
    """Bytes of a process, pages that several share counted in parts; None where the kernel does not tell."""
    with suppress(OSError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask, then insist; its workers go with it, for they are of its session."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
            break
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _dies_with_us() -> Callable[[], object] | None:
    """What the new process does before it becomes the server: ask the kernel to end it when mlship is killed (Linux).

    The library is loaded here, before the fork, so that afterwards nothing is left but the call.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    terminate = int(signal.SIGTERM)

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, terminate)

    return ask
