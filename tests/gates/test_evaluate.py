"""One evaluation: rows are read once, one broken gate does not hide the others, Ctrl-C is not swallowed."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.errors import DataError, ModelError, ModelFault, ModelRefused
from mlship.gates import evaluate as module
from mlship.gates.evaluate import evaluate, new_id
from mlship.gates.table import GATES
from mlship.home import Home
from mlship.policy.gates import Gates
from mlship.policy.load import LoadedPolicy, load_policy
from mlship.types import Candidate, Status
from tests.gates.support import harmless, said

NOW = 1763690000.0
POLICY = """\
version: 1
model: m
owner: {team: t, contact: t@example.com, review_by: 2099-01-01}
data:
  evaluation: {path: rows.csv, target: y}
gates:
  contract: {}
  metrics: {recall: {min: 0.5}}
"""


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedPolicy:
    rng = np.random.default_rng(0)
    pd.DataFrame({"id": range(200), "x": rng.normal(size=200), "y": np.arange(200) % 2}).to_csv(
        tmp_path / "rows.csv", index=False
    )
    (tmp_path / "mlship.yaml").write_text(POLICY)
    return load_policy(tmp_path / "mlship.yaml")


def _evaluate(loaded: LoadedPolicy, score: Any, progress: Any = lambda _: None) -> Any:
    candidate = Candidate(harmless(loaded.path.parent / f"model-{time.monotonic_ns()}", "2", ("x",)), None)
    return evaluate(loaded, candidate, Home(loaded.path.parent / ".mlship"), progress, score=score, now=NOW)


def _right(_versions: Any, rows: pd.DataFrame, _digest: str) -> Any:
    return (said((rows["id"] % 2) * 0.8 + 0.1),)


def test_every_gate_is_judged_and_announced(loaded: LoadedPolicy) -> None:
    """The evaluation carries its digests; progress names each step; the model never sees the labels."""
    steps: list[str] = []
    seen: list[pd.DataFrame] = []
    judged = [gate.name for gate in GATES if gate.name in {"ownership", "security", "contract", "metrics"}]

    def score(versions: Any, rows: pd.DataFrame, digest: str) -> Any:
        seen.append(rows)
        return _right(versions, rows, digest)

    found = _evaluate(loaded, score, steps.append)
    assert found.status is Status.PASSED
    assert found.policy_digest == loaded.digest
    assert found.data_digest.startswith("sha256:")
    assert found.started == NOW
    assert steps == ["reading rows.csv", *(f"judging {name}" for name in judged)]
    assert [list(rows.columns) for rows in seen] == [["id", "x"]]


def test_an_error_in_a_gate_is_a_result_and_the_others_are_judged(loaded: LoadedPolicy) -> None:
    """A model that cannot be loaded, and a gate that breaks altogether."""

    def unloadable(*_: Any) -> Any:
        raise ModelError("it does not load", where="m 2", hint="log it again")

    found = _evaluate(loaded, unloadable)
    assert found.status is Status.ERROR
    (broken,) = [result for result in found.results if result.status is Status.ERROR]
    assert (broken.gate, broken.reason) == ("metrics", "m 2: it does not load; log it again")
    assert {"ownership", "contract"} <= {r.gate for r in found.results if r.status is Status.PASSED}

    def absurd(*_: Any) -> Any:
        return (object(),)

    (broken,) = [result for result in _evaluate(loaded, absurd).results if result.status is Status.ERROR]
    assert "AttributeError" in broken.reason


def test_a_model_that_fails_has_failed_and_a_refused_one_decides_nothing(loaded: LoadedPolicy) -> None:
    """A crash of the candidate is the candidate's; one of the champion, or a model that was not loaded, is not."""

    def outcome(error: ModelError) -> tuple[str, Status, str]:
        def score(*_: Any) -> Any:
            raise error

        (found,) = [result for result in _evaluate(loaded, score).results if result.gate == "metrics"]
        return found.rule, found.status, found.reason

    crashed = ModelFault("the model's process crashed (SIGSEGV)", where="m version 2", hint="it wrote nothing")
    assert outcome(crashed) == (
        "model",
        Status.FAILED,
        "m version 2: the model's process crashed (SIGSEGV); it wrote nothing",
    )
    assert outcome(ModelFault("crashed", where="m version 1"))[1] is Status.ERROR
    refused = outcome(ModelRefused("the model is not loaded: m.pkl needs posix.system", where="m version 2"))
    assert refused == ("model", Status.INCONCLUSIVE, "m version 2: the model is not loaded: m.pkl needs posix.system")


