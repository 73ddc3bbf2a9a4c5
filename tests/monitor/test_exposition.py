"""The monitor's metrics: what a pass has seen, in as many series as anybody wants, and always readable."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from mlship.monitor.exposition import HELP, KINDS, MOST, SOURCES, exposition, passes
from mlship.report.monitor_seen import ColumnSeen, FigureSeen, Seen
from mlship.types.monitoring import Finding, Incident, Trouble
from tests.report.monitored import BREACH, NOW

Read = dict[str, dict[tuple[str, ...], float]]


def read(text: bytes) -> Read:
    """Values by name, and by the values of the labels but `model`, in the order of their names."""
    found: Read = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = tuple(value for name, value in sorted(sample.labels.items()) if name != "model")
            series = found.setdefault(sample.name.removeprefix("mlship_monitor_"), {})
            assert labels not in series, f"{sample.name} is told twice: Prometheus would refuse all"
            series[labels] = sample.value
    return found


def test_a_breach_is_told_with_its_figures_limits_and_evidence() -> None:
    told = read(exposition(BREACH))
    assert told["info"] == {("mlship.yaml", "3"): 1}
    assert told["last_pass_timestamp_seconds"] == {(): NOW}
    assert told["status"] == {("passed",): 0, ("failed",): 1, ("inconclusive",): 0, ("error",): 0}
    assert told["finding_value"]["psi", "predictions", "predictions"] == 0.164
    assert told["finding_limit"]["max", "psi", "predictions", "predictions"] == 0.1
    assert told["finding_limit"]["max", "missing", "features", "wind_speed"] == 0.05
    assert told["finding_limit"]["min", "recall", "performance", "recall"] == 0.6
    assert told["finding_limit"]["max", "days", "age", "model"] == 90
    evidence = told["finding_evidence"]
    assert evidence["max", "psi", "predictions", "predictions"] == pytest.approx(6.2 / 4.94)
    assert ("max", "days", "age", "model") not in evidence, "an age is known, not inferred"
    assert told["finding_breach"]["max", "psi", "features", "origin"] == 0
    assert sum(told["finding_breach"].values()) == 3
    assert set(told["incidents_open"]) == {(kind,) for kind in KINDS}
    assert told["incidents_open"]["features",] == 1
    assert told["incident_severity"]["predictions", "predictions"] == 2
    assert ("features", "visib") not in told["incident_severity"], "it is resolved"
    assert told["column_psi"]["dep_hour", "feature"] == 0.262
    assert ("predictions", "prediction") in told["column_psi"]


def test_performance_is_told_realised_estimated_and_as_it_was() -> None:
    recall = FigureSeen("recall", ">= 0.6", 0.66, 0.57, 0.55, 0.59, 812, 0.58, 0.52, 0.64)
    part = replace(recall, name="origin=New York JFK recall", realised=0.5, estimated=None)
    told = read(exposition(replace(BREACH, figures=(recall,), slices=(part,))))
    assert {key: value for key, value in told["performance"].items() if not key[2]} == {
        ("recall", "realised", ""): 0.57,
        ("recall", "estimated", ""): 0.58,
        ("recall", "baseline", ""): 0.66,
    }
    assert told["performance"]["recall", "realised", "origin=New York JFK"] == 0.5
    assert told["performance_low"]["recall", "estimated", ""] == 0.52
    assert told["performance_high"]["recall", "realised", ""] == 0.59
    assert told["performance_rows"]["recall", ""] == 812


def test_what_is_out_of_reach_is_told_by_source_and_nothing_else_is_invented() -> None:
    troubles = (
        Trouble("engine", "no answer", 50.0),
        Trouble("engine", "no answer from another", 40.0),
        Trouble("the weather", "rain", 60.0),
    )
    told = read(exposition(Seen("m", "1", "p.yaml", 100.0, 4.0, troubles=troubles)))
    assert told["trouble"] == {(source,): int(source in ("engine", "other")) for source in SOURCES}
    assert told["trouble_since_timestamp_seconds"] == {("engine",): 40.0, ("other",): 60.0}
    assert told["status"]["error",] == 1
    for name in ("label_coverage_ratio", "last_prediction_timestamp_seconds", "model_age_seconds", "finding_value"):
        assert name not in told, "what is not known is not zero"


def test_limits_are_in_the_unit_of_their_figure() -> None:
    about = (False, 0.0, False, None, "")
    findings = (
        Finding("age", "model", "days", 71.0, "<= 90d", *about),
        Finding("silence", "traffic", "seconds", 60.0, "<= 6h", *about),
        Finding("features", "a", "psi", 0.1, "", *about),
    )
    told = read(exposition(Seen("m", "1", "p.yaml", 0.0, 4.0, findings)))
    limits = {key[1]: value for key, value in told["finding_limit"].items()}
    assert limits == {"days": 90.0, "seconds": 21600.0}


def test_no_traffic_makes_more_series_than_a_person_could_look_at() -> None:
    many = range(1000)
    columns = tuple(ColumnSeen(f"column {n}", "numbers", 9, 0.1, 0.1, 0.1, 0.1, 0.1, float(n)) for n in many)
    findings = tuple(
        Finding("features", f"column {n}", "psi", 0.1, "psi <= 0.2", False, float(n), False, None, "") for n in many
    )
    slices = tuple(FigureSeen(f"tail=N{n} recall", realised=0.5, evidence=float(n)) for n in many)
    incidents = tuple(Incident(f"i{n}", "m", "1", "features", f"column {n}", 0.0, None, n % 4, "") for n in many)
    seen = Seen("m", "1", "p", 0.0, 4.0, findings, incidents, features=columns, slices=slices)
    told = read(exposition(seen))
    assert len(told["column_psi"]) == MOST["columns"]
    assert len(told["finding_value"]) == MOST["findings"]
    assert len(told["incident_severity"]) == MOST["incidents"]
    assert len([key for key in told["performance"] if key[1] == "realised"]) == MOST["slices"]
    assert ("column 999", "feature") in told["column_psi"], "the strongest evidence is kept"
    assert told["incidents_open"]["features",] == 1000, "the number is the whole one"


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.text(max_size=300), min_size=1, max_size=6),
    values=st.lists(st.floats(), min_size=1, max_size=6),
    model=st.text(max_size=200),
)
def test_any_name_and_any_number_can_be_read_again(names: list[str], values: list[float], model: str) -> None:
    """Quotes, line ends, halves of characters, names that are equal once they are cut, infinities."""
    findings = tuple(
        Finding("features", name, "psi", value, "psi <= 0.2", False, value, False, value, "")
        for name, value in zip(names, values, strict=False)
    )
    columns = tuple(ColumnSeen(name, "numbers", 1, values[0]) for name in names)
    told = read(exposition(Seen(model, names[0], names[-1], 1.0, 4.0, findings, features=columns)))
    assert told["info"]


def test_passes_are_counted_by_how_they_ended() -> None:
    assert read(passes({}, None)) == {}
    told = read(passes({0: 3, 3: 1}, (3, 1234.5)))
    assert told["passes_total"] == {("0",): 3, ("3",): 1}
    assert told["last_exit_code"] == {(): 3}
    assert told["last_exit_timestamp_seconds"] == {(): 1234.5}


def test_a_pass_and_how_passes_ended_are_one_text() -> None:
    """As `--listen` serves them: no family twice."""
    names = [
        line.split()[2]
        for line in (exposition(BREACH) + passes({1: 1}, (1, NOW))).decode().splitlines()
        if line.startswith("# TYPE")
    ]
    assert len(names) == len(set(names))
    assert set(names) - {f"mlship_monitor_{name}" for name in ("passes_total", "last_exit_code")} <= {
        *HELP,
        "mlship_monitor_last_exit_timestamp_seconds",
    }
