"""One pass of `mlship monitor` as one HTML file: verdict first, then what moved, by feature, over time, and the ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlship.report import figures
from mlship.report import monitor_words as words
from mlship.report.dates import hour
from mlship.report.monitor_plots import plots
from mlship.report.monitor_seen import ColumnSeen, FigureSeen, Seen
from mlship.report.page import page
from mlship.report.spark import meter, shares, spark
from mlship.report.times import moment, span
from mlship.report.words import MARKS
from mlship.types import Status
from mlship.types.monitoring import Incident

if TYPE_CHECKING:
    from markupsafe import Markup

#: Columns whose shares are drawn, then and now, and slices in the table.
_SHARES, _SLICES = 6, 60
#: What a sparkline of a PSI takes in, at least.
_USUAL = (0.0, 0.1)


def render(seen: Seen) -> str:
    """The file's content."""
    columns = [one for one in (seen.predictions, seen.scores) if one is not None]
    incidents = [_incident(seen, one, number) for number, one in enumerate(_incidents(seen))]
    return page("monitor.html").render(
        seen=seen,
        word=words.word(seen),
        status=str(seen.status),
        marks={str(status): mark for status, mark in MARKS.items()},
        outcome=_sentence(words.outcome(seen)),
        against=_sentence(words.against(seen)),
        facts=_facts(seen),
        incidents=incidents,
        troubles=[(one.source, one.what, hour(one.since)) for one in seen.troubles],
        columns=[_column(seen, one) for one in (*columns, *words.ranked(seen.features))],
        changes=[_change(one) for one in _changes(seen)],
        figures=[_figure(seen, one) for one in seen.figures],
        slices=[_figure(seen, one) for one in words.worst(seen.slices)[:_SLICES]],
        more_slices=max(0, len(seen.slices) - _SLICES),
        plots=plots(seen),
        judged=[_finding(seen, one) for one in words.findings(seen.findings)],
        done=[(one.what, hour(one.at), one.state, one.text) for one in seen.done],
        sources=[words.source(one) for one in seen.sources],
        baseline=_baseline(seen),
        threshold=f"10^{seen.threshold:.1f}",
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """An incident as the page tells it."""

    anchor: str
    status: str
    name: str
    sentence: str
    when: str
    detail: str
    requests: tuple[str, ...]
    news: str
    """What this pass tells of it: opened, worsened, resolved; empty when nothing."""


def _incidents(seen: Seen) -> list[Incident]:
    closed = sorted((one for one in seen.incidents if one.resolved is not None), key=lambda one: -(one.resolved or 0))
    return [*seen.open, *closed]


def _incident(seen: Seen, one: Incident, number: int) -> _Told:
    news = next((event.what for event in reversed(seen.events) if event.incident.id == one.id), "")
    return _Told(
        f"incident-{number + 1}",
        str(Status.FAILED if one.resolved is None else Status.PASSED),
        words.subject(one.kind, one.subject),
        one.sentence,
        words.incident(one),
        words.detail(seen, one),
        words.requests(seen, one.kind, one.subject),
        news,
    )


def _facts(seen: Seen) -> list[tuple[str, str]]:
    found = [
        ("looked at", moment(seen.at)),
        ("windows", figures.count(seen.windows)),
        ("predictions", figures.count(seen.rows)),
        ("labels", "-" if seen.coverage is None else f"{figures.share(seen.coverage)} of those due"),
        ("model's age", words.age(seen) or "-"),
        ("false alarms", f"at most {figures.number(seen.false_alarms)} a year"),
    ]
    return [*found, *seen.facts]


def _state(*, breach: bool, over: bool, judged: bool) -> tuple[str, str]:
    """(class, word) of a row."""
    if breach:
        return str(Status.FAILED), "breach"
    if over:
        return str(Status.INCONCLUSIVE), "over, not sure yet"
    return (str(Status.PASSED), "within limits") if judged else (str(Status.SKIPPED), "not judged")


def _column(seen: Seen, one: ColumnSeen) -> dict[str, Any]:
    judged = [each for each in seen.findings if each.subject == one.name]
    limit = next((words.bound(each.limit) for each in judged if each.what == "psi"), None)
    status, word = _state(breach=one.breach, over=bool(one.over), judged=bool(judged))
    before = f" (was {figures.share(one.missing_then)})" if one.missing and one.missing_then is not None else ""
    return {
        "name": one.name,
        "status": status,
        "word": word,
        "missing": f"{figures.share(one.missing)}{before}",
        "unseen": figures.share(one.unseen),
        "psi": figures.number(one.psi),
        "wasserstein": figures.number(one.wasserstein),
        "over": one.over,
        "rows": figures.count(one.rows),
        "meter": meter(one.evidence, seen.threshold, alarm=one.evidence >= seen.threshold),
        "spark": _spark(one, limit),
        "since": words.since(one.since),
        "sentence": one.sentence,
    }


def _spark(one: ColumnSeen, limit: float | None) -> Markup | str:
    return spark(one.line.value, f"PSI of {one.name} over time", limit, around=_USUAL) if one.line else ""


def _changes(seen: Seen) -> list[ColumnSeen]:
    """What the shares are drawn of: the predictions, and the columns that moved, the most telling first."""
    always = [one for one in (seen.predictions, seen.scores) if one is not None and one.shares]
    moved = [one for one in words.ranked(seen.features) if one.shares and (one.breach or one.over or one.since)]
    return [*always, *moved][:_SHARES]


def _change(one: ColumnSeen) -> dict[str, Any]:
    rows = [(each.name, figures.share(each.then), figures.share(each.now)) for each in one.shares]
    title = f"{one.name}: shares in the baseline, and now"
    return {"name": one.name, "picture": shares(title, one.shares), "note": one.sentence, "rows": rows}


def _figure(seen: Seen, one: FigureSeen) -> dict[str, Any]:
    finding = next((each for each in seen.findings if each.subject == one.name), None)
    over = finding is not None and finding.over
    status, word = _state(breach=one.breach, over=over, judged=bool(one.limit))
    return {
        "name": one.name,
        "status": status,
        "word": word,
        "realised": words.interval(one.realised, one.low, one.high),
        "rows": figures.count(one.rows),
        "estimated": words.interval(one.estimated, one.estimated_low, one.estimated_high),
        "why_not": one.why_not,
        "then": figures.number(one.then),
        "limit": one.limit or "-",
        "meter": meter(one.evidence, seen.threshold, alarm=one.evidence >= seen.threshold) if one.limit else "",
        "since": words.since(one.since),
        "sentence": one.sentence,
    }


def _finding(seen: Seen, one: Any) -> dict[str, Any]:
    status, word = _state(breach=one.breach, over=one.over, judged=one.value is not None)
    return {
        "status": status,
        "word": "moved, within limits" if word == "within limits" and one.alarm else word,
        "subject": words.subject(one.kind, one.subject),
        "what": one.what,
        "value": words.measured(one),
        "limit": one.limit,
        "expected": figures.number(one.expected),
        "meter": meter(one.evidence, seen.threshold, alarm=one.alarm),
        "evidence": words.evidence(one.evidence, seen.threshold),
        "sentence": one.sentence,
    }


def _baseline(seen: Seen) -> Sequence[tuple[str, str]]:
    base = seen.baseline
    if base is None:
        return ()
    of = f"{hour(base.since)} to {hour(base.until)}" if base.since is not None and base.until is not None else ""
    season = f"by {' and '.join(base.season)}, {base.zone}" if base.season else f"none, {base.zone}"
    found = [
        ("baseline", base.digest),
        ("made", moment(base.made)),
        ("rows", figures.count(base.rows)),
        ("of", of),
        ("from", base.source),
        ("windows of", span(base.window)),
        ("season", season),
        ("model", base.model_digest),
        ("policy", base.policy_digest),
        ("MLflow run", base.run),
        *((f"lacks {what}", why) for what, why in base.why_not),
    ]
    return [(name, value) for name, value in found if value]


def _sentence(said: str) -> str:
    return f"{said[:1].upper()}{said[1:]}." if said else ""
