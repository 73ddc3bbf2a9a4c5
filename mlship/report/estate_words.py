"""The phrases that all reports of `mlship status --all` share: its summary, and the cells of a model's row. Pure."""

from __future__ import annotations

from mlship.report import figures
from mlship.report.dates import day
from mlship.types import Status
from mlship.types.estate import Estate, ModelSeen, Orphan, Overdue

#: What is overdue, in a word.
DUE = {
    "review": "review",
    "age": "too old",
    "monitor": "not watched",
    "approval": "approval",
    "paused": "paused",
    "retraining": "retraining",
}


def status(estate: Estate, *, strict: bool) -> Status:
    """Error when something could not be read; with `strict`, failed when anything asks for a person."""
    if estate.faults:
        return Status.ERROR
    return Status.FAILED if strict and estate.waits else Status.PASSED


def verdict(estate: Estate) -> Status:
    """What people see first: what is open counts more than what could not be read, and that more than a delay."""
    if estate.incidents:
        return Status.FAILED
    if estate.faults:
        return Status.ERROR
    return Status.INCONCLUSIVE if estate.waits else Status.PASSED


def summary(estate: Estate) -> str:
    """`3 models: 2 incidents open, 4 things overdue, 1 orphan`."""
    if not estate.models:
        found = f"no model has a policy, serves here or is a champion; looked for policies in {estate.searched}"
        return f"{found}; {_unread(estate)}" if estate.faults else found
    parts = []
    if count := len(estate.incidents):
        parts.append(f"{figures.things(count, 'incident')} open")
    if count := len(estate.overdue):
        parts.append(f"{figures.things(count, 'thing')} overdue")
    if count := len(estate.orphans):
        parts.append(figures.things(count, "orphan"))
    if count := len(estate.broken):
        parts.append(f"{figures.things(count, 'policy', 'policies')} broken")
    parts += [_unread(estate)] if estate.faults else []
    return f"{figures.things(len(estate.models), 'model')}: {', '.join(parts) or 'nothing is open or overdue'}"


def state(seen: ModelSeen) -> Status:
    """How a model stands: failed with an open incident, error where it could not be read, inconclusive where something
    is overdue or missing.
    """
    if seen.incidents:
        return Status.FAILED
    if seen.fault or seen.troubles:
        return Status.ERROR
    return Status.INCONCLUSIVE if seen.overdue or seen.orphan else Status.PASSED


def word(seen: ModelSeen) -> str:
    """The same in words."""
    if seen.incidents:
        return f"{figures.things(len(seen.incidents), 'incident')} open"
    if seen.fault or seen.troubles:
        return "could not ask"
    if seen.overdue:
        return "overdue"
    if seen.orphan:
        return "orphan"
    return "fine" if seen.monitored else "not monitored"


def champion(seen: ModelSeen) -> str:
    """`3`, `3 (as the ledger has it)`, `none`."""
    if seen.champion is None:
        return "none" if seen.registered is not None else "not known"
    return seen.champion if seen.told_by == "registry" else f"{seen.champion} (by the {seen.told_by})"


def age(seen: ModelSeen, now: float) -> str:
    """How old the champion is; `-` when unknown."""
    return "-" if seen.age is None else ago(seen.age, now, "")


def ago(at: float, now: float, after: str = " ago") -> str:
    """How long ago a moment was, in one unit."""
    seconds = max(0.0, now - at)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}{after}"
    return f"{seconds:.0f} s{after}"


def owner(seen: ModelSeen) -> str:
    """Who answers: team and contact."""
    return f"{seen.team} ({seen.contact})" if seen.team else "nobody"


def drift(seen: ModelSeen) -> str:
    """The worst finding against its limit: `predictions psi 0.16 of 0.1`."""
    one = seen.worst
    if one is None:
        return (
            "not monitored" if not seen.monitored else "not looked at yet" if seen.looked is None else "nothing judged"
        )
    what = one.subject if one.what in (one.subject, "days") else f"{one.subject} {one.what}"
    return f"{what} {figures.number(one.value)}, limit {one.limit.removeprefix(one.what).strip()}"


def decided(seen: ModelSeen, now: float) -> str:
    """The last decision, and when it was."""
    if seen.verdict is None:
        return "none"
    action = seen.verdict.action.replace("_", " ")
    said = f"evaluated: {seen.verdict.status}" if seen.verdict.action == "evaluated" else action
    return f"{said}{f', version {seen.verdict.version}' if seen.verdict.version else ''}, {ago(seen.verdict.at, now)}"


def looked(seen: ModelSeen, now: float) -> str:
    """When the monitor last looked."""
    if seen.looked is None:
        return "never" if seen.monitored else "-"
    return ago(seen.looked, now)


def serving(seen: ModelSeen) -> str:
    """What has the traffic here."""
    return f"version {seen.serving}{f' at {seen.endpoint}' if seen.endpoint else ''}" if seen.serving else "-"


def whose(one: Overdue) -> str:
    """Who has to act."""
    return f"{one.team} ({one.contact})" if one.team else "nobody answers for it"


def overdue(one: Overdue) -> str:
    """What is overdue, and since when."""
    since = f" (since {day(one.since)})" if one.since is not None and one.kind != "review" else ""
    return f"{one.sentence}{since}"


def orphan(one: Orphan) -> str:
    """What lacks what."""
    return one.sentence


def _unread(estate: Estate) -> str:
    return f"{figures.things(len(estate.faults), 'thing')} could not be read"
