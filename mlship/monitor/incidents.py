"""The life of incidents: opened by a breach, worsened, resolved once all has been within limits for a time. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mlship.types.monitoring import Finding, Incident, IncidentEvent, Kind

#: What an incident is about: there is at most one open for each.
About = tuple[Kind, str]


def step(
    open_: Sequence[Incident],
    findings: Iterable[Finding],
    at: float,
    *,
    recovered: float,
    model: str,
    version: str,
    details: Mapping[About, str] | None = None,
    dropped: Collection[About] = (),
) -> tuple[tuple[Incident, ...], tuple[IncidentEvent, ...]]:
    """The incidents after one look, and what people are to be told of it.

    An incident is resolved at the first look that finds all within limits at least `recovered` seconds after such
    looks began, with none beyond a limit in between. What was not measured (no value, or no finding at all: a source
    is dead) neither ends that time nor is proof: no data is never a pass. Incidents of another version than the one
    that serves are resolved at once: nobody can see any more whether they go on.

    Parameters
    ----------
    open_
        Open incidents, at most one of each kind and subject.
    findings
        What was found, any number for each kind and subject.
    at
        Unix time of the look: the end of the window. It never goes back.
    recovered
        Seconds.
    version
        The version that serves.
    details
        What incidents say beside the sentence, where they are opened or worsened.
    dropped
        What the policy no longer judges: its incidents are resolved at once.

    Returns
    -------
    tuple
        All incidents that were open or are opened, those that this look resolved among them; and the events, resolved
        ones first. The same arguments give the same ids.
    """
    found: dict[About, list[Finding]] = {}
    for finding in findings:
        found.setdefault((finding.kind, finding.subject), []).append(finding)
    after: list[Incident] = []
    told: list[IncidentEvent] = []
    known: set[About] = set()
    for incident in open_:
        about = (incident.kind, incident.subject)
        if incident.version != version:
            after.append(_over(incident, at, f"version {incident.version} serves no more, version {version} does"))
        elif about in dropped:
            after.append(_over(incident, at, "the policy judges it no more"))
            known.add(about)
        else:
            after.append(_after(incident, found.get(about, ()), at, recovered, (details or {}).get(about)))
            known.add(about)
        if event := _event(incident, after[-1], at):
            told.append(event)
    for about, group in found.items():
        if about not in known and (worst := _worst(group)) is not None:
            incident = _opened(worst, at, model, version, (details or {}).get(about, ""))
            after.append(incident)
            told.append(IncidentEvent(incident, "opened", at))
    told.sort(key=lambda event: event.what != "resolved")
    return tuple(after), tuple(told)


def identity(model: str, version: str, about: About, opened: float) -> str:
    """The id of an incident: the same for whoever finds it, wherever."""
    text = "\0".join((model, version, *about, f"{opened:.3f}"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def event_id(event: IncidentEvent) -> str:
    """The id of an event: an incident is opened once, resolved once, and worsens to each severity once."""
    incident = event.incident
    return f"{incident.id}-{event.what}" + (f"-{incident.worst}" if event.what == "worsened" else "")


def _worst(group: Sequence[Finding]) -> Finding | None:
    """The breach of the highest severity; None when there is none."""
    breaches = [one for one in group if one.breach]
    return max(breaches, key=lambda one: (one.severity, one.evidence, one.what), default=None)


def _opened(worst: Finding, at: float, model: str, version: str, detail: str) -> Incident:
    about = (worst.kind, worst.subject)
    return Incident(
        identity(model, version, about, at),
        model,
        version,
        worst.kind,
        worst.subject,
        opened=at,
        since=worst.since,
        worst=max(1, worst.severity),
        sentence=worst.sentence,
        detail=detail,
    )


def _after(incident: Incident, group: Sequence[Finding], at: float, recovered: float, detail: str | None) -> Incident:
    """An incident after a look at what it is about."""
    if (worst := _worst(group)) is not None:
        if worst.severity <= incident.worst:
            return replace(incident, quiet=None)
        detail = incident.detail if detail is None else detail
        return replace(incident, quiet=None, worst=worst.severity, sentence=worst.sentence, detail=detail)
    if any(one.over for one in group):  # beyond the limit, though no longer beyond doubt
        return replace(incident, quiet=None)
    if not group or all(one.value is None for one in group):
        return incident
    quiet = at if incident.quiet is None else min(at, incident.quiet)  # later than now: the clock was wrong
    if at - quiet < recovered:
        return replace(incident, quiet=quiet)
    return _over(replace(incident, quiet=quiet), at, f"within limits since {_when(quiet)}")


def _over(incident: Incident, at: float, why: str) -> Incident:
    return replace(incident, resolved=at, sentence=f"{incident.subject}: {why}")


def _event(before: Incident, after: Incident, at: float) -> IncidentEvent | None:
    if after.resolved is not None:
        return IncidentEvent(after, "resolved", at)
    return IncidentEvent(after, "worsened", at) if after.worst > before.worst else None


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
