"""The phrases that all reports of a pass of `mlship monitor` share: verdict, incidents, rows of tables. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mlship.exhibits import Table
from mlship.report import figures
from mlship.report.dates import hour
from mlship.report.monitor_seen import ColumnSeen, Done, FigureSeen, Seen, SourceSeen
from mlship.report.times import span
from mlship.types import Status
from mlship.types.monitoring import Finding, Incident

#: The verdict in a word.
WORDS = {
    Status.PASSED: "within limits",
    Status.FAILED: "breach",
    Status.ERROR: "could not ask",
    Status.INCONCLUSIVE: "nothing judged",
    Status.SKIPPED: "nothing judged",
}
_BOUND = re.compile(r"[<>]=? *(-?[0-9][0-9,]*(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)(%?)")
_KINDS = {
    "features": "feature",
    "predictions": "",
    "performance": "",
    "estimate": "estimated",
    "value": "",
    "age": "age of the",
    "silence": "silence of the",
}


def word(seen: Seen) -> str:
    """The verdict."""
    return WORDS[seen.status]


def subject(kind: str, name: str) -> str:
    """What an incident or a finding is about: `feature dep_hour`, `estimated recall`, `predictions`."""
    return f"{_KINDS.get(kind, kind)} {name}".strip()


def summary(seen: Seen) -> str:
    """The verdict in one line: `BREACH  flight-delay 3: 2 incidents are open: predictions, feature dep_hour`."""
    return f"{word(seen).upper()}  {seen.model} {seen.version}: {outcome(seen)}"


def outcome(seen: Seen) -> str:
    """What decided the verdict, without a full stop."""
    asked = figures.listed(list(dict.fromkeys(one.source for one in seen.troubles)))
    beside = f"; could not be asked: {asked}" if asked else ""
    if seen.open:
        named = figures.listed([subject(one.kind, one.subject) for one in seen.open])
        are = "is" if len(seen.open) == 1 else "are"
        return f"{figures.things(len(seen.open), 'incident')} {are} open: {named}{beside}"
    if seen.breaches:
        named = figures.listed([subject(one.kind, one.subject) for one in seen.breaches])
        return f"{figures.things(len(seen.breaches), 'breach', 'breaches')}: {named}{beside}"
    if seen.troubles:
        judged = "; what was judged is within limits" if seen.judged else ""
        return f"could not be asked: {asked}{judged}"
    if seen.status is Status.INCONCLUSIVE:
        return _nothing(seen)
    told = [figures.things(len(seen.features), "feature")] if seen.features else []
    told += ["predictions"] if seen.predictions else []
    told += [one.name for one in seen.figures]
    what = f": {figures.listed(told, 8)}" if told else ""
    return f"all is within limits{what}"


def looked(seen: Seen) -> str:
    """What this pass has counted: `24 windows, 12,345 predictions, up to 5 September 2026, 14:00 UTC`."""
    if not seen.windows:
        return "no complete window since the pass before" if seen.before is not None else "no complete window"
    until = f", up to {hour(seen.until)}" if seen.until is not None else ""
    return f"{figures.things(seen.windows, 'window')}, {figures.things(seen.rows, 'prediction')}{until}"


def against(seen: Seen) -> str:
    """What it was held against; empty without a baseline."""
    base = seen.baseline
    if base is None:
        return ""
    of = f" of {hour(base.since)} to {hour(base.until)}" if base.since is not None and base.until is not None else ""
    return f"held against {figures.things(base.rows, 'row')}{of}, kept with the evaluation"


def coverage(seen: Seen) -> str:
    """How many labels are there; empty where none are looked for."""
    if seen.coverage is None:
        return ""
    return f"{figures.share(seen.coverage)} of the predictions whose labels are due have one"


def since(at: float | None) -> str:
    """An estimated change; empty when there is none."""
    return "" if at is None else f"since about {hour(at)}"


def incident(one: Incident) -> str:
    """When it began, was opened, and how it stands: `since about ..., opened ..., severity 2`."""
    parts = [since(one.since), f"opened {hour(one.opened)}"]
    if one.resolved is not None:
        parts.append(f"resolved {hour(one.resolved)}")
    elif one.quiet is not None:
        parts.append(f"within limits since {hour(one.quiet)}")
    parts.append(f"severity {one.worst}")
    return ", ".join(part for part in parts if part)


def requests(seen: Seen, kind: str, name: str) -> tuple[str, ...]:
    """Requests that show it."""
    return tuple(each for one in seen.examples if (one.kind, one.subject) == (kind, name) for each in one.requests)


def detail(seen: Seen, one: Incident) -> str:
    """What else is known of it; empty where the requests that show it say it all."""
    shows = requests(seen, one.kind, one.subject)
    return "" if shows and all(each in one.detail for each in shows) else one.detail


def findings(found: Sequence[Finding]) -> list[Finding]:
    """In breach first, then beyond the limit, then by evidence."""
    return sorted(found, key=lambda one: (not one.breach, not one.over, -one.evidence, one.kind, one.subject, one.what))


def state(one: Finding) -> str:
    """How a finding stands: a breach needs both the limit exceeded and the alarm."""
    if one.breach:
        return "breach"
    if one.value is None:
        return "not known"
    if one.over:
        return "over, not sure yet"
    return "moved, within limits" if one.alarm else "within limits"


def status(one: Finding) -> Status:
    """As a check: failed in breach, inconclusive where nothing was measured."""
    if one.breach:
        return Status.FAILED
    return Status.INCONCLUSIVE if one.value is None else Status.PASSED


def evidence(value: float, threshold: float) -> str:
    """Evidence against the threshold, in powers of ten: `10^2.1 of 10^4.9`."""
    return f"10^{max(0.0, value):.1f} of 10^{threshold:.1f}"


def judged(seen: Seen) -> Table:
    """Every finding."""
    rows = tuple(
        (
            subject(one.kind, one.subject),
            one.what,
            measured(one),
            one.limit,
            _number(one.expected),
            evidence(one.evidence, seen.threshold),
            state(one),
        )
        for one in findings(seen.findings)
    )
    return Table("Judged", ("subject", "figure", "value", "limit", "baseline", "evidence", ""), rows)


def measured(one: Finding) -> str:
    """The value with its interval."""
    ends = f" [{figures.number(one.low)}, {figures.number(one.high)}]" if one.low is not None else ""
    return f"{figures.number(one.value)}{ends}"


def columns(found: Sequence[ColumnSeen]) -> Table:
    """Every feature: what was measured of it."""
    rows = tuple(
        (one.name, one.psi, one.wasserstein, one.missing, one.unseen, one.rows, since(one.since)) for one in found
    )
    names = ("feature", "PSI", "Wasserstein", "missing", "unseen", "rows", "moved")
    return Table("Features and predictions", names, rows, shares=("missing", "unseen"))


def performance(found: Sequence[FigureSeen], title: str = "Performance") -> Table:
    """Every metric, realised and estimated."""
    rows = tuple(
        (
            one.name,
            interval(one.realised, one.low, one.high),
            one.rows,
            interval(one.estimated, one.estimated_low, one.estimated_high) if not one.why_not else one.why_not,
            _number(one.then),
            one.limit or "-",
        )
        for one in found
    )
    return Table(title, ("metric", "realised", "labels", "estimated", "baseline", "limit"), rows)


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """A value with its ends: `0.66 [0.64, 0.68]`."""
    if value is None:
        return "-"
    ends = f" [{figures.number(low)}, {figures.number(high)}]" if low is not None and high is not None else ""
    return f"{figures.number(value)}{ends}"


def source(one: SourceSeen) -> str:
    """What was read: `log predictions/*.parquet: 12,345 rows, the newest of ...; 12 of other versions left out`."""
    newest = f", the newest of {hour(one.newest)}" if one.newest is not None else ""
    left = [f"{figures.count(one.others)} of other versions"] if one.others else []
    left += [f"{figures.count(one.late)} too late"] if one.late else []
    out = f"; left out: {' and '.join(left)}" if left else ""
    return f"{one.name} {one.where}: {figures.things(one.rows, 'row')}{newest}{out}"


def done(one: Done) -> str:
    """What followed: `retrain: flights/retrain.yml on main was started (done)`."""
    return f"{one.what}: {one.text}{'' if one.state == 'done' else f' ({one.state})'}"


def age(seen: Seen) -> str:
    """How old the version is; empty when unknown."""
    return "" if seen.age is None else span(seen.age)


def bound(limit: str) -> float | None:
    """The number in a limit: 0.2 in `psi <= 0.2`, 0.05 in `<= 5%`; None when it has none."""
    found = _BOUND.search(limit)
    return None if found is None else float(found[1].replace(",", "")) / (100 if found[2] else 1)


def ranked(found: Sequence[ColumnSeen]) -> list[ColumnSeen]:
    """In breach first, then beyond a limit, then by evidence."""
    return sorted(found, key=lambda one: (not one.breach, not one.over, -one.evidence))


def worst(found: Sequence[FigureSeen]) -> list[FigureSeen]:
    """In breach first, then by evidence."""
    return sorted(found, key=lambda one: (not one.breach, -one.evidence))


def _nothing(seen: Seen) -> str:
    if not seen.windows:
        return "nothing was judged: no complete window of traffic was there"
    return f"nothing was judged: none of {figures.things(seen.windows, 'window')} has rows enough (monitor.min_rows)"


def _number(value: float | None) -> str:
    return figures.number(value)
