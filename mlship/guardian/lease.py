"""The lease of an endpoint, as a file beside its routes: who may move its traffic, and since when nobody spoke up.

Runs in the router's container too, on any Python 3.8, and a rollback waits for its imports: `os` and no `pathlib`. Time
is the monotonic clock of the machine that the router runs on, which all its processes share: no step of a wall clock
moves it, it stands still while the machine sleeps (and serves nobody), and two machines are never compared.
"""

from __future__ import annotations

import json
import math
import os
import time
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Document = dict[str, Any]

#: The lease, in a folder of its own or the engine's; and the lock under which it and the routes are changed.
LEASE, LOCK = "lease.json", "routes.lock"
#: Held by the guardian as long as it lives.
ALIVE = "guardian.lock"
#: The route file, and the way back that belongs to it by its version.
ROUTES, BACK = "routes.json", "back-{}.json"
#: Seconds that a lease lasts whose file cannot be read.
UNREADABLE = 60.0
_BOOT = "/proc/sys/kernel/random/boot_id"


class Refused(Exception):
    """Somebody else holds the lease, or nobody does; `found` is its view."""

    def __init__(self, found: Document | None) -> None:
        super().__init__("the lease is not held")
        self.found = found


# Decisions: values in, values out


def silence(document: Document, now: float, boot: str) -> float:
    """Seconds since the holder's last sign of life; since the machine started, when that was before."""
    same = bool(boot) and document["boot"] == boot and document["beat"] <= now
    return float(now - document["beat"] if same else now)


def over(document: Document, now: float, boot: str) -> bool:
    """Whether it has run out."""
    return document["expired_at"] is not None or silence(document, now, boot) > document["seconds"]


def taken(
    found: Document | None, owner: str, seconds: float, *, gone: str = "", call: str = "", now: float, boot: str
) -> Document:
    """The lease once this owner has it.

    That it ran out before (`told`) is told until a holder has lived to renew it: one who dies in between, or asks again
    because no answer came, has not taken notice.

    Parameters
    ----------
    gone
        A holder who is known to be dead: whoever saw that may take over at once.
    call
        The same for two attempts of one call.

    Raises ``Refused`` when another holds it.
    """
    told = None
    if found is not None:
        if found["owner"] not in ("", owner, gone) and not over(found, now, boot):
            raise Refused(view(found, now, boot))
        told = found["expired_at"] if found["expired_at"] is not None else found["told"]
        if found["owner"] == owner and found["expired_at"] is None and not (call and found["call"] == call):
            told = None
    taken = {"owner": owner, "seconds": seconds, "beat": now, "boot": boot}
    return {**taken, "expired_at": None, "told": told, "call": call}


# The files; callers hold the lock where something is changed


def clock() -> float:
    """Seconds of the machine's monotonic clock."""
    return time.monotonic()


def boot() -> str:
    """Which start of the machine this is; empty where it does not tell."""
    try:
        with open(_BOOT) as file:
            return file.read().strip()
    except OSError:
        return ""


@contextmanager
def locked(folder: str, patience: float = math.inf) -> Iterator[bool]:
    """Hold the lock of lease and routes, if need be after waiting; whether it was got within `patience` seconds."""
    import fcntl

    descriptor = os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if patience == math.inf:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield True
            return
        deadline = clock() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if clock() >= deadline:
                    yield False
                    return
                time.sleep(0.01)
            else:
                yield True
                return
    finally:
        os.close(descriptor)


