"""A rollout as one HTML file: the verdict first, then traffic and evidence over time, counts, events, ids."""

from __future__ import annotations

from datetime import UTC, datetime

from mlship.report import figures
from mlship.report.account import Account, Event, SignalSeen, Step, Why
from mlship.report.page import page
from mlship.report.rollout_plots import plots
from mlship.report.times import clock, moment, span
from mlship.report.words import MARKS
from mlship.types import Status

_WORDS = {
    "promoted": "promoted",
    "rolled_back": "rolled back",
    "aborted": "aborted",
    "paused": "paused",
    "running": "under way",
    "unattended": "unfinished",
}
#: How an event looks: its mark says what its colour says.
_EVENTS = {
    "promoted": Status.PASSED,
    "rolled_back": Status.FAILED,
    "rolling back": Status.FAILED,
    "aborted": Status.INCONCLUSIVE,
    "paused": Status.INCONCLUSIVE,
    "guardian": Status.ERROR,
}


def render(account: Account, why: Why | None = None) -> str:
    """The file's content.

    Parameters
    ----------
    why
        The chain of evidence behind the decision, to be shown below; None: the rollout only.
    """
    spent = max(account.ended - account.began, 0.0)
    return page("rollout.html").render(
        account=account,
        why=why,
        word=_WORDS.get(account.outcome, account.outcome),
        status=str(account.status) if account.outcome != "running" else "running",
        marks={**{str(status): mark for status, mark in MARKS.items()}, "running": "▸"},
        sentence=sentence(account),
        plots=plots(account),
        signals=[_signal(account, one) for one in account.signals],
        total=figures.evidence(account.total),
        steps=[_step(step) for step in account.steps],
        events=[_event(account, one) for one in account.events],
        began=moment(account.began),
        last=moment(account.ended),
        took=span(spent),
        requests=_requests(account),
        when=moment,
    )


def sentence(account: Account) -> str:
    """The verdict in one sentence; of a rollout that is not over, what holds so far."""
    said = f"{account.sentence[:1].upper()}{account.sentence[1:]}"
    said = said if said.endswith((".", "!", "?")) else f"{said}."
    if account.outcome == "running":
        return f"So far: {account.sentence.removesuffix('.')}."
    if account.outcome == "unattended":
        return f"It is not over, and nobody drives it. So far: {account.sentence.removesuffix('.')}."
    return said


def _requests(account: Account) -> tuple[int, int]:
    stretches = account.stretches
    return sum(one.canary.requests for one in stretches), sum(one.stable.requests for one in stretches)


def _signal(account: Account, one: SignalSeen) -> dict[str, object]:
    decided = account.outcome == "rolled_back" and one.accused
    return {
        "name": one.name,
        "evidence": figures.evidence(one.e_value),
        "action": {"rollback": "rolls back", "pause": "pauses", "warn": "warns"}.get(one.action, one.action),
        "budget": figures.share(one.budget) if one.budget else "-",
        "canary": _counted(*one.canary),
        "stable": _counted(*one.stable) if one.stable[1] else "-",
        "sentence": one.sentence,
        "decided": decided,
    }


def _counted(bad: int, of: int) -> str:
    return f"{figures.count(bad)} of {figures.count(of)}" if of else "none seen"


def _step(step: Step) -> dict[str, object]:
    return {
        "number": step.number,
        "traffic": {"approve": "approval", "pause": f"pause at {step.traffic}"}.get(step.kind, step.traffic),
        "asked": step.asked or "-",
        "seen": "-"
        if step.seconds is None
        else f"{span(step.seconds)}, {figures.things(step.requests or 0, 'request')}",
        "entered": "-" if step.entered is None else clock(step.entered),
        "state": {"left": "ended here", "now": "under way"}.get(step.state, step.state),
    }


def _event(account: Account, one: Event) -> dict[str, object]:
    status = str(_EVENTS.get(one.what, ""))
    return {
        "at": datetime.fromtimestamp(one.at, UTC).strftime("%H:%M:%S"),
        "after": clock(max(0.0, one.at - account.began)),
        "what": one.what.replace("_", " "),
        "status": status,
        "text": one.text,
    }
