"""What follows from the events of a pass, and from the incidents that are open: the deliveries to be made. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from mlship.monitor.acting.delivery import GIVEN_UP, WAITS, Delivery, Outcome, Told, name
from mlship.monitor.incidents import event_id
from mlship.policy.urls import scheme_of
from mlship.types.monitoring import Incident, IncidentEvent, Kind

if TYPE_CHECKING:
    from mlship.policy.monitor import OnBreach, Retrain
    from mlship.policy.schema import Policy

#: Seconds for which a version that the monitor went back to is not left by the monitor again.
RETURNED = 30 * 86400.0
#: Incidents that a training's reason quotes, and its characters.
_QUOTED, _LONGEST = 3, 500


@dataclass(frozen=True, slots=True)
class Known:
    """What was decided before, as far as it matters: the store has it."""

    trainings: Sequence[Delivery] = ()
    rollbacks: Sequence[Delivery] = ()


@dataclass(frozen=True, slots=True)
class Followed:
    """What follows: deliveries, and why something that the policy names does not follow now."""

    deliveries: tuple[Delivery, ...] = ()
    why_not: tuple[str, ...] = ()
    """One sentence each, such as that a training waits for the end of the cool-down."""


def plan(
    policy: Policy,
    digest: str,
    events: Sequence[IncidentEvent],
    open_: Sequence[Incident],
    known: Known,
    *,
    now: float,
    until: float,
) -> Followed:
    """The deliveries of one pass, to be kept in its transaction.

    - Each event is told to each of the policy's services, where the policy says `notify`.
    - Training is asked for while there is an open incident that no training has been asked for yet, at the severity
      that it has now: within `cool_down` of the training before, that waits; so nothing is forgotten, and a breach that
      a training did not end starts no second one unless it worsens. One that could not be delivered within a day is
      asked for again after the cool-down.
    - An incident that opens leads to one rollback, and to one pause of a rollout that is under way. A version that the
      monitor itself went back to lately is not left by it again: what is bad for both may well be the world.

    Parameters
    ----------
    digest
        Of the policy.
    open_
        All incidents that are open after the pass.
    now
        Unix time of the pass; times of incidents may be long ago.
    until
        Unix time of the end of the newest window: where the data of a training ends.

    Returns
    -------
    Followed
        The same ids for the same events, whoever asks and however often.
    """
    found: list[Delivery] = []
    why_not: list[str] = []
    services = tuple(places(policy))
    for event in events:
        found += _told(policy, services, event, now)
    for place, item in trainings(policy).items():
        training, why = _training(item, place, digest=digest, open_=open_, before=known.trainings, now=now, until=until)
        found += [training] if training is not None else []
        why_not += [why] if why else []
    opened = [event.incident for event in events if event.what == "opened"]
    actions: tuple[Literal["rollback", "pause"], ...] = ("rollback", "pause")
    for action in actions:
        kinds = _kinds(policy, action)
        if incident := _gravest([one for one in opened if one.kind in kinds]):
            if action == "rollback" and (back := _returned(known.rollbacks, incident.version, now)):
                why_not.append(back)
                continue
            facts = {"reason": incident.sentence}
            one = Delivery(name(incident.id, action), action, action, *_about(incident), action, facts)
            found.append(replace(one, made=now, due=now))
    return Followed(tuple(found), tuple(why_not))


def settled(delivery: Delivery, number: int, begun: float | None, outcome: Outcome | None, now: float) -> Delivery:
    """A delivery after one attempt.

    Parameters
    ----------
    number
        Of the attempt, from 1.
    begun
        Unix time; None when nothing was sent.
    outcome
        None when it was cut short.
    """
    came = outcome or Outcome("maybe", "the attempt was cut short", begun or now)
    after = replace(
        delivery,
        attempts=number,
        tried=begun or delivery.tried,
        said=came.said,
        maybe=came.result == "maybe" or (delivery.maybe and not came.cleared),
        blocking=came.result in ("away", "maybe"),
    )
    if came.result == "done":
        return replace(after, state="done", ended=came.at or now, maybe=False, facts={**after.facts, **came.facts})
    if came.result == "moot":
        return replace(after, state="dropped", ended=came.at or now)
    after = replace(after, first=now if after.first is None else after.first)
    if now - after.made >= GIVEN_UP:
        return replace(after, state="failed", ended=now)
    return replace(after, due=now + WAITS[min(number, len(WAITS)) - 1])


def follow_up(policy: Policy, done: Delivery, now: float) -> tuple[Delivery, ...]:
    """What people are told when something has been done: that training was asked for, that it went back or paused."""
    kinds: dict[str, Told] = {"retrain": "retraining", "rollback": "rolled_back", "pause": "paused"}
    if done.state != "done" or done.what not in kinds:
        return ()
    what = kinds[done.what]
    reason = done.facts.get("reason", "")
    facts = {"text": f"{done.said}; {reason}" if reason else done.said, "at": f"{done.ended or now:.3f}"}
    about = (done.incident, done.kind, done.subject, done.version)
    return tuple(
        Delivery(name(done.id, what, place), "notify", place, *about, what, facts, made=now, due=now)
        for place in places(policy)
    )


def places(policy: Policy) -> dict[str, str]:
    """The policy's services by a name without anything secret: `slack#0` is its first of that kind."""
    from mlship.notify import services

    count: Counter[str] = Counter()
    found = {}
    for url in services(policy.notify):
        scheme = scheme_of(url) or "unknown"
        found[f"{scheme}#{count[scheme]}"] = url
        count[scheme] += 1
    return found


