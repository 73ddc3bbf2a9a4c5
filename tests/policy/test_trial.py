"""Files of policy tests: what is read, and that every fault names its place and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.gates.trials import Bench, Outcome
from mlship.policy.faults import Fault
from mlship.policy.schema import Policy
from mlship.policy.trial import TrialFile
from mlship.policy.trial_file import read
from mlship.types import Status

POLICY = Policy.model_validate(
    {
        "version": 1,
        "model": "flight-delay",
        "owner": {"team": "flight-ops", "contact": "flight-ops@example.com", "review_by": "2027-06-30"},
        "data": {"evaluation": {"path": "july.csv", "target": "late"}},
        "gates": {
            "contract": {"max_missing": "1%"},
            "metrics": {"recall": {"min": 0.6, "max_drop": 0.01}},
            "latency": {"rate": "100/s", "p99": "200ms", "memory": "600MB"},
        },
        "rollout": {
            "steps": [
                {"mirror": "100%", "bake": {"requests": 1000}},
                {"weight": "10%", "bake": {"for": "10m", "requests": 500}},
                {"approve": {}},
                {"weight": "50%", "bake": {"requests": 5000}},
            ],
            "guard": {"labels": {"max_ratio": 1.1}},
            "certify": {"errors": "2x"},
        },
    }
)
HEALTHY = """policy: mlship.yaml
given:
  contract: {max_missing: 0.5%, max_duplicates: 0, max_label_conflicts: 0}
  metrics:
    recall min: {value: 0.64, low: 0.62, high: 0.66, n: 3000}
    recall max_drop: {value: 0.01, low: 0.0, high: 0.02}
  latency:
    p99: {value: 120ms, high: 140ms, n: 3000}
    errors: 0
    memory: 400MB
tests:
  - name: it
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "it.test.yaml"
    path.write_text(text)
    return path


def outcome(tmp_path: Path, test: str) -> Outcome:
    found = read(written(tmp_path, HEALTHY + test))
    assert isinstance(found, TrialFile), [str(fault) for fault in found]
    done = Bench.of(POLICY, lambda path: tmp_path / path).run(found.trials[0], found.source)
    assert isinstance(done, Outcome), [str(fault) for fault in done]
    return done


def faults(tmp_path: Path, text: str) -> list[Fault]:
    found = read(written(tmp_path, text))
    if isinstance(found, list):
        return found
    done = [Bench.of(POLICY, lambda path: tmp_path / path).run(one, found.source) for one in found.trials]
    return [fault for one in done if isinstance(one, list) for fault in one]


@pytest.mark.parametrize(
    "test",
    [
        "    expect: {verdict: passed}",
        "    expect: {verdict: passed, metrics: passed, latency: {p99: passed}}",
        "    given: {metrics: {recall min: 0.5}}\n    expect: {verdict: failed, metrics: {recall min: failed}}",
        "    given: {metrics: {recall min: {value: 0.61, low: 0.59, high: 0.63}}}\n    expect: {verdict: inconclusive}",
        "    given: {metrics: {recall min: null}}\n    expect: {verdict: inconclusive, metrics: inconclusive}",
        "    given: {contract: {max_missing: 1%}}\n    expect: {contract: passed}",
        "    given: {latency: {p99: 250ms}}\n    expect: {latency: {p99: failed}}",
        "    given: {latency: {memory: 1GB}}\n    expect: {latency: {memory: failed}, verdict: failed}",
        "    champion: false\n    given: {metrics: {recall max_drop: null}}\n"
        "    expect: {verdict: passed, metrics: {recall max_drop: skipped}}",
        "    today: 2027-06-30\n    expect: {ownership: {review_by: passed}, verdict: passed}",
        "    today: 2027-07-01\n    expect: {ownership: {review_by: failed}, verdict: failed}",
        "    rollout: {stable: {requests: 9000, errors: 45}, canary: {requests: 1000, errors: 60}}\n"
        "    expect: {rollout: rollback}",
        "    rollout: {step: 2, stable: {requests: 9000, errors: 45}, canary: {requests: 1000, errors: 5}}\n"
        "    expect: {rollout: advance}",
        "    rollout: {step: 2, seconds: 1m, stable: {requests: 9000}, canary: {requests: 1000}}\n"
        "    expect: {rollout: hold}",
        "    rollout: {step: 1, stable: {requests: 2000, errors: 9}, canary: {requests: 2000, errors: 400}}\n"
        "    expect: {rollout: rollback}",
        "    rollout: {step: 4, stable: {requests: 20000, errors: 99}, canary: {requests: 20000, errors: 90}}\n"
        "    expect: {rollout: hold}",  # labels are watched, and there are none
        "    rollout: {step: 4, stable: {requests: 20000, errors: 99, labels: 900, wrong: 90}, "
        "canary: {requests: 20000, errors: 90, labels: 900, wrong: 80}}\n    expect: {rollout: promote}",
        "    rollout: {step: 4, stable: {requests: 9000, labels: 9000, wrong: 900}, "
        "canary: {requests: 9000, labels: 9000, wrong: 2000}}\n    expect: {rollout: rollback}",
        "    rollout: {stable: {requests: 9000, errors: 45, timeouts: 4}, "
        "canary: {requests: 1000, errors: 5, timeouts: 0}}\n    expect: {rollout: advance, verdict: passed}",
    ],
)
def test_figures_come_out_as_a_person_would_expect(test: str, tmp_path: Path) -> None:
    assert outcome(tmp_path, test).differences == ()