def test_an_interrupt_is_not_swallowed(loaded: LoadedPolicy) -> None:
    """Ctrl-C while a model is scored ends the evaluation."""

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _evaluate(loaded, interrupted)


def test_rows_that_cannot_be_read_end_the_evaluation(loaded: LoadedPolicy) -> None:
    """There is nothing to judge: one message, no half evaluation."""
    loaded.resolve("rows.csv").unlink()
    with pytest.raises(DataError, match="no such file"):
        _evaluate(loaded, _right)


def test_a_policy_without_a_gate_for_the_model_proves_nothing(loaded: LoadedPolicy) -> None:
    """An owner alone does not make a model fit for production."""
    bare = replace(loaded, policy=loaded.policy.model_copy(update={"gates": Gates()}))
    found = _evaluate(bare, _right)
    assert found.status is Status.INCONCLUSIVE
    assert found.results[-1].reason == "the policy has no gate that looks at the model or its data"


def test_predictions_are_asked_for_once(loaded: LoadedPolicy) -> None:
    """Several metrics, one scoring; a policy without metrics, none."""
    asked: list[int] = []

    def score(versions: Any, rows: pd.DataFrame, digest: str) -> Any:
        asked.append(len(versions))
        return _right(versions, rows, digest)

    loaded.path.write_text(POLICY.replace("{recall: {min: 0.5}}", "{recall: {min: 0.5}, precision: {min: 0.5}}"))
    _evaluate(load_policy(loaded.path), score)
    assert asked == [1]


def test_names_of_evaluations_sort_by_time() -> None:
    """And never repeat."""
    names = [new_id(NOW + i / 1000) for i in range(5)]
    assert names == sorted(names)
    assert new_id(NOW) != new_id(NOW)
    assert module.SEED  # fixed: the same rows give the same figures


def _watched(loaded: LoadedPolicy) -> LoadedPolicy:
    loaded.path.write_text(POLICY + "monitor: {predictions: {psi: 0.1}}\n")
    return load_policy(loaded.path)


def test_a_policy_with_monitor_gets_the_baseline(loaded: LoadedPolicy) -> None:
    """As one more rule of a full evaluation; of a partial one there is none."""
    steps: list[str] = []
    found = _evaluate(_watched(loaded), _right, steps.append)
    assert found.status is Status.PASSED
    assert (found.results[-1].gate, found.results[-1].rule) == ("monitor", "baseline")
    assert steps[-1] == "making the baseline"
    assert found.baseline is not None
    assert (found.baseline.rows, found.baseline.made, found.baseline.policy_digest) == (200, NOW, found.policy_digest)
    candidate = Candidate(harmless(loaded.path.parent / "model-again", "2", ("x",)), None)
    home = Home(loaded.path.parent / ".mlship")
    for only, besides in ((("metrics",), ""), ((), "it was compared with 1, not with @champion")):
        partial = evaluate(
            _watched(loaded), candidate, home, lambda _: None, score=_right, now=NOW, only=only, besides=besides
        )
        assert partial.baseline is None
        assert "monitor" not in {result.gate for result in partial.results}
    assert partial.partial == "it was compared with 1, not with @champion"


def test_a_baseline_that_cannot_be_made_is_an_error_and_loses_nothing(
    loaded: LoadedPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promotion without one could not be watched; the gates' results are all there, and the reason."""
    watched = _watched(loaded)

    def unloadable(*_: Any) -> Any:
        raise ModelError("it does not load", where="m 2")

    found = _evaluate(watched, unloadable)
    reasons = {result.gate: result.reason for result in found.results if result.status is Status.ERROR}
    assert reasons == {"metrics": "m 2: it does not load", "monitor": "m 2: it does not load"}
    assert found.baseline is None

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("in some corner")

    monkeypatch.setattr("mlship.gates.baseline.make.make", broken)
    found = _evaluate(watched, _right)
    assert found.status is Status.ERROR
    (failed,) = [result for result in found.results if result.status is Status.ERROR]
    assert (failed.gate, failed.rule, failed.reason) == ("monitor", "baseline", "ZeroDivisionError: in some corner")
