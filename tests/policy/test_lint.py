"""Lint: parts that contradict each other, or ask for what is not there; and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.policy.faults import Severity
from mlship.policy.load import check
from mlship.policy.scorers import SCORERS
from tests.policy.conftest import VALID, Changed


@pytest.mark.parametrize(
    ("old", "new", "what", "severity"),
    [
        ("weight: 50%", "weight: 1%", "1% is not more than the step before, 1%", "error"),
        ("bake: {requests: 5000}", "bake: {}", "this step asks for nothing", "error"),
        ("bake: {requests: 5000}", "bake: {for: 0s, requests: 0}", "this step asks for nothing", "error"),
        ("for: 10m", "for: 30h", "30h is more than progress_deadline, 24h", "error"),
        (
            "labels: {max_ratio: 1.1}",
            "errors: null\n    timeouts: null\n    refusals: null\n    latency: null",
            "nothing is watched",
            "error",
        ),
        ("{min: 0.6, max_drop: 0.01}", "{}", "'recall' has no limit", "error"),
        ("{min: 0.6, max_drop: 0.01}", "{min: null}", "'recall' has no limit", "error"),
        ("{min: 0.6, max_drop: 0.01}", "{min: 0.6, max: 0.5}", "min 0.6 is more than max 0.5", "error"),
        ("recall: {", "recal: {", "'recal' is not a metric", "error"),
        ("path: july.csv", "path: july.csv, mlflow: {}", "names its rows 2 times, by path and mlflow", "error"),
        ("{max_missing: 1%}", "{columns: {distance: {min: 2, max: 1}}}", "min 2 is more than max 1", "error"),
        ("{max_missing: 1%}", "{columns: {distance: {type: string, min: 2}}}", "a string has no min or max", "error"),
        ("{max_missing: 1%}", "{columns: {distance: {values: []}}}", "no value is allowed", "error"),
        (
            "path: spring.csv, time: time_hour",
            "path: spring.csv",
            "'chronological', on by default, needs data.ref",
            "warning",
        ),
        ("flight-delay", "models:/flight-delay/1", "cannot contain '/' or ':'", "error"),
        ("owner:", "candidate: challenger\nowner:", "not an @alias, a version number, or latest", "error"),
        ("owner:", "candidate: 0\nowner:", "not an @alias, a version number, or latest", "error"),
        ("owner:", "champion: '7'\nowner:", "the champion must be an @alias", "error"),
        ("owner:", "champion: '@latest'\nowner:", "the champion must be an @alias", "error"),
        ("owner:", "candidate: '@champion'\nowner:", "candidate and champion are the same alias", "error"),
        ("127.0.0.1:8080", "127.0.0.1:65536", "there is no port 65536", "error"),
        ("127.0.0.1:8080", "127.0.0.1:0", "there is no port 0", "error"),
        ("127.0.0.1:8080", "127.0.0.1:80", "port 80 needs special rights", "warning"),
        ("127.0.0.1:8080", "127.0.0.256:8080", "there is no address 127.0.0.256", "error"),
        ("127.0.0.1:8080", "[::zz]:8080", "is not valid here", "error"),
        ("127.0.0.1:8080", "[1:::2]:8080", "there is no address [1:::2]", "error"),
        ("127.0.0.1:8080", "0.0.0.0:8080", "can be reached from other machines", "warning"),
        ("july.csv", "juli.csv", "there is no file", "error"),
        ("july.csv", "s3://bucket/july.csv", "only local files", "error"),
        ("july.csv", ".", "is a directory", "error"),
        ("july.csv", "mlship.yaml/x", "cannot be read", "error"),
        ("target: late", "target: lat", "this file has no column 'lat'", "error"),
        ("late, time: time_hour", "late, time: hour", "this file has no column 'hour'", "error"),
        ("[tailnum]", "[tailnumb]", "data.evaluation has no column 'tailnumb'", "error"),
        ("{max_missing: 1%}", "{columns: {distanc: {min: 0}}}", "data.evaluation has no column 'distanc'", "error"),
    ],
)
def test_a_contradiction_is_reported_once(changed: Changed, old: str, new: str, what: str, severity: str) -> None:
    [fault] = changed(old, new)
    assert what in fault.what
    assert fault.severity == severity


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("owner:", "candidate: 7\nowner:"),
        ("owner:", "candidate: latest\nowner:"),
        ("owner:", "candidate: '@next_one-2'\nowner:"),
        ("2027-06-30", "2020-01-01"),  # the ownership gate judges the date; the file is right
        ("[arr_time]", "[no_such_column]"),
        ("127.0.0.1:8080", "localhost:8080"),
        ("127.0.0.1:8080", "[::1]:8080"),
        ("weight: 50%", "weight: 100%"),
        ("    - {weight: 1%, bake: {for: 10m, requests: 500}}\n", ""),
        ("{min: 0.6, max_drop: 0.01}", "{max_drop: 0}"),
        ("recall: {min: 0.6,", "calibration_error: {max: 0.6,"),
        ("path: spring.csv, time: time_hour}", "path: spring.csv}\n  # x"),
    ],
)
def test_what_is_right_has_no_error(changed: Changed, old: str, new: str) -> None:
    assert [fault for fault in changed(old, new) if fault.severity is Severity.ERROR] == []


def test_gates_that_need_data_say_so(changed: Changed) -> None:
    data = VALID[VALID.index("data:") : VALID.index("gates:")]
    assert [fault.what for fault in changed(data, "")] == [
        f"'{gate}' needs data.evaluation" for gate in ("contract", "leakage", "metrics")
    ]


@pytest.mark.parametrize("gates", ["", "gates: {}\n", "gates: {contract: null}\n"])
def test_a_policy_without_a_gate_is_refused(tmp_path: Path, gates: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f"version: 1\nmodel: m\nowner: {{team: a, contact: abc}}\n{gates}")
    [fault] = check(path)
    assert fault.what == "no gate: a promotion would rest on nothing"


def test_a_gate_that_needs_the_label_says_so(changed: Changed) -> None:
    assert [(fault.what, str(fault.severity)) for fault in changed("target: late, ", "")] == [
        ("'metrics' needs the column that holds the label", "error"),
        ("'max_single_feature_auc', on by default, needs data.evaluation.target", "warning"),
    ]


def test_leakage_checks_asked_for_by_name_need_their_data(changed: Changed) -> None:
    """By name they are errors; those that are only on by default are warnings."""
    reference = "  reference: {path: spring.csv, time: time_hour}\n"
    assert sorted((fault.what, str(fault.severity)) for fault in changed(reference, "")) == [
        ("'chronological', on by default, needs data.reference", "warning"),
        ("'max_overlap', on by default, needs data.reference", "warning"),
    ]


def test_entity_overlap_needs_the_entity_in_both_files(changed: Changed, policy_file: Path) -> None:
    (policy_file.parent / "spring.csv").write_text("late,time_hour,plane\n")
    [fault] = changed("{unavailable: [arr_time]}", "{max_entity_overlap: 0}")
    assert fault.what == "data.reference has no column 'tailnum'"


def test_explicit_checks_without_reference_or_entity_are_errors(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a,b\n")
    path = tmp_path / "p.yaml"
    path.write_text(
        "version: 1\nmodel: m\nowner: {team: a, contact: abc}\ndata: {evaluation: {path: d.csv}}\n"
        "gates:\n  contract: {max_label_conflicts: 0}\n  leakage:\n    max_overlap: 0\n    chronological: true\n"
        "    max_entity_overlap: 0\n    max_single_feature_auc: 0.9\n"
    )
    faults = check(path)
    assert {fault.severity for fault in faults} == {Severity.ERROR}
    assert [(fault.line, fault.what) for fault in faults] == [
        (6, "label conflicts need data.evaluation.target"),
        (8, "'max_overlap' needs data.reference"),
        (9, "'chronological' needs data.reference"),
        (10, "'max_entity_overlap' needs data.reference"),
        (10, "'max_entity_overlap' needs data.entity"),
        (11, "'max_single_feature_auc' needs data.evaluation.target"),
    ]


@pytest.mark.slow
def test_the_listed_scorers_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import get_scorer_names

    assert sorted(SCORERS) == sorted(get_scorer_names())