def test_what_comes_out_otherwise_is_told_with_the_judges_own_reason(tmp_path: Path) -> None:
    done = outcome(
        tmp_path,
        "    given: {metrics: {recall max_drop: {value: -0.03, low: -0.04, high: -0.02}}}\n"
        "    rollout: {stable: {requests: 900}, canary: {requests: 100}}\n"
        "    expect: {verdict: passed, metrics: {recall max_drop: passed, recall min: failed}, rollout: advance}",
    )
    told = [(one.what, one.expected, one.found) for one in done.differences]
    assert told == [
        ("verdict", Status.PASSED, Status.FAILED),
        ("metrics recall max_drop", Status.PASSED, Status.FAILED),
        ("metrics recall min", Status.FAILED, Status.PASSED),
        ("rollout", "advance", "hold"),
    ]
    assert done.differences[1].reason.endswith("the value itself is beyond the limit -0.01")
    assert done.differences[0].reason.startswith("metrics recall max_drop: difference of recall is -0.03")
    assert "100 of 500 requests" in done.differences[3].reason


@pytest.mark.parametrize(
    ("text", "line", "column", "what", "hint"),
    [
        ("", 1, 1, "the file is empty", "policy: mlship.yaml"),
        ("[]", 1, 1, "a file of policy tests must be a section", "policy, given, tests"),
        ("tests: []", 1, 1, "missing key 'policy'", "relative to this file"),
        ("policy: mlship.yaml", 1, 1, "missing key 'tests'", "a list"),
        ("policy: mlship.yaml\ntests: []", 2, 8, "'tests' must be a list of tests", "- {name"),
        ("policy: mlship.yaml\ntest: []", 2, 1, "unknown key 'test'", "did you mean 'tests'?"),
        ("policy: a\npolicy: b", 2, 1, "duplicate key 'policy'; the first is at 1:1", "keep one"),
        (HEALTHY, 12, 5, "missing key 'expect'", "verdict: passed"),
        (HEALTHY + "    expect: {}", 13, 13, "a test that expects nothing", "verdict: passed"),
        (HEALTHY + "    expect: {verdict: pass}", 13, 23, "'pass' is no verdict", "did you mean 'passed'?"),
        (HEALTHY + "    expect: {rollout: advance}", 13, 13, "belong together", "canary"),
        (
            HEALTHY + "    expect: {slices: passed}",
            13,
            14,
            "the policy has no gate 'slices'",
            "contract, metrics, latency",
        ),
        (
            HEALTHY + "    expect: {metric: passed}",
            13,
            14,
            "the policy has no gate 'metric'",
            "did you mean 'metrics'?",
        ),
        (HEALTHY + "    expect: {security: passed}", 13, 14, "no figure decides about 'security'", "mlship evaluate"),
        (HEALTHY + "    expect: {ownership: passed}", 13, 14, "a date decides about the ownership", "today"),
        (
            HEALTHY + "    expect: {metrics: {recal min: passed}}",
            13,
            24,
            "the policy has no rule 'recal min' of the gate 'metrics'",
            "did you mean 'recall min'?",
        ),
        (
            HEALTHY.replace("    errors: 0\n", "    errors: 0\n    p95: 100ms\n") + "    expect: {verdict: passed}",
            10,
            5,
            "the policy has no rule 'p95' of the gate 'latency'",
            "did you mean 'p99'?",
        ),
        (
            HEALTHY.replace("120ms", "120") + "    expect: {verdict: passed}",
            8,
            18,
            "'value': a duration needs a unit",
            "did you mean '120s' or '120ms'?",
        ),
        (
            HEALTHY.replace("0.5%", "0.5") + "    expect: {verdict: passed}",
            3,
            27,
            "'value': a percentage needs",
            "0.5%",
        ),
        (
            HEALTHY.replace("0.64", "64%") + "    expect: {verdict: passed}",
            5,
            25,
            "'value': must be a number",
            ">= 0.6",
        ),
        (
            HEALTHY.replace("0.64", "0.84") + "    expect: {verdict: passed}",
            5,
            25,
            "not inside its own interval",
            "low",
        ),
        (
            HEALTHY.replace("value: 0.64, ", "") + "    expect: {verdict: passed}",
            5,
            17,
            "a figure without a value",
            "null",
        ),
        (
            HEALTHY.replace("n: 3000}\n    recall", "m: 3}\n    recall") + "    expect: {verdict: passed}",
            5,
            54,
            "unknown key 'm'",
            "value, low",
        ),
        (
            HEALTHY + "    today: tomorrow\n    expect: {verdict: passed}",
            13,
            12,
            "'tomorrow' is not a date",
            "2027-06-30",
        ),
        (
            HEALTHY + "    champion: 3\n    expect: {verdict: passed}",
            13,
            15,
            "'champion' must be true or false",
            "first",
        ),
        (
            HEALTHY + "    rollout: {step: 9, stable: {}, canary: {}}\n    expect: {rollout: hold}",
            13,
            21,
            "the rollout has no step 9",
            "it has 4",
        ),
        (
            HEALTHY + "    rollout: {step: 3, stable: {}, canary: {}}\n    expect: {rollout: hold}",
            13,
            21,
            "step 3 waits",
            "bakes",
        ),
        (
            HEALTHY + "    rollout: {stable: {requests: 1, errors: 2}, canary: {}}\n    expect: {rollout: hold}",
            13,
            45,
            "more errors than requests",
            "",
        ),
        (
            HEALTHY + "    rollout: {seconds: 60, stable: {}, canary: {}}\n    expect: {rollout: hold}",
            13,
            24,
            "a duration needs a unit",
            "did you mean",
        ),
        (
            HEALTHY + "    expect: {verdict: passed}\n  - name: it\n    expect: {verdict: passed}",
            14,
            11,
            "a second test is called 'it'",
            "a name of its own",
        ),
    ],
)
def test_each_fault_names_its_place_and_the_way_out(  # noqa: PLR0917 - the columns of the table above
    text: str, line: int, column: int, what: str, hint: str, tmp_path: Path
) -> None:
    found = faults(tmp_path, text)
    assert found, "no fault"
    first = found[0]
    assert (first.line, first.col) == (line, column), str(first)
    assert what in first.what
    assert hint in first.hint


def test_one_fault_of_each_test_is_told_in_one_run(tmp_path: Path) -> None:
    text = (
        HEALTHY
        + "    expect: {verdict: pass}\n  - name: two\n    expects: {}\n  - name: three\n    today: x\n    expect: {}"
    )
    assert [fault.line for fault in faults(tmp_path, text)] == [13, 15, 18]
