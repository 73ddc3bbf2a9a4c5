"""Who holds an endpoint's lease, as engines tell it: names of controllers, whether one is dead, and the refusals.

The lease itself is a file on the engine's side (`mlship.guardian.lease`).
"""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlship.engines import state
from mlship.errors import EngineError, LeaseLost
from mlship.guardian import lease
from mlship.guardian.lease import Refused
from mlship.types import Lease

_BOOT, _PIDS = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
#: In place of the time at which a process started, where that is not told.
_RUNS = "runs"


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
    return _started(int(pid)) not in (started, _RUNS)


def take(attempt: Callable[[str], Mapping[str, Any] | None], model: str, owner: str) -> Lease | None:
    """Hold the lease, from a holder who is dead if need be; the lease as it was found.

    Parameters
    ----------
    attempt
        `mlship.guardian.lease.hold` for this owner; its argument is a holder who is dead.

    Raises ``LeaseLost`` when another holds it.
    """
    try:
        return to_lease(attempt(""))
    except Refused as refused:
        holder = refused.found["owner"] if refused.found else ""
        if not is_dead(holder):
            raise lost(refused.found, model, owner) from None
    try:
        return to_lease(attempt(holder))
    except Refused as refused:  # another was faster
        raise lost(refused.found, model, owner) from None


def to_lease(found: Mapping[str, Any] | None) -> Lease | None:
    """The value of a document of `mlship.guardian.lease.look`."""
    return None if found is None else Lease(found["owner"], found["seconds"], found["silent"], found["expired_at"])


class LeaseFile:
    """The lease of an engine on this machine.

    Parameters
    ----------
    directory
        Of the lease.
    routes
        Of the route file.
    """

    def __init__(self, directory: Path, routes: Path, model: str) -> None:
        self._directory = directory
        self._routes = routes
        self._model = model

    def hold(self, owner: str, seconds: float) -> Lease | None:
        """See ``Engine.hold``."""
        with self._changing():
            return take(lambda gone: lease.hold(str(self._directory), owner, seconds, gone), self._model, owner)

    def release(self, owner: str) -> None:
        """See ``Engine.release``."""
        with self._changing():
            lease.release(str(self._directory), owner)

    def look(self) -> Lease | None:
        """See ``Engine.lease``."""
        with self._told():
            return to_lease(lease.look(str(self._directory)))

    def fenced(self, owner: str, act: Callable[[], None]) -> None:
        """Write the routes if this owner may; callers hold the lock `routes`. Raises ``LeaseLost``."""
        try:
            lease.fenced(str(self._directory), str(self._routes), owner, act)
        except Refused as refused:
            raise lost(refused.found, self._model, owner) from None

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock that the guardian takes, too."""
        with self._told(), state.locked(self._directory, "routes"):
            yield

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raise ``EngineError`` where the file can be neither read nor written."""
        try:
            yield
        except OSError as error:
            what = f"the lease cannot be kept: {error.strerror}"
            raise EngineError(what, where=str(self._directory), hint="free space or permissions") from error


def lost(found: Mapping[str, Any] | None, model: str, owner: str) -> LeaseLost:
    """Why an owner may not move the traffic."""
    now = to_lease(found)
    hint = f"`mlship status {model}` shows who moves its traffic; run this again when nobody does"
    if now is None or not now.owner:
        return LeaseLost("nobody holds the endpoint's lease: it was given up", where=model, hint=hint)
    if now.owner == owner:
        what = f"the endpoint's lease has run out: nothing was heard of its holder for {now.silent:.1f} s"
        return LeaseLost(what, where=model, hint=hint)
    name = now.owner.rpartition("#")[0]
    return LeaseLost(
        f"{name} moves this endpoint's traffic (last heard of {now.silent:.1f} s ago, the lease is {now.seconds:g} s)",
        where=model,
        hint=hint,
    )


def _started(pid: int) -> str:
    """When a process started, in ticks since the machine did; empty when there is none, or it is a zombie.

    Where /proc does not show it (there is none, or it hides what others run) it is only told whether there is one.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        pass
    else:
        return "" if state in ("Z", "X") else fields[18]
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return ""
    except PermissionError:
        pass
    return _RUNS


def _place() -> str:
    """Which table of processes a number stands on: this start of the machine, and this namespace."""
    try:
        told = f"{_BOOT.read_text().strip()} {_PIDS.readlink()}"
    except OSError:
        told = f"{uuid.getnode():x}"
    return hashlib.sha256(told.encode()).hexdigest()[:8]
