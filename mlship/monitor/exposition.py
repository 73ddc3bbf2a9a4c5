"""The monitor's metrics for Prometheus: everything that one pass has seen, and how passes ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple, get_args

from mlship.report import monitor_words as words
from mlship.report.monitor_seen import ColumnSeen, FigureSeen, Seen
from mlship.types.monitoring import Kind

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

#: Features, figures of slices, findings and open incidents that are told, the gravest first: so that no traffic,
#: however odd, makes Prometheus keep more series than a person could look at. The report has them all.
MOST = {"columns": 200, "slices": 200, "findings": 500, "incidents": 200}
#: Characters of a label's value.
_LONGEST = 120
KINDS: tuple[str, ...] = get_args(Kind)
#: What may be out of reach (`Trouble.source`); anything else is told as `other`.
SOURCES = ("registry", "engine", "log", "labels", "notify", "retrain", "disk", "other")
#: What may follow a breach, and what may have become of it in this pass (`Done`).
FOLLOWS = ("notify", "retrain", "rollback", "pause")
STATES = ("done", "waiting", "failed", "skipped")


class Sample(NamedTuple):
    """One value of one series."""

    name: str
    labels: Mapping[str, str]
    value: float | None
    """None: not known, and not told."""


#: By name, what each is. All are gauges: what a pass has seen, not what has happened since a start.
HELP = {
    "mlship_monitor_info": "The version that is watched, and by which policy: always 1.",
    "mlship_monitor_last_pass_timestamp_seconds": "When the last pass looked, Unix time.",
    "mlship_monitor_last_prediction_timestamp_seconds": "The newest prediction that was read, Unix time.",
    "mlship_monitor_status": "How the last pass ended: 1 for the status that it has, 0 for the others.",
    "mlship_monitor_predictions": "Predictions that the last pass counted.",
    "mlship_monitor_windows": "Complete windows of traffic that the last pass counted.",
    "mlship_monitor_windows_judged": "Of these, windows with rows enough to say something.",
    "mlship_monitor_model_age_seconds": "Age of the champion at the last pass.",
    "mlship_monitor_baseline_timestamp_seconds": "When the baseline was made, Unix time.",
    "mlship_monitor_label_coverage_ratio": "Share of the predictions, of windows whose labels are due, with a label.",
    "mlship_monitor_source_rows": "Rows that the last pass read of a source.",
    "mlship_monitor_source_newest_timestamp_seconds": "The newest row of a source, Unix time.",
    "mlship_monitor_source_other_rows": "Rows of other versions, left out.",
    "mlship_monitor_source_late_rows": "Rows that came after their window was counted, left out.",
    "mlship_monitor_trouble": "1 for what could not be asked; it is no drift.",
    "mlship_monitor_trouble_since_timestamp_seconds": "Since when it could not be asked, Unix time.",
    "mlship_monitor_finding_value": "A figure that is judged.",
    "mlship_monitor_finding_limit": "The limit of that figure; `end` says whether it is the least or the largest.",
    "mlship_monitor_finding_baseline": "The same figure in the baseline.",
    "mlship_monitor_finding_evidence": "Evidence against no change, as a share of what makes an alarm (logarithms).",
    "mlship_monitor_finding_breach": "1 when the figure is beyond its limit and that is more than chance.",
    "mlship_monitor_finding_severity": "0 within the limit, 1 beyond it, one more each time that the excess doubles.",
    "mlship_monitor_finding_changed_timestamp_seconds": "Estimated moment of the change, Unix time.",
    "mlship_monitor_incidents_open": "Open incidents.",
    "mlship_monitor_incident_severity": "The highest severity so far of an open incident.",
    "mlship_monitor_incident_opened_timestamp_seconds": "When an incident that is open was opened, Unix time.",
    "mlship_monitor_column_psi": "PSI against the baseline, freed of its sampling bias.",
    "mlship_monitor_column_wasserstein": "Wasserstein distance, in standard deviations of the baseline.",
    "mlship_monitor_column_missing_ratio": "Share of missing values.",
    "mlship_monitor_column_missing_baseline_ratio": "The same in the baseline.",
    "mlship_monitor_column_unseen_ratio": "Share of values whose category the baseline lacks.",
    "mlship_monitor_column_evidence": "Evidence of its strongest stream, as a share of an alarm's (logarithms).",
    "mlship_monitor_performance": "A metric on live traffic: realised, estimated, or in the baseline.",
    "mlship_monitor_performance_low": "Lower end of its 95 % interval.",
    "mlship_monitor_performance_high": "Upper end of its 95 % interval.",
    "mlship_monitor_performance_rows": "Labelled rows behind the realised metric.",
    "mlship_monitor_followed": "What the last pass did because of a breach, by what became of it.",
}


def exposition(seen: Seen) -> bytes:
    """The metrics of one pass in Prometheus' text format. Every series has the label `model`."""
    return _text([*_pass(seen), *_sources(seen), *_findings(seen), *_columns(seen), *_performance(seen)], seen.model)


