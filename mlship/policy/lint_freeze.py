"""Lint of freeze windows: zones that there are, and a week in which something may move. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from mlship.policy.explain import suggestion
from mlship.policy.faults import Fault, plain
from mlship.policy.freeze import always, window, zone_of
from mlship.policy.subject import Subject
from mlship.policy.tree import Location

_HERE: Location = ("rollout", "freeze")
#: A week in winter and one in summer, in either half of the world (Mondays in January and July 2026, 00:00 UTC).
_WEEKS = (1_767_571_200.0, 1_783_296_000.0)


def lint_freeze(subject: Subject) -> Iterable[Fault]:
    """Faults of every window that names no time zone, and of windows that leave no time for a rollout."""
    windows = subject.policy.rollout.freeze if subject.policy.rollout else ()
    if subject.has_broken(_HERE):
        return
    known = True
    for index, text in enumerate(windows):
        if why := _unknown(window(text).zone):
            known = False
            shown = subject.shown((*_HERE, index)) != plain(text)  # a value from the environment is not shown
            yield subject.error(
                (*_HERE, index),
                "there is no such time zone" if shown else why,
                near_zone(window(text).zone, hidden=shown),
            )
    if not known:
        return
    endless = [index for index, text in enumerate(windows) if any(always([text], week) for week in _WEEKS)]
    for index in endless:
        yield subject.error((*_HERE, index), "this window holds all week: no weight could ever rise", "shorten it")
    if not endless and windows and any(always(windows, week) for week in _WEEKS):
        what = "together these windows hold all week: no weight could ever rise"
        yield subject.error(_HERE, what, "leave some time between them", at_key=True)


def _unknown(zone: str) -> str:
    try:
        zone_of(zone)
    except ValueError as error:
        return str(error)
    return ""


def near_zone(zone: str, *, hidden: bool) -> str:
    """What was probably meant; or how to come by time zones where there are none.

    Parameters
    ----------
    hidden
        The name came from the environment, and what is like it is not shown either.
    """
    from zoneinfo import available_timezones

    names = {name.lower(): name for name in available_timezones()}
    if not names:
        return "pip install tzdata"
    zone = zone.lower()
    cities = {name.rpartition("/")[2]: name for name in names}
    near = names.get(zone) or names.get(cities.get(zone, "")) or _best(zone, names)
    return f"did you mean '{near}'?" if near and not hidden else "such as Europe/Berlin or UTC"


def _best(zone: str, names: dict[str, str]) -> str:
    near = suggestion(zone, sorted(names))
    return names[near.split("'")[1]] if near else ""
