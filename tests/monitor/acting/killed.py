"""Passes that are killed by `kill -9` at one chosen point: run as a program, which forks one process a pass.

Usage: python -m tests.monitor.acting.killed HOME POLICY POINT NOW; a POINT of 0 kills nothing. Prints how many points
the pass came by. In `sitecustomize.py` of a directory of its own, `SENDER` does the same to the program that sends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: What the program that sends does, before and after each of which it is killed: at the point that SENDER_FUSE says,
#: once, by the first that comes there.
SENDER = """
import sys
if "mlship.monitor.acting" in sys.orig_argv:
    import http.client, os, signal, socket
    from pathlib import Path
    mark, point, count = Path(os.environ["SENDER_MARK"]), int(os.environ["SENDER_FUSE"]), 0
    def touch():
        global count
        count += 1
        if count == point and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    def guard(of, name):
        call = getattr(of, name)
        def touched(*args, **kwargs):
            touch()
            result = call(*args, **kwargs)
            touch()
            return result
        setattr(of, name, touched)
    for of, name in ((os, "pwrite"), (os, "fsync"), (socket.socket, "connect"), (socket.socket, "sendall"),
                     (http.client.HTTPConnection, "getresponse"), (os, "_exit")):
        guard(of, name)
"""


def fuse(point: int) -> Callable[[], int]:
    """From now on this process dies at that point; how many it came by until now."""
    count = 0

    def touch() -> None:
        nonlocal count
        count += 1
        if count == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def guard(of: Any, name: str) -> None:
        call = getattr(of, name)

        def touched(*args: Any, **kwargs: Any) -> Any:
            touch()
            result = call(*args, **kwargs)
            touch()
            return result

        setattr(of, name, touched)

    from mlship.monitor import store
    from mlship.monitor.acting import claims

    for of, name in (
        (os, "pwrite"),
        (os, "fsync"),
        (os, "close"),
        (Path, "replace"),
        (Path, "unlink"),
        (subprocess, "Popen"),
        (store.Store, "commit"),
        (store.Store, "_apply"),
        (claims, "claim"),
    ):
        guard(of, name)
    return lambda: count


def main(home: str, path: str, point: int, now: float) -> None:
    """One pass with one incident that has opened; then the process ends, or it is killed."""
    from mlship.home import Home
    from mlship.policy.load import load_policy
    from tests.monitor.acting import passes
    from tests.monitor.made import event, incident

    loaded = load_policy(Path(path))
    seen = fuse(point)
    troubles = passes.run(Home(Path(home)), loaded, [event(incident())], now)
    sys.stdout.write(f"{seen()} {len(troubles)}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