def passes(counts: Mapping[int, int], last: tuple[int, float] | None) -> bytes:
    """How the passes of `mlship monitor --every` have ended so far, by exit code.

    Parameters
    ----------
    last
        Exit code and Unix time of the last one; None before the first has ended.
    """
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    told = CounterMetricFamily("mlship_monitor_passes", "Passes that have ended, by exit code.", labels=["code"])
    for code, times in sorted(counts.items()):
        told.add_metric([str(code)], times)
    families: list[Metric] = [told]
    if last is not None:
        text = "Exit code of the last pass: 0 within limits, 1 in breach, 3 something out of reach, 4 nothing to judge."
        families.append(GaugeMetricFamily("mlship_monitor_last_exit_code", text, value=last[0]))
        text = "When the last pass ended, Unix time."
        families.append(GaugeMetricFamily("mlship_monitor_last_exit_timestamp_seconds", text, value=last[1]))
    return _generated(families)


def _pass(seen: Seen) -> Iterator[Sample]:
    """What is known of the pass as a whole."""
    yield Sample("mlship_monitor_info", {"version": seen.version, "policy": seen.policy}, 1)
    read = [one.newest for one in seen.sources if one.name != "labels" and one.newest is not None]
    single = {
        "mlship_monitor_last_pass_timestamp_seconds": seen.at,
        "mlship_monitor_last_prediction_timestamp_seconds": max(read, default=None),
        "mlship_monitor_predictions": seen.rows,
        "mlship_monitor_windows": seen.windows,
        "mlship_monitor_windows_judged": seen.judged,
        "mlship_monitor_model_age_seconds": seen.age,
        "mlship_monitor_baseline_timestamp_seconds": seen.baseline.made if seen.baseline is not None else None,
        "mlship_monitor_label_coverage_ratio": seen.coverage,
    }
    for name, value in single.items():
        yield Sample(name, {}, value)
    for status in ("passed", "failed", "inconclusive", "error"):
        yield Sample("mlship_monitor_status", {"status": status}, int(str(seen.status) == status))


def _sources(seen: Seen) -> Iterator[Sample]:
    """What was read, what could not be, and what was done."""
    for one in seen.sources:
        labels = {"source": one.name}
        yield Sample("mlship_monitor_source_rows", labels, one.rows)
        yield Sample("mlship_monitor_source_newest_timestamp_seconds", labels, one.newest)
        yield Sample("mlship_monitor_source_other_rows", labels, one.others)
        yield Sample("mlship_monitor_source_late_rows", labels, one.late)
    since: dict[str, float] = {}
    for trouble in seen.troubles:
        source = trouble.source if trouble.source in SOURCES else "other"
        since[source] = min(trouble.since, since.get(source, trouble.since))
    for source in SOURCES:
        yield Sample("mlship_monitor_trouble", {"source": source}, int(source in since))
        yield Sample("mlship_monitor_trouble_since_timestamp_seconds", {"source": source}, since.get(source))
    for what in FOLLOWS:
        for state in STATES:
            times = sum((one.what, one.state) == (what, state) for one in seen.done)
            yield Sample("mlship_monitor_followed", {"what": what, "state": state}, times)


def _findings(seen: Seen) -> Iterator[Sample]:
    ranked = sorted(seen.findings, key=lambda one: (not one.breach, -one.severity, -one.evidence))
    for one in ranked[: MOST["findings"]]:
        labels = {"kind": one.kind, "subject": one.subject, "figure": one.what}
        end = {"end": "min" if ">" in one.limit else "max"}
        both = {**labels, **end}
        yield Sample("mlship_monitor_finding_value", labels, one.value)
        yield Sample("mlship_monitor_finding_limit", both, _limit(one.limit, one.what))
        yield Sample("mlship_monitor_finding_baseline", labels, one.expected)
        if one.kind not in ("age", "silence"):  # those are known, not inferred
            yield Sample("mlship_monitor_finding_evidence", both, _share(one.evidence, seen))
        yield Sample("mlship_monitor_finding_breach", both, int(one.breach))
        yield Sample("mlship_monitor_finding_severity", both, one.severity)
        yield Sample("mlship_monitor_finding_changed_timestamp_seconds", both, one.since)
    for kind in KINDS:
        times = sum(one.kind == kind for one in seen.open)
        yield Sample("mlship_monitor_incidents_open", {"kind": kind}, times)
    for incident in seen.open[: MOST["incidents"]]:
        labels = {"kind": incident.kind, "subject": incident.subject}
        yield Sample("mlship_monitor_incident_severity", labels, incident.worst)
        yield Sample("mlship_monitor_incident_opened_timestamp_seconds", labels, incident.opened)


