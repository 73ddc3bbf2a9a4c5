"""Lint of the gates' sections: each contradiction is found once, at its place, and nothing else is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mlship.policy.load import check
from tests.policy.conftest import VALID, Changed

METRICS = "    recall: {min: 0.6, max_drop: 0.01}\n"
GATES = "  contract: {max_missing: 1%}\n"
TARGET = "target: late, "


@pytest.fixture
def with_files(policy_file: Path) -> Path:
    """The valid policy's directory, with functions, a program, a store and both sides of the skew gate in it."""
    home = policy_file.parent
    (home / "checks.py").write_text("import math\nfrom os import path as p\nLIMIT = 1\ndef fresh(): ...\n")
    (home / "open.py").write_text("from checks import *\n")
    (home / "broken.py").write_text("def f(:\n")
    (home / "package").mkdir()
    (home / "package" / "__init__.py").write_text("class Value: ...\n")
    (home / "run.sh").touch(mode=0o755)
    (home / "text.sh").touch(mode=0o644)
    (home / "store").mkdir()
    (home / "store" / "feature_store.yaml").touch()
    for side in ("online", "offline"):
        (home / f"{side[:-4]}.csv").write_text(f"flight,at,delay,{side}\n1,2013-07-01,3,4\n")
    return home


@pytest.mark.parametrize(
    ("metrics", "what"),
    [
        ("calibration_eror: {max: 1}", "'calibration_eror' is not a metric"),
        ("auroc: {min: 0.5}", "'auroc' is not a metric"),
        ("roc_auc: {min: 0.5, threshold: 0.4}", "'roc_auc' looks at the probabilities themselves"),
        ("log_loss: {max: 0.5, threshold: 0.4}", "'log_loss' looks at the probabilities themselves"),
        ("quantile_loss: {max: 1}", "'quantile_loss' needs its quantile"),
        ("mae: {max: 1, quantile: 0.5}", "only quantile_loss has a quantile"),
        ("mae: {max: 1, lower_is_better: true}", "for 'mae' it is known whether less is better"),
        ("own: {max: 1, function: delay_cost}", "'delay_cost' is not module:function"),
        ("own: {max: 1, function: 'a b:c'}", "'a b:c' is not module:function"),
        ("own: {function: 'checks:fresh'}", "'own' has no limit"),
        ("own: {min: 2, max: 1, function: 'checks:fresh'}", "min 2 is more than max 1"),
        ("accuracy: {min: 0.9}", "accuracy is the only metric"),
    ],
)
def test_a_metric_that_cannot_work_is_reported_once(
    changed: Changed, with_files: Path, metrics: str, what: str
) -> None:
    [fault] = changed(METRICS, f"    {metrics}\n")
    assert what in fault.what
    assert str(fault.severity) == ("warning" if "accuracy" in what else "error")


@pytest.mark.parametrize(
    ("metric", "hint"),
    [("auroc", "did you mean 'roc_auc'?"), ("ECE", "did you mean 'calibration_error'?"), ("recal", "mean 'recall'?")],
)
def test_a_metric_is_found_under_the_names_that_people_use(changed: Changed, metric: str, hint: str) -> None:
    [fault] = changed("recall: {", f"{metric}: {{")
    assert hint in fault.hint


@pytest.mark.parametrize(
    ("gate", "what"),
    [
        ("slices: {by: [distance], metric: recal, min: 0.1}", "'recal' is not a metric"),
        ("slices: {by: [distance], metric: recall}", "'slices' has no limit"),
        ("slices: {by: [distance], metric: recall, min: 0.5, max: 0.4}", "min 0.5 is more than max 0.4"),
        ("slices: {by: [distance, distance], metric: recall, min: 0}", "'distance' is listed twice"),
        ("slices: {by: [distanc], metric: recall, min: 0}", "data.evaluation has no column 'distanc'"),
        ("slices: {by: [distance], metric: quantile_loss, max: 1}", "'quantile_loss' needs its quantile"),
        ("fairness: {by: [tailnum]}", "'fairness' has no limit"),
        ("fairness: {by: [tail], min_ratio: 0.8}", "data.evaluation has no column 'tail'"),
        ("fairness: {by: [tailnum], metric: selection, min_ratio: 0.8}", "'selection' is not a metric"),
        ("robustness: {metric: error}", "'error' is not a metric"),
        ("agreement: {by: [nobody]}", "data.evaluation has no column 'nobody'"),
        ("value: {min_gain: 0}", "'value' does not know what a prediction earns"),
        ("value: {payoff: {tp: 1, fp: 0, fn: 0, tn: 0}, min_gain: null}", "'value' has no limit"),
        ("value: {payoff: {tp: 1, fp: 0, fn: 0, tn: 0}, function: 'checks:fresh', min: 0}", "told twice what"),
        ("value: {function: 'checks:fresh', threshold: 0.4, min: 0}", "a threshold is for payoff"),
        ("value: {function: 'checks:fresch', min: 0}", "checks.py has no function 'fresch'"),
        ("value: {function: 'chekcs:fresh', min: 0}", "there is no module 'chekcs' beside the policy"),
        ("value: {function: 'broken:f', min: 0}", "broken.py is not valid Python in line 1"),
        ("value: {function: 'package.inner:f', min: 0}", "there is no module 'package.inner'"),
        ("value: {function: fresh, min: 0}", "'fresh' is not module:function"),
        ("custom: {a: {}}", "'a' has nothing to run"),
        ("custom: {a: {function: 'checks:fresh', command: [true]}}", "item 1 of 'command'"),
        ("custom: {a: {function: 'checks:fresh', command: [ls]}}", "'a' has two things to run"),
        ("custom: {a: {function: checks}}", "'checks' is not module:function"),
        ("custom: {a: {command: [./nowhere.sh]}}", "there is no file ./nowhere.sh"),
        ("custom: {a: {command: [./text.sh]}}", "./text.sh may not be executed"),
        ("skew: {key: [flight]}", "'skew' needs offline and online"),
        ("skew: {offline: off.csv, key: [flight]}", "'skew' needs online"),
        ("skew: {offline: off.csv, online: on.csv}", "'skew' needs key"),
        ("skew: {offline: off.csv, online: nowhere.csv, key: [flight]}", "there is no file"),
        ("skew: {offline: off.csv, online: on.csv, key: [offline]}", "gates.skew.online has no column 'offline'"),
        ("skew: {offline: off.csv, online: on.csv, key: [flight], columns: [online]}", "gates.skew.offline has no"),
        ("skew: {offline: off.csv, online: on.csv, key: [flight, flight]}", "'flight' is listed twice"),
        ("skew: {offline: off.csv, online: on.csv, key: [flight], max_age: 1d}", "'max_age' needs time"),
        ("skew: {offline: {}, online: on.csv, key: [flight]}", "'offline' names no rows"),
        (
            "skew: {offline: off.csv, online: on.csv, key: [flight], "
            "feast: {repository: store, features: [a], entities: on.csv}}",
            "'skew' compares the two stores of feast, or offline with online",
        ),
        ("skew: {feast: {repository: stor, features: [a], entities: on.csv}}", "there is no directory stor"),
        ("skew: {feast: {repository: package, features: [a], entities: on.csv}}", "package has no feature_store.yaml"),
        ("skew: {feast: {repository: store, features: [a], entities: {}}}", "'entities' names no rows"),
        ("drift: {features: null, predictions: null, outcomes: null, max_unseen: null}", "'drift' judges nothing"),
        ("drift: {columns: [distance, distance]}", "'distance' is listed twice"),
        ("drift: {columns: [distanc]}", "data.evaluation has no column 'distanc'"),
        ("security: {allow_types: ['*']}", "'*' names no type"),
        ("security: {allow_types: ['os.system()']}", "'os.system()' names no type"),
        ("security: {allow_types: [a.B, a.B]}", "'a.B' is listed twice"),
        ("security: {memory: 1MB}", "must be at least 200MB, not '1MB'"),
    ],
)
def test_a_section_that_cannot_work_is_reported_once(changed: Changed, with_files: Path, gate: str, what: str) -> None:
    [fault] = changed(GATES, f"{GATES}  {gate}\n")
    assert what in fault.what
    assert str(fault.severity) == "error"
    assert fault.line == 10


@pytest.mark.parametrize(
    "gate",
    [
        "slices: {by: [distance, tailnum], metric: error, max_gap: 0.1}",
        "slices: {by: [distance], metric: calibration_error, max: 0.1}",
        "fairness: {by: [tailnum], max_difference: 0.1}",
        "fairness: {by: [tailnum], metric: false_positive_rate, min_ratio: 0.8}",
        "agreement: {}",
        "robustness: {}",
        "robustness: {metric: average_precision}",
        "drift: {}",
        "drift: {window: month, columns: [distance]}",
        "value: {payoff: {tp: 1, fp: -1, fn: 0, tn: 0}, min_gain: 0, threshold: 0.4}",
        "value: {function: 'checks:fresh', min: -5}",
        "value: {function: 'package:Value', min: -5}",
        "value: {function: 'open:anything', min: -5}",
        "custom: {a: {function: 'checks:p'}, b: {command: [python, -V]}, c: {command: [./run.sh]}}",
        "skew: {offline: off.csv, online: on.csv, key: [flight], time: at, max_age: 1d, columns: [delay]}",
        "skew: {feast: {repository: store, features: ['a:b'], entities: on.csv}}",
        "security: {allow_types: [sklearn.tree.*, numpy.dtype], memory: 2GB}",
    ],
)
def test_what_is_right_has_no_fault(changed: Changed, with_files: Path, gate: str) -> None:
    assert changed(GATES, f"{GATES}  {gate}\n") == []


@pytest.mark.parametrize(
    "metrics",
    [
        "accuracy: {min: 0.9}\n    f1: {min: 0.5}",
        "quantile_loss: {max: 1, quantile: 0.9}",
        "own: {max: 1, function: 'checks:fresh', lower_is_better: true, threshold: 0.5}",
        "recall: {min: 0.6, threshold: 0.4}",
        "brier_score: {max: 0.2}",
    ],
)
def test_metrics_that_work_have_no_fault(changed: Changed, with_files: Path, metrics: str) -> None:
    assert changed(METRICS, f"    {metrics}\n") == []


def test_other_gates_may_use_a_metric_of_ones_own(changed: Changed, with_files: Path) -> None:
    own = "    own: {max: 1, function: 'checks:fresh'}\n  slices: {by: [distance], metric: own, max: 1}\n"
    assert changed(METRICS, own) == []


def test_gates_that_need_the_label_are_told_in_one_fault(with_files: Path) -> None:
    more = (
        "  slices: {by: [distance], metric: recall, min: 0}\n  fairness: {by: [tailnum], min_ratio: 0.8}\n"
        "  value: {payoff: {tp: 1, fp: 0, fn: 0, tn: 0}, min: 0}\n  agreement: {min_better: 50%}\n"
        "  robustness: {max_drop: 0.1}\n  drift: {outcomes: {psi: 0.1}}\n"
    )
    path = with_files / "mlship.yaml"
    path.write_text(VALID.replace(TARGET, "").replace(METRICS, METRICS + more))
    faults = check(path)
    assert [fault.what for fault in faults if str(fault.severity) == "error"] == [
        "'metrics', 'slices', 'value', 'agreement.min_better' and 'robustness' need the column that holds the label",
        "'outcomes' needs data.evaluation.target",
    ]


def test_drift_needs_something_to_compare_with(with_files: Path) -> None:
    reference = "  reference: {path: spring.csv, time: time_hour}\n"
    path = with_files / "mlship.yaml"
    path.write_text(VALID.replace(reference, "").replace(GATES, f"{GATES}  drift: {{}}\n"))
    assert "'drift' needs data.reference" in [fault.what for fault in check(path)]


@pytest.mark.parametrize(
    ("gates", "errors"),
    [
        ("{security: {memory: 1GB}}", ["no gate: a promotion would rest on nothing"]),
        ("{drift: {}}", ["'drift' needs data.evaluation"]),
        ("{robustness: {}}", ["'robustness' needs data.evaluation"]),
        ("{custom: {a: {command: [ls]}}}", []),
        ("{skew: {offline: off.csv, online: on.csv, key: [flight]}}", []),
    ],
)
def test_any_gate_is_a_gate_but_security_alone_is_none(with_files: Path, gates: str, errors: list[str]) -> None:
    path = with_files / "p.yaml"
    path.write_text(f"version: 1\nmodel: m\nowner: {{team: a, contact: abc}}\ngates: {gates}\n")
    assert [fault.what for fault in check(path)] == errors


def test_loading_an_unscanned_model_is_a_risk_that_is_told(changed: Changed) -> None:
    [fault] = changed(GATES, f"{GATES}  security: {{scan: false}}\n")
    assert str(fault.severity) == "warning"
    assert "without a scan" in fault.what


def test_a_value_from_the_environment_is_never_shown(changed: Changed) -> None:
    secret = "hunter2" * 4
    gates = (
        "  slices: {by: ['${S}', '${S}'], metric: '${S}', min: 0}\n  value: {function: '${S}', min: 0}\n"
        "  custom: {a: {command: ['./${S}']}}\n  security: {allow_types: ['${S}!']}\n"
        "  skew: {offline: '${S}', online: '${S}', key: ['${S}'], time: '${S}'}\n"
    )
    faults = changed(GATES, GATES + gates, {"S": secret})
    assert len(faults) >= 8
    assert secret not in "\n".join([*map(str, faults), *(str(fault.as_dict()) for fault in faults)])


def test_a_function_is_read_and_never_run(changed: Changed, with_files: Path) -> None:
    (with_files / "checks.py").write_text("open('ran', 'w')\nraise SystemExit\ndef fresh(): ...\n")
    assert changed(GATES, f"{GATES}  custom: {{a: {{function: 'checks:fresh'}}}}\n") == []
    assert not Path("ran").exists()
    assert not (with_files / "ran").exists()


def test_all_of_it_is_quick(policy_file: Path, with_files: Path) -> None:
    gates = "".join(f"    m{i}: {{max: 1, function: 'checks:fresh'}}\n" for i in range(50))
    policy_file.write_text(VALID.replace(METRICS, METRICS + gates))
    check(policy_file)
    begun = time.perf_counter()
    assert check(policy_file) == []
    assert time.perf_counter() - begun < 0.4


def test_a_policy_that_judges_no_prediction_is_warned_about(changed: Changed, with_files: Path) -> None:
    """Files and rows in order say nothing about the model; without labels nobody expects a figure."""
    section = f"  metrics:\n{METRICS}"
    [fault] = changed(section)
    assert (str(fault.severity), fault.hint.partition(",")[0]) == ("warning", "add metrics")
    assert "no gate judges how good the model is" in fault.what
    for other in (
        "  custom: {own: {function: 'checks:fresh'}}\n",
        "  agreement: {max_changed: 5%}\n",
        "  slices: {by: [distance], metric: recall, min: 0.5}\n",
    ):
        assert changed(section, other) == [], other
    [broken] = changed(section, "  metrcs: {recall: {min: 0.5}}\n")
    assert "metrcs" in broken.what
    [still] = changed(section, "  robustness: {metric: recall}\n")
    assert "no gate judges" in still.what
