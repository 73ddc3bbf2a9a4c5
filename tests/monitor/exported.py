"""What mlship exports to Prometheus, asked of the code itself: names, the labels of each, and their values."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import get_args

from prometheus_client.parser import text_string_to_metric_families

from mlship.monitor.exposition import exposition, passes
from mlship.report.monitor_seen import FigureSeen
from mlship.serving.exposition import Described
from mlship.serving.observer import Answered
from mlship.serving.observing import alone
from mlship.types.monitoring import Kind, Trouble
from tests.report.monitored import BREACH

#: By name of a sample, the values of each of its labels.
Exported = dict[str, dict[str, set[str]]]

#: The router's, which `tests/engines/test_router_metrics.py` asks a real Envoy for.
ROUTER: Exported = {
    "envoy_mlship_requests": {
        "arm": {"v1-00000000-974806"},
        "code": {"200", "503", "0"},
        "attempts": {"1", "2"},
        "flags": {"-"},
        "patience": {"1000"},
        "alone": {""},
    },
}
ROUTER["envoy_mlship_latency_bucket"] = {**ROUTER["envoy_mlship_requests"], "le": {"0.5", "+Inf"}}
ROUTER["envoy_mlship_latency_count"] = ROUTER["envoy_mlship_latency_sum"] = ROUTER["envoy_mlship_requests"]
#: What `templates/prometheus/targets.py` adds to whatever is scraped of servers and routers.
TARGET = {"model", "version", "role"}
OF_TARGETS = {"job", "instance"}


def of(texts: Iterable[bytes]) -> Exported:
    """Names, labels and values in texts of Prometheus' format."""
    found: Exported = {}
    for text in texts:
        for family in text_string_to_metric_families(text.decode()):
            for sample in family.samples:
                # The parser gives every counter a name that ends with _total; Envoy's have none such.
                name = sample.name if sample.name.encode() in text else sample.name.removesuffix("_total")
                labels = found.setdefault(name, {})
                for label, value in sample.labels.items():
                    labels.setdefault(label, set()).add(value)
    return found


def monitor() -> Exported:
    """Of a pass that has seen everything that there is."""
    figure = FigureSeen("recall", ">= 0.6", 0.6, 0.5, 0.4, 0.6, 9, 0.5, 0.4, 0.6)
    seen = replace(
        BREACH,
        figures=(figure,),
        slices=(replace(figure, name="origin=JFK recall"),),
        troubles=(Trouble("registry", "away", 1.0),),
        incidents=tuple(replace(BREACH.open[0], kind=kind) for kind in get_args(Kind)),
        coverage=0.9,
        age=3600.0,
    )
    return of([exposition(seen), passes({0: 1, 2: 1}, (0, 1.0))])


def server() -> Exported:
    """Of a model server that has answered well and badly."""
    observing = alone(Described("m", "3", "sha256:1", "sha256:2"))
    try:
        for status in (200, 400, 503, 504, 500):
            observing.answered(
                Answered(f"id{status}", 1000.0, 0.003, status, features={"a": [1.5], "b": ["x"]}, predictions=[1.5])
            )
        observing.answered(Answered("last", 1000.0, 0.003, 200, features={"a": [1.5]}, predictions=[1]))
        answer = asyncio.run(observing.metrics())
        return of([bytes(answer.body)])
    finally:
        observing.close(5)


def everything() -> Exported:
    """The monitor's as they are; of servers and routers with the labels of their targets."""
    found = {name: {**labels, **_unknown(OF_TARGETS)} for name, labels in monitor().items()}
    for name, labels in {**server(), **ROUTER}.items():
        assert name not in found or name.startswith(("process_", "python_"))
        found[name] = {**_unknown((*TARGET, *OF_TARGETS)), **labels}
    return found


def _unknown(labels: Iterable[str]) -> dict[str, set[str]]:
    """Labels whose values only Prometheus knows."""
    return {label: set() for label in labels}
