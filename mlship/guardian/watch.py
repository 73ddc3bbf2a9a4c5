"""What the guardian does at each look: nothing while there are signs of life, and the way back when there are none."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, contextmanager

from mlship.guardian import lease
from mlship.guardian.spare import Spare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlship.guardian.lease import Document

#: Seconds between two looks; and until the lock of one who stands still is waited for no longer.
LOOK_SECONDS, PATIENCE = 0.25, 0.5
#: Stands for every text that is no lease.
_UNREADABLE = "unreadable"

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
        self._spare = Spare(routes)
        self._text: str | None = None
        self._since = 0.0
        self._seconds = lease.UNREADABLE
        """Of the lease as it was last readable."""
        self._boot = lease.boot()

    def look(self) -> str:
        """Look, and do what is to be done; what it was.

        Raises ``OSError`` when it cannot be done, or ``Unknown`` when nobody knows the way back: nothing is noted then.
        """
        self._spare.see()
        if not self._wanted():
            return ""
        with self._locked():
            act = self._wanted()  # a sign of life may have come while the lock was waited for
            if act == "back":
                self._spare.restore()
                log.warning("nobody watches: all traffic goes back to stable")
            if act:
                self._note()
            return act

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock, if it can be had: neither who stands still nor a damaged file is in the way."""
        with ExitStack() as stack:
            try:
                if not stack.enter_context(lease.locked(self._folder, PATIENCE)):
                    log.warning("whoever holds the lock stands still; it is not waited for")
            except OSError as error:
                log.warning("the lock cannot be used (%s); it goes without", error.strerror)
            yield

    def _found(self) -> Document | None:
        """The lease; one that cannot be read lasts as long as it last said, from when it was first seen like that."""
        try:
            text = lease.text(self._folder)
        except OSError:
            text = _UNREADABLE
        known = None if text is None else lease.understood(text)
        if text is not None and known is None:
            text = _UNREADABLE  # however often what cannot be read changes: it is one silence
        if text != self._text:
            self._text, self._since = text, lease.clock()
        if text is None:
            return None
        if known is None:
            return lease.unknown(self._seconds)
        self._seconds = known["seconds"]
        return known

    def _wanted(self) -> str:
        found, now = self._found(), lease.clock()
        if not decide(found, now, self._boot, self._since, away=True):  # the routes are read only when they matter
            return ""
        return decide(found, now, self._boot, self._since, away=self._spare.away())

    def _note(self) -> None:
        found = self._found()
        if found is not None and found["expired_at"] is None:
            lease.save(self._folder, {**found, "expired_at": time.time()})
            self._text = None  # what cannot be read from here on is another silence
