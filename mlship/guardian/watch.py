"""What the guardian does at each look: nothing while there are signs of life, and the way back when there are none."""

from __future__ import annotations

import logging
import time

from mlship.guardian import lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mlship.guardian.lease import Document

#: Seconds between two looks; and until the lock of one who stands still is waited for no longer.
LOOK_SECONDS, PATIENCE = 0.25, 0.5

log = logging.getLogger("mlship.guardian")


def decide(found: Document | None, now: float, boot: str, since: float, *, away: bool) -> str:
    """What is to be done: `back` (replace the routes), `note` (that the lease has run out), or nothing.

    Parameters
    ----------
    since
        When the lease's file was first seen as it is: what counts where its own time is of another clock, as after the
        machine has started again.
    away
        Whether the routes are anything but the way back.
    """
    if found is None:
        return ""
    same = bool(boot) and found["boot"] == boot and found["beat"] <= now
    if found["expired_at"] is None and now - (found["beat"] if same else since) <= found["seconds"]:
        return ""
    if away:
        return "back"
    return "note" if found["owner"] and found["expired_at"] is None else ""


class Watch:
    """Looks at one endpoint's lease.

    Parameters
    ----------
    folder
        Of the lease.
    routes
        Of the route file.
    """

    def __init__(self, folder: str, routes: str) -> None:
        self._folder = folder
        self._routes = routes
        self._text: str | None = None
        self._since = 0.0
        self._boot = lease.boot()

    def look(self) -> str:
        """Look, and do what is to be done; what it was. Raises ``OSError``, or ``ValueError`` for broken routes."""
        if not self._wanted():
            return ""
        with lease.locked(self._folder, PATIENCE) as got:
            if not got:
                log.warning("whoever holds the lock stands still; it is not waited for")
            act = self._wanted()  # a sign of life may have come while the lock was waited for
            if act == "back" and lease.go_back(self._routes):
                log.warning("nobody watches: all traffic goes back to stable")
            if act:
                self._note()
            return act

    def _wanted(self) -> str:
        text, now = lease.text(self._folder), lease.clock()
        if text != self._text:
            self._text, self._since = text, now
        found = lease.parse(text)
        if not decide(found, now, self._boot, self._since, away=True):  # the routes are read only when they matter
            return ""
        return decide(found, now, self._boot, self._since, away=lease.way_back(self._routes) is not None)

    def _note(self) -> None:
        found = lease.parse(self._text)
        if found is not None and found["expired_at"] is None:
            lease.save(self._folder, {**found, "expired_at": time.time()})
