"""Looks at this machine's processes: who listens on a port, and which processes carry an engine's mark."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

#: Environment variable that the process manager and everything it starts carry: the engine's directory.
MARK = "MLSHIP_ENGINE"
_PROC = Path("/proc")
_LISTENING = "0A"


def marked(directory: Path) -> list[int]:
    """Process ids of everything that this user started for the engine in a directory.

    Empty where there is no /proc: there the process manager is the only one who knows.
    """
    mark = f"{MARK}={directory}".encode()
    found = []
    for entry in _PROC.glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile, or somebody else's
            if mark in (entry / "environ").read_bytes().split(b"\0") and not _dead(entry):
                found.append(int(entry.name))
    return sorted(found)


def _dead(entry: Path) -> bool:
    """Whether a process is a zombie: dead, and only waiting for its parent to notice."""
    return (entry / "stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")


def end(pids: list[int], directory: Path, grace: float) -> list[int]:
    """End an engine's processes: ask, wait `grace` seconds, then insist. Return those that are left."""
    left = set(pids)
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        deadline = time.monotonic() + patience
        while (left := left & set(marked(directory))) and time.monotonic() < deadline:
            time.sleep(0.02)
        if not left:
            break
    return sorted(left)


def kill_group(pid: int) -> None:
    """End a process and its workers at once; gone already is no error."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def hang_group(pid: int, directory: Path, seconds: float) -> None:
    """Stop a process and its workers for some seconds; gone already is no error.

    A process of its own lets them go on, and is there before they stop: nobody has to come back for it. It carries the
    engine's mark, so that it ends with the engine.
    """
    subprocess.run(
        ["/bin/sh", "-c", f"(sleep {seconds:.3f}; kill -CONT -{pid}) &"],
        env={**os.environ, MARK: str(directory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C at the terminal is for the command alone
        check=True,
    )
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGSTOP)


def listener(port: int) -> str:
    """The process that listens on a TCP port, as `name (pid 123)`; empty when it cannot be found."""
    sockets = _listening(port)
    for entry in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            if any(_target(link) in sockets for link in (entry / "fd").iterdir()):
                return f"{(entry / 'comm').read_text().strip()} (pid {entry.name})"
    return ""


def _listening(port: int) -> set[str]:
    sockets = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    return sockets


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
