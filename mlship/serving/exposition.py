"""The text of `/metrics`: the names that Prometheus reads, made of the merged state of all workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from mlship.serving.state import State
from mlship.stats.sketches import ColumnSketch

CONTENT_TYPE = CONTENT_TYPE_LATEST

#: Upper ends of the latency histogram in seconds: nine a decade, from a linear model's to a router's patience.
SECONDS = tuple(
    round(step * 10.0**power, 6)
    for power in range(-4, 2)
    for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    if 2e-4 <= step * 10.0**power <= 30
)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
#: Feature columns that `/metrics` shows; `/sketches` has them all.
MAX_FEATURES = 200

_PROCESS = ProcessCollector(registry=None)


@dataclass(frozen=True, slots=True)
class Described:
    """What the server is, for the info metric."""

    model: str
    version: str
    digest: str
    policy_digest: str = ""


def process() -> tuple[float, dict[str, float]]:
    """CPU seconds that this process has used, and what it holds now by the names of Prometheus; empty off Linux."""
    values = {family.name: family.samples[0].value for family in _PROCESS.collect() if family.samples}
    values.pop("process_start_time_seconds", None)
    return values.pop("process_cpu_seconds", 0.0), values


def exposition(described: Described, state: State, started: float) -> bytes:
    """The metrics of a server in Prometheus' text format.

    Parameters
    ----------
    state
        Of all its workers together.
    started
        Unix time of the server's start.
    """
    registry = CollectorRegistry()
    registry.register(_Families([*_server(described, state, started), *_model(state)]))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _server(described: Described, state: State, started: float) -> Iterator[Metric]:
    counts, present = state.counts, state.present
    info = {
        "model": described.model,
        "version": described.version,
        "digest": described.digest,
        "policy_digest": described.policy_digest,
    }
    yield InfoMetricFamily("mlship_model", "The model version that this server answers with.", info)
    yield _counter("mlship_requests", "Answers to requests for predictions.", ["outcome"], counts["outcomes"].items())
    text = "From the headers of a request to its answer."
    yield _histogram("mlship_request_seconds", text, SECONDS, counts["seconds"], counts["seconds_sum"])
    yield _histogram("mlship_batch_rows", "Rows in one model call.", ROWS, counts["rows"], counts["rows_sum"])
    gauges = {
        "mlship_requests_in_flight": ("Requests for predictions that are not yet answered.", "in_flight"),
        "mlship_requests_waiting": ("Of these, requests that wait for a model call.", "waiting"),
        "mlship_workers": ("Workers that live.", "workers"),
        "mlship_workers_ready": ("Of these, workers whose model is loaded and that answer.", "ready"),
        "mlship_log_stopped": ("Workers whose prediction log has stopped, as when the disk is full.", "log_stopped"),
    }
    for name, (text, key) in gauges.items():
        yield GaugeMetricFamily(name, text, value=present[key])
    yield GaugeMetricFamily("mlship_ready", "1 when the server answers.", value=int(present["ready"] > 0))
    totals = {
        "mlship_requests_not_batched": ("Requests that went through MLflow's own parser.", counts["not_batched"]),
        "mlship_labels": ("Rows whose late label was joined with a prediction.", counts["labelled"]),
        "mlship_labels_wrong": ("Of these, the rows predicted wrongly.", counts["wrong"]),
        "mlship_rows_missed": ("Rows that came too fast to be noted at all.", counts["rows_missed"]),
        "mlship_rows_thinned": (
            "Rows whose features were not sketched, as others told enough.",
            counts["rows_thinned"],
        ),
        "mlship_log_lines": ("Lines written to the prediction log.", counts["log"]["lines"]),
        "mlship_log_bytes": ("Bytes written to the prediction log.", counts["log"]["bytes"]),
        "mlship_log_dropped": ("Lines that the prediction log did not take.", counts["log"]["dropped"]),
        "mlship_worker_deaths": ("Workers that died and were replaced.", counts["deaths"]),
        "process_cpu_seconds": ("CPU time of all workers, in seconds.", counts["cpu_seconds"]),
    }
    for name, (text, value) in totals.items():
        yield CounterMetricFamily(name, text, value=value)
    for name, value in present["process"].items():
        yield GaugeMetricFamily(name, "Of all workers together.", value=value)
    yield GaugeMetricFamily("process_start_time_seconds", "Start of the server, Unix time.", value=started)


def _model(state: State) -> Iterator[Metric]:
    predictions = CounterMetricFamily("mlship_predictions", "Rows by predicted class.", labels=["output", "class"])
    for output, classes in state.counts["classes"].items():
        for name, times in classes.items():
            predictions.add_metric([_text(output), _text(name)], times)
    yield predictions
    yield from _columns("mlship_prediction", "output", state.outputs, "Predictions")
    shown = dict(list(state.features.items())[:MAX_FEATURES])
    yield from _columns("mlship_feature", "feature", shown, "Cells")


def _columns(prefix: str, label: str, sketches: dict[str, ColumnSketch], what: str) -> Iterator[Metric]:
    cells = {name: sketch.count for name, sketch in sketches.items()}
    missing = {name: sketch.missing for name, sketch in sketches.items()}
    yield _counter(f"{prefix}_cells", f"{what}, by {label}.", [label], cells.items())
    yield _counter(f"{prefix}_missing", f"{what} that are null or NaN.", [label], missing.items())
    values = Metric(f"{prefix}_value", f"{what} that are numbers: quantiles since the start, to 1 %.", "summary")
    for name, sketch in sketches.items():
        numbers, labels = sketch.numbers, {label: _text(name)}
        if not numbers.count:
            continue
        for quantile in QUANTILES:
            value = numbers.quantile(quantile)
            values.add_sample(f"{prefix}_value", {**labels, "quantile": str(quantile)}, value or 0.0)
        values.add_sample(f"{prefix}_value_sum", labels, numbers.mean * numbers.finite)
        values.add_sample(f"{prefix}_value_count", labels, numbers.finite)
    yield values


def _counter(name: str, text: str, labels: Sequence[str], values: Iterable[tuple[str, float]]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for value, times in values:
        family.add_metric([_text(value)], times)
    return family


def _histogram(name: str, text: str, ends: Sequence[float], counts: Sequence[int], total: float) -> Metric:
    buckets, seen = [], 0
    for end, times in zip([*map(float, ends), float("inf")], counts, strict=True):
        seen += times
        buckets.append(("+Inf" if end == float("inf") else repr(end), float(seen)))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=total)


def _text(value: Any) -> str:
    """A label's value: half a surrogate pair cannot be written as UTF-8."""
    return str(value).encode("utf-8", "replace").decode()
