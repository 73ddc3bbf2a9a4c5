"""The way back of an endpoint's routes, kept in memory: what happens to its files does not matter then."""

from __future__ import annotations

import json
import os

from mlship.guardian import lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    _Found = tuple[str, str]


class Unknown(ValueError):
    """Nobody knows the way back: its file is damaged or gone, and it was never read."""


class Spare:
    """Reads routes and way back when they change, and remembers them as they were last readable.

    Parameters
    ----------
    routes
        The folder of the route file.
    """

    def __init__(self, routes: str) -> None:
        self._routes = routes
        self._seen: tuple[int, ...] = ()
        self._of = ""
        """Version of the routes that were last readable."""
        self._back: _Found | None = None
        """Version and text of their way back; of themselves, where none was prepared: then stable is alone already."""

    def see(self) -> None:
        """Take notice of the routes, if they have changed. What cannot be read changes nothing."""
        if self._stamp() != self._seen:
            self._learn()

    def away(self) -> bool:
        """Whether the route file is anything but the way back. Raises ``Unknown``."""
        present = self._learn()
        return self._target(present)[0] != present

    def restore(self) -> None:
        """Replace the route file, whatever it is now, by the way back. Raises ``Unknown`` or ``OSError``."""
        present = self._learn()
        version, text = self._target(present)
        if version != present:
            lease.replace_routes(self._routes, text, lease.BACK.format(present) if present else "")

    def _learn(self) -> str:
        """Read both anew; the version of the route file, empty when it cannot be read."""
        stamp = self._stamp()
        present = _read(os.path.join(self._routes, lease.ROUTES))
        if present is None:
            self._seen = ()
            return ""
        path = os.path.join(self._routes, lease.BACK.format(present[0]))
        back = _read(path)
        if back is None and not os.path.lexists(path) and present[0] != self._of:
            back = present
        if stamp != self._stamp():  # replaced meanwhile: what was read may not belong together
            self._seen = ()
            return present[0]
        self._seen = stamp
        if back is not None or present[0] != self._of:
            self._of, self._back = present[0], back
        return present[0]

    def _target(self, present: str) -> _Found:
        found = self._back if present in ("", self._of) else None
        if found is None and not present:
            found = self._newest()
        if found is None:
            raise Unknown(f"the way back of the routes {present or 'that cannot be read'} is damaged or gone")
        return found

    def _newest(self) -> _Found | None:
        """The way back that was written last; what is left when the routes were damaged before anybody saw them."""
        first, last = lease.BACK.split("{}")
        there = [name for name in os.listdir(self._routes) if name.startswith(first) and name.endswith(last)]
        paths = sorted((os.path.join(self._routes, name) for name in there), key=_written, reverse=True)
        return next((found for found in map(_read, paths) if found is not None), None)

    def _stamp(self) -> tuple[int, ...]:
        try:
            found = os.stat(os.path.join(self._routes, lease.ROUTES))
        except OSError:
            return ()
        return (found.st_ino, found.st_mtime_ns, found.st_size)


def _read(path: str) -> _Found | None:
    """Version and text of a file for the router; None when it is none, or damaged."""
    try:
        with open(path, errors="strict") as file:
            text = file.read()
        version = json.loads(text)["version_info"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return (version, text) if isinstance(version, str) and version else None


def _written(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
