"""How much memory a process and everything that it started hold, by what Linux tells; nothing elsewhere."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def held(pid: int) -> int:
    """Bytes that this process alone holds: its own pages and shared memory, not the files that it has mapped."""
    return _fields(pid, "status", ("RssAnon", "RssShmem"))


def held_by_all(pids: list[int]) -> int:
    """Bytes that these processes hold together; pages that they share since a fork count once."""
    return sum(_fields(pid, "smaps_rollup", ("Pss_Anon", "Pss_Shmem")) or held(pid) for pid in pids)


def family(pid: int) -> list[int]:
    """The process and everything that descends from it, or is of its session."""
    if sys.platform != "linux":
        return [pid]
    parents: dict[int, tuple[int, int]] = {}
    for entry in os.listdir(_PROC):  # noqa: PTH208 - names are all that is needed, some hundred times a minute
        if entry.isdigit():
            with suppress(OSError, ValueError, IndexError):
                told = (_PROC / entry / "stat").read_text().rpartition(")")[2].split()
                if told[0] != "Z":
                    parents[int(entry)] = (int(told[1]), int(told[3]))
    found = {pid} | {one for one, (_parent, session) in parents.items() if session == pid}
    while more := {one for one, (parent, _) in parents.items() if parent in found and one not in found}:
        found |= more
    return sorted(found)


def marked(mark: str) -> list[int]:
    """Processes that carry `NAME=value` in the environment that they were started with."""
    found = []
    if sys.platform == "linux":
        for entry in os.listdir(_PROC):  # noqa: PTH208 - names are all that is needed
            if entry.isdigit() and int(entry) != os.getpid():
                with suppress(OSError):
                    if mark.encode() in (_PROC / entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry))
    return found


def _fields(pid: int, file: str, names: tuple[str, ...]) -> int:
    total = 0
    with suppress(OSError, ValueError, IndexError):
        for line in (_PROC / str(pid) / file).read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in names:
                total += int(rest.split()[0]) * 1024
    return total