def _limit(limit: str, figure: str) -> float | None:
    """The number of a limit, in the unit of the figure: an age is told in days, silence in seconds."""
    from mlship.policy.units import UnitError, parse_duration

    if figure not in ("days", "seconds"):
        return words.bound(limit)
    try:
        seconds = parse_duration(limit.rpartition("=")[2].strip())
    except UnitError:
        return words.bound(limit)
    return seconds / 86400.0 if figure == "days" else seconds


def _share(evidence: float, seen: Seen) -> float | None:
    """1 is an alarm; below 0 is evidence for what was before."""
    return evidence / seen.threshold if seen.threshold > 0 else None


def _columns(seen: Seen) -> Iterator[Sample]:
    """How far features and answers have moved."""
    told = [("feature", one) for one in words.ranked(seen.features)[: MOST["columns"]]]
    told += [("prediction", one) for one in (seen.predictions,) if one is not None]
    told += [("score", one) for one in (seen.scores,) if one is not None]
    for of, one in told:
        yield from _column({"of": of, "column": one.name}, one, seen)


def _column(labels: dict[str, str], one: ColumnSeen, seen: Seen) -> Iterator[Sample]:
    yield Sample("mlship_monitor_column_psi", labels, one.psi)
    yield Sample("mlship_monitor_column_wasserstein", labels, one.wasserstein)
    yield Sample("mlship_monitor_column_missing_ratio", labels, one.missing)
    yield Sample("mlship_monitor_column_missing_baseline_ratio", labels, one.missing_then)
    yield Sample("mlship_monitor_column_unseen_ratio", labels, one.unseen)
    yield Sample("mlship_monitor_column_evidence", labels, _share(one.evidence, seen))


def _performance(seen: Seen) -> Iterator[Sample]:
    for one in (*seen.figures, *words.worst(seen.slices)[: MOST["slices"]]):
        yield from _figure(one)


def _figure(one: FigureSeen) -> Iterator[Sample]:
    """`origin=JFK recall` is the recall of a slice; a metric's name has no blank."""
    part, _, metric = one.name.rpartition(" ")
    labels = {"metric": metric, "slice": part}
    ends = {
        "realised": (one.realised, one.low, one.high),
        "estimated": (one.estimated, one.estimated_low, one.estimated_high),
        "baseline": (one.then, None, None),
    }
    for of, (value, low, high) in ends.items():
        yield Sample("mlship_monitor_performance", {**labels, "of": of}, value)
        yield Sample("mlship_monitor_performance_low", {**labels, "of": of}, low)
        yield Sample("mlship_monitor_performance_high", {**labels, "of": of}, high)
    yield Sample("mlship_monitor_performance_rows", labels, one.rows)


def _text(samples: Iterable[Sample], model: str) -> bytes:
    """Samples by family; of two that would be one series, the first counts: a scrape with both would be refused."""
    from prometheus_client.metrics_core import GaugeMetricFamily

    families: dict[str, dict[tuple[tuple[str, str], ...], float]] = {name: {} for name in HELP}
    for name, labels, value in samples:
        if value is not None and isfinite(value):
            given = {"model": model, **labels}
            families[name].setdefault(tuple((key, _label(text)) for key, text in given.items()), float(value))
    told: list[Metric] = []
    for name, series in families.items():
        if series:
            family = GaugeMetricFamily(name, HELP[name], labels=[key for key, _ in next(iter(series))])
            for pairs, value in series.items():
                family.add_metric([text for _, text in pairs], value)
            told.append(family)
    return _generated(told)


def _label(text: str) -> str:
    """Half a surrogate pair cannot be written as UTF-8, and nobody reads a label of a page."""
    whole = text.encode("utf-8", "replace").decode()
    return whole if len(whole) <= _LONGEST else whole[: _LONGEST - 3] + "..."


def _generated(families: list[Metric]) -> bytes:
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import generate_latest
    from prometheus_client.registry import Collector

    class Families(Collector):
        def collect(self) -> Iterable[Metric]:
            return families

    registry = CollectorRegistry()
    registry.register(Families())
    return generate_latest(registry)