@contextmanager
def alive(folder: str) -> Iterator[None]:
    """Be the guardian, as soon as no other is; for as long as the process lives, if need be."""
    import fcntl

    descriptor = os.open(os.path.join(folder, ALIVE), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def guarded(folder: str) -> bool:
    """Whether a guardian lives."""
    import fcntl

    try:
        descriptor = os.open(os.path.join(folder, ALIVE), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def text(folder: str) -> str | None:
    """The lease's file as it is; None when there is none."""
    try:
        with open(os.path.join(folder, LEASE), errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return None


def parse(content: str | None) -> Document | None:
    """What the file says; one that cannot be read says that somebody was there, and nobody knows who or when."""
    return None if content is None else understood(content) or unknown(UNREADABLE)


def understood(content: str) -> Document | None:
    """What the file says; None when it is damaged, in whatever way."""
    try:
        read = json.loads(content)
        seconds, beat = float(read["seconds"]), float(read["beat"])
        expired_at, told = (None if read[key] is None else float(read[key]) for key in ("expired_at", "told"))
        if all(map(math.isfinite, (seconds, beat, expired_at or 0.0, told or 0.0))):
            words = {key: str(read[key]) for key in ("owner", "boot", "call")}
            return {**words, "seconds": seconds, "beat": beat, "expired_at": expired_at, "told": told}
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        pass
    return None


def unknown(seconds: float) -> Document:
    """The lease of nobody knows whom, of no clock; it lasts so many seconds from when somebody sees it."""
    return {"owner": "", "boot": "", "call": "", "expired_at": None, "told": None, "seconds": seconds, "beat": 0.0}


def view(document: Document, now: float, boot: str) -> Document:
    """What is told of it: `owner`, `seconds`, `expired_at`, and `silent`, seconds since the last sign of life."""
    told = {key: document[key] for key in ("owner", "seconds", "expired_at")}
    return {**told, "silent": silence(document, now, boot)}


def look(folder: str) -> Document | None:
    """The view of the lease; None when there is none."""
    found = parse(text(folder))
    return None if found is None else view(found, clock(), boot())


def hold(folder: str, owner: str, seconds: float, gone: str = "", call: str = "") -> Document | None:
    """Take the lease, or renew it; the view of the lease as it was found. Raises ``Refused``."""
    found, now, here = parse(text(folder)), clock(), boot()
    mine = taken(found, owner, seconds, gone=gone, call=call, now=now, boot=here)
    save(folder, mine)
    return None if found is None else {**view(found, now, here), "expired_at": mine["told"]}


def release(folder: str, owner: str) -> None:
    """Give it up; its clock goes on. Nothing happens when somebody else has it."""
    found = parse(text(folder))
    if found is not None and found["owner"] == owner:
        save(folder, {**found, "owner": ""})


def held(folder: str, owner: str) -> None:
    """Raise ``Refused`` unless this owner holds the lease."""
    found = parse(text(folder))
    if found is None or found["owner"] != owner or over(found, clock(), boot()):
        raise Refused(look(folder))


def fenced(folder: str, routes: str, owner: str, act: Callable[[], None]) -> None:
    """Write the route file if this owner may; anybody may who names no owner.

    It is looked at again afterwards: where this process stood still in between (SIGSTOP), the guardian has not waited
    for its lock, and what was written late is taken back.

    Parameters
    ----------
    routes
        The folder of the route file.
    """
    if owner:
        held(folder, owner)
    act()
    if owner:
        try:
            held(folder, owner)
        except Refused:
            go_back(routes)
            raise


def save(folder: str, document: Document) -> None:
    """Replace the lease's file by a rename."""
    _replace(os.path.join(folder, LEASE), json.dumps(document))


def way_back(routes: str) -> str | None:
    """Path of the way back that was prepared for the route file; None where there is none, or the file is it already.

    Raises ``ValueError`` or ``KeyError`` when the route file is none.
    """
    try:
        with open(os.path.join(routes, ROUTES)) as file:
            version = json.load(file)["version_info"]
        path = os.path.join(routes, BACK.format(version))
        with open(path) as file:
            return None if json.load(file)["version_info"] == version else path
    except FileNotFoundError:
        return None


def go_back(routes: str) -> bool:
    """Replace the route file by its way back; whether there was anything to do."""
    path = way_back(routes)
    if path is None:
        return False
    with open(path) as file:
        replace_routes(routes, file.read(), os.path.basename(path))
    return True


def replace_routes(routes: str, text: str, back: str = "") -> None:
    """Put another text in the route file's place, whatever is there.

    Parameters
    ----------
    back
        A file beside it with the same text, if there is one: where it cannot be copied, it is linked. That needs no
        room on a disk that is full.
    """
    target = os.path.join(routes, ROUTES)
    try:
        _replace(target, text)
    except OSError:
        if not back:
            raise
        temporary = f"{target}.back"
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        os.link(os.path.join(routes, back), temporary)
        os.replace(temporary, target)


def prune(routes: str) -> None:
    """Remove every way back but the one of the route file as it is."""
    with open(os.path.join(routes, ROUTES)) as file:
        keep = BACK.format(json.load(file)["version_info"])
    first, last = BACK.split("{}")
    for name in os.listdir(routes):
        if name.startswith(first) and name.endswith(last) and name != keep:
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(routes, name))


def _replace(path: str, content: str) -> None:
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
        if os.path.isdir(path):
            os.rename(path, f"{path}.damaged.{time.time():.0f}")
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise
