"""What the server tells Prometheus, in a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST

#: Seconds; from the half millisecond of a linear model to the patience of a router.
SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.006, 0.01, 0.015, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


def outcome(status: int) -> str:
    """Name the outcome of an /invocations answer: `ok`, `rejected` (the caller's fault) or `failed`."""
    if status < 400:
        return "ok"
    return "rejected" if status < 500 else "failed"


class Metrics:
    """Counters of one server."""

    def __init__(self, model: str, version: str, digest: str) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("mlship_model", "The model version that this server answers with.", registry=registry).info(
            {"model": model, "version": version, "digest": digest}
        )
        requests = Counter("mlship_requests", "Answers of /invocations, by outcome.", ["outcome"], registry=registry)
        self._requests = {name: requests.labels(name) for name in ("ok", "rejected", "failed")}
        self._seconds = Histogram(
            "mlship_request_seconds",
            "From the headers of a request to its answer.",
            buckets=SECONDS,
            registry=registry,
        )
        self._rows = Histogram("mlship_batch_rows", "Rows in one model call.", buckets=ROWS, registry=registry)
        self._as_mlflow = Counter(
            "mlship_requests_not_batched", "Requests that went through MLflow's own parser, alone.", registry=registry
        )
        self.in_flight = Gauge("mlship_requests_in_flight", "Requests not yet answered.", registry=registry)
        self.ready = Gauge("mlship_ready", "1 when the model is loaded and answers.", registry=registry)
        self.labels = Counter("mlship_labels", "Rows whose late label was joined with a prediction.", registry=registry)
        self.wrong = Counter("mlship_labels_wrong", "Of these, the rows predicted wrongly.", registry=registry)

    def answered(self, status: int, seconds: float) -> None:
        """Count one answer of /invocations."""
        self._requests[outcome(status)].inc()
        self._seconds.observe(seconds)

    def called(self, rows: int) -> None:
        """Count one model call of `rows` rows; 0 stands for a request that MLflow's parser handled."""
        if rows:
            self._rows.observe(rows)
        else:
            self._as_mlflow.inc()

    def text(self) -> bytes:
        """Return the exposition text."""
        return generate_latest(self.registry)
