"""Which windows of traffic are complete, and what one pass has to look at. Pure."""

from __future__ import annotations

import math

#: Seconds after a window's end in which rows of it may still be written.
GRACE = 120.0
#: Seconds that a clock elsewhere may be ahead; rows of a later time than that are put down to a wrong clock.
AHEAD = 300.0


def floor(at: float, window: float) -> float:
    """Beginning of the window that a moment is in; windows begin at multiples of their length since 1970 (UTC)."""
    return math.floor(at / window) * window


def until(newest: float | None, now: float, window: float, since: float | None) -> float | None:
    """Up to where windows are complete: all that end there or before may be given.

    A window is complete when its end is `GRACE` ago and a later row is there, for logs are often shipped late, and in
    order; or when nobody has added a row for one more window. So the windows never run ahead of the log.

    Parameters
    ----------
    newest
        Time of the newest row; None: there is none.
    since
        Up to where they were given before.
    """
    if newest is None:
        return since
    begun = floor(newest, window)
    found = min(begun, floor(now - GRACE, window))
    if begun + 2 * window + GRACE <= now:
        found = begun + window
    return found if since is None else max(found, since)


def labelled_until(given: float | None, now: float, window: float, delay: float, since: float | None) -> float | None:
    """Up to where the labels of windows are complete: `delay` (and `GRACE`) after a window's end.

    Parameters
    ----------
    given
        What `until` has found: labels come after their window.
    since
        Up to where labels were complete before.
    """
    if given is None:
        return since
    found = min(given, floor(now - delay - GRACE, window))
    return found if since is None else max(found, since)