def trainings(policy: Policy) -> dict[str, Retrain]:
    """The policy's items `retrain` by place."""
    items = [item.retrain for item in _items(policy) if item.retrain is not None]
    return {f"retrain#{number}": item for number, item in enumerate(items)}


def wanted(policy: Policy, action: str) -> bool:
    """Whether the policy (still) says that this follows a breach."""
    return any(getattr(item, action) is not None for item in _items(policy))


def iso(at: float) -> str:
    """A moment as an input of a training: `2026-07-01T12:00:00Z`."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _items(policy: Policy) -> tuple[OnBreach, ...]:
    return policy.monitor.on_breach if policy.monitor is not None else ()


def _about(incident: Incident) -> tuple[str, Kind, str, str]:
    return incident.id, incident.kind, incident.subject, incident.version


def _told(policy: Policy, services: Sequence[str], event: IncidentEvent, now: float) -> list[Delivery]:
    """The messages of one event."""
    items = [item.notify for item in _items(policy) if item.notify is not None]
    incident = event.incident
    if not any(not item.on or incident.kind in item.on for item in items):
        return []
    kinds: dict[str, Told] = {
        "opened": "incident_opened",
        "worsened": "incident_worsened",
        "resolved": "incident_resolved",
    }
    what = kinds[event.what]
    detail = incident.detail if event.what != "resolved" else ""
    facts = {"text": "\n".join(filter(None, (incident.sentence, detail))), "at": f"{event.at:.3f}"}
    about = _about(incident)
    return [
        Delivery(name(event_id(event), place), "notify", place, *about, what, facts, made=now, due=now)
        for place in services
    ]


def _training(
    item: Retrain,
    place: str,
    *,
    digest: str,
    open_: Sequence[Incident],
    before: Sequence[Delivery],
    now: float,
    until: float,
) -> tuple[Delivery | None, str]:
    """The training to be asked for now, or why none is, where one is called for."""
    here = [one for one in before if one.place == place]
    asked = [one for one in here if one.state != "dropped" or one.maybe]
    uncovered = [one for one in open_ if one.kind in item.on and not _covered(one, here)]
    trigger = _gravest(uncovered)
    if trigger is None:
        return None, ""
    last = max((one.ended or one.made for one in asked), default=None)
    if last is not None and now < last + item.cool_down:
        when = f"{datetime.fromtimestamp(last + item.cool_down, UTC):%Y-%m-%d %H:%M} UTC"
        return None, f"training for {trigger.subject} is asked for at {when}, when the cool-down is over"
    again = sum(trigger.id in one.covers and one.covers[trigger.id] >= trigger.worst for one in here)
    about = _about(trigger)
    id_ = name(trigger.id, "retrain", place, str(trigger.worst), str(again))
    since = min(one.opened if one.since is None else one.since for one in uncovered)
    facts = {
        "model": trigger.model,
        "version": trigger.version,
        "reason": _reason(uncovered, trigger),
        "since": iso(since),
        "until": iso(max(until, since)),
        "policy_digest": digest,
    }
    covers = {one.id: one.worst for one in uncovered}
    return Delivery(id_, "retrain", place, *about, "retrain", facts, covers, made=now, due=now), ""


def _covered(incident: Incident, before: Sequence[Delivery]) -> bool:
    """Whether a training was, or is being, asked for because of this incident as grave as it is."""
    return any(one.state in ("pending", "done") and one.covers.get(incident.id, 0) >= incident.worst for one in before)


def _reason(incidents: Sequence[Incident], trigger: Incident) -> str:
    """The incidents in one line, the gravest first."""
    others = [one for one in incidents if one is not trigger]
    more = len(others) - (_QUOTED - 1)
    said = [" ".join(one.sentence.split()) for one in (trigger, *others[: _QUOTED - 1])]
    text = "; ".join([*said, *([f"and {more} more"] if more > 0 else [])])
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _kinds(policy: Policy, action: Literal["rollback", "pause"]) -> Collection[str]:
    """Kinds of breaches that lead to it."""
    found = [item.rollback if action == "rollback" else item.pause for item in _items(policy)]
    return {kind for one in found if one is not None for kind in one.on}


def _gravest(incidents: Sequence[Incident]) -> Incident | None:
    return min(incidents, key=lambda one: (-one.worst, one.opened, one.id), default=None)


def _returned(rollbacks: Sequence[Delivery], version: str, now: float) -> str:
    """Why this version is not left; empty when it may be."""
    for one in rollbacks:
        if one.state == "done" and one.facts.get("to") == version and now - (one.ended or now) < RETURNED:
            return (
                f"version {version} serves since the monitor itself went back to it from version {one.version}: "
                "what is bad for both is left to people"
            )
    return ""
