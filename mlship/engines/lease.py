"""Who holds an endpoint's lease, as engines tell it: names of controllers, whether one is dead, and the refusals.

The lease itself is a file on the engine's side (`mlship.guardian.lease`).
"""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlship.errors import LeaseLost
from mlship.types import Lease

_BOOT, _PIDS = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


def owner(who: str) -> str:
    """A name for a controller of this process, new at each call: `who#pid@host#nonce`.

    The nonce tells when the process started, and on which table of processes its number stands.
    """
    pid = os.getpid()
    return f"{who}#{pid}@{platform.node()}#{_started(pid)}.{_place()}.{secrets.token_hex(4)}"


def is_dead(name: str) -> bool:
    """Whether an owner was a process of this host (and of this namespace of processes) that has ended.

    False for what cannot be told from here: another host, another container, a name of another kind.
    """
    rest, _, nonce = name.rpartition("#")
    rest, _, host = rest.rpartition("@")
    pid = rest.rpartition("#")[2]
    started, _, place = nonce.rpartition(".")[0].partition(".")
    if not pid.isdigit() or host != platform.node() or place != _place():
        return False
    return _started(int(pid)) != started


def to_lease(found: Mapping[str, Any] | None) -> Lease | None:
    """The value of a document of `mlship.guardian.lease.look`."""
    return None if found is None else Lease(found["owner"], found["seconds"], found["silent"], found["expired_at"])


def lost(found: Mapping[str, Any] | None, model: str, owner: str) -> LeaseLost:
    """Why an owner may not move the traffic."""
    lease = to_lease(found)
    hint = f"`mlship status {model}` shows who moves its traffic; run this again when nobody does"
    if lease is None or not lease.owner:
        return LeaseLost("nobody holds the endpoint's lease: it was given up", where=model, hint=hint)
    if lease.owner == owner:
        what = f"the endpoint's lease has run out: nothing was heard of its holder for {lease.silent:.1f} s"
        return LeaseLost(what, where=model, hint=hint)
    name = lease.owner.rpartition("#")[0]
    return LeaseLost(
        f"{name} moves this endpoint's traffic (last heard of {lease.silent:.1f} s ago, "
        f"the lease is {lease.seconds:g} s)",
        where=model,
        hint=hint,
    )


def _started(pid: int) -> str:
    """When a process started, in ticks since the machine did; empty when there is none, or it is a zombie.

    Where there is no /proc it is only told whether there is such a process.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
    else:
        return "" if state in ("Z", "X") else fields[18]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "runs"


def _place() -> str:
    """Which table of processes a number stands on: this start of the machine, and this namespace."""
    try:
        told = f"{_BOOT.read_text().strip()} {_PIDS.readlink()}"
    except OSError:
        told = f"{uuid.getnode():x}"
    return hashlib.sha256(told.encode()).hexdigest()[:8]
