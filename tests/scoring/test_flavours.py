"""What models of each kind answer in their process is what they answer by themselves, whatever the batches."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlship.errors import ModelFault
from mlship.home import Home
from mlship.policy.gates import SecurityGate
from mlship.registry import files
from mlship.scoring import answers, environment, flavour, memory, scorer
from mlship.scoring import session as scoring
from mlship.scoring.flavour import Model
from mlship.scoring.kept import Predictions, Writer, load
from mlship.types import ModelVersion

if TYPE_CHECKING:
    import pandas as pd

pytestmark = pytest.mark.slow
N = 700


def silent(_line: str) -> None:
    return


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    import pandas as pd

    rng = np.random.default_rng(3)
    frame = pd.DataFrame({f"f{i}": rng.normal(size=N) for i in range(4)})
    frame["kind"] = pd.Categorical(rng.choice(["a", "b", "c"], N))
    frame["text"] = rng.choice(["x", "y"], N)
    frame["count"] = rng.integers(0, 9, N)
    return frame.assign(f1=frame["f1"].where(frame["f1"] < 1))


@pytest.fixture(scope="module")
def label(table: pd.DataFrame) -> Any:
    return np.where(table["f0"] + np.random.default_rng(4).normal(size=N) > 0, "late", "in time")


def saved(directory: Path, save: Callable[..., Any], model: Any, rows: pd.DataFrame | None, **options: Any) -> Any:
    """A version of a model that MLflow has saved."""
    from mlflow.models import infer_signature

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = {} if rows is None else {"signature": infer_signature(rows)}
        save(model, path=str(directory), pip_requirements=["scikit-learn"], **signature, **options)
    return ModelVersion("m", "1", files.digest_of(directory), directory, inputs=files.signature_inputs(directory))


def asked(tmp_path: Path, version: ModelVersion, rows: pd.DataFrame, **section: Any) -> Predictions:
    home = Home(tmp_path / ".mlship")
    trust = SecurityGate(**section)
    return scoring.predict(version, rows, data_digest="d", home=home, progress=silent, section=trust)


def pipeline(last: Any) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    encoded = make_column_transformer((OneHotEncoder(), ["kind", "text"]), remainder=SimpleImputer())
    return make_pipeline(encoded, last)


def forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(7, random_state=0, max_depth=4)


def booster() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=9, random_state=0)


def line() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


@pytest.mark.parametrize("form", ["skops", "cloudpickle", "pickle"])
@pytest.mark.parametrize("last", [forest, booster, line])
def test_a_pipeline_answers_as_by_itself_and_as_mlflow_loads_it(
    tmp_path: Path, table: pd.DataFrame, label: Any, form: str, last: Callable[[], Any]
) -> None:
    import mlflow.sklearn

    model = pipeline(last()).fit(table, label)
    trees = [
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
        "numpy.dtype",
    ]
    options: dict[str, Any] = {"skops_trusted_types": trees} if form == "skops" else {}
    rows = table.astype({"kind": str})
    version = saved(tmp_path / "model", mlflow.sklearn.save_model, model, rows, serialization_format=form, **options)
    found = asked(tmp_path, version, table)
    np.testing.assert_array_equal(found.values, model.predict(table))
    assert found.scores is not None
    np.testing.assert_array_equal(found.scores.astype(float), model.predict_proba(table))
    np.testing.assert_array_equal(found.classes, ["in time", "late"])
    ours, mlflows = flavour.load(version.path), flavour._by_mlflow(version.path)
    np.testing.assert_array_equal(ours.predict(rows), mlflows.predict(rows))
    assert [(one.name, one.required, one.type.name) for one in ours.schema.inputs] == [
        (one.name, one.required, one.type.name) for one in mlflows.schema.inputs
    ]


def test_the_answer_is_the_same_in_any_slices(
    tmp_path: Path, table: pd.DataFrame, label: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, order and types; also where a slice has no gap, or only gaps."""
    import mlflow.sklearn

    model = pipeline(forest()).fit(table, label)
    version = saved(tmp_path / "model", mlflow.sklearn.save_model, model, None, serialization_format="cloudpickle")
    rows = table.assign(count=table["count"].astype(object).where(table.index > 200))
    whole = asked(tmp_path / "whole", version, rows)
    for size in (100, 37):
        monkeypatch.setattr(scoring, "BATCH", size)
        cut = asked(tmp_path / f"cut-{size}", version, rows)
        np.testing.assert_array_equal(cut.values, whole.values)
        np.testing.assert_array_equal(cut.scores, whole.scores)


def test_no_rows_are_no_predictions(tmp_path: Path, table: pd.DataFrame, label: Any) -> None:
    import mlflow.sklearn

    model = pipeline(forest()).fit(table, label)
    rows = table.astype({"kind": str})
    version = saved(tmp_path / "model", mlflow.sklearn.save_model, model, rows, serialization_format="pickle")
    found = asked(tmp_path, version, table.head(0))
    assert len(found.values) == 0
    assert found.scores is None


def test_a_model_logged_with_its_probabilities_tells_classes_too(
    tmp_path: Path, table: pd.DataFrame, label: Any
) -> None:
    import mlflow.sklearn

    model = pipeline(forest()).fit(table, label)
    version = saved(
        tmp_path / "model", mlflow.sklearn.save_model, model, table.astype({"kind": str}),
        pyfunc_predict_fn="predict_proba", serialization_format="pickle",
    )  # fmt: skip
    found = asked(tmp_path, version, table)
    np.testing.assert_array_equal(found.values, model.predict(table))
    np.testing.assert_array_equal(found.scores, model.predict_proba(table))


@pytest.mark.parametrize("face", ["classifier", "binary", "multiclass", "regressor"])
def test_lightgbm_with_and_without_its_scikit_learn_face(
    tmp_path: Path, table: pd.DataFrame, label: Any, face: str
) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    import mlflow.lightgbm

    numbers = table.select_dtypes("number").astype(float)
    target = {"regressor": table["f0"], "multiclass": table["count"] % 3}.get(face, label == "late")
    if face in ("classifier", "regressor"):
        kind = lightgbm.LGBMClassifier if face == "classifier" else lightgbm.LGBMRegressor
        model = kind(n_estimators=5, verbose=-1).fit(numbers, target)
    else:
        options = {"objective": face, "verbose": -1, **({"num_class": 3} if face == "multiclass" else {})}
        model = lightgbm.train(options, lightgbm.Dataset(numbers, np.asarray(target).astype(int)), 5)
    version = saved(tmp_path / "model", mlflow.lightgbm.save_model, model, numbers)
    found = asked(tmp_path, version, numbers)
    told = model.predict(numbers)
    if face == "classifier":
        np.testing.assert_array_equal(found.values, told)
        np.testing.assert_array_equal(found.scores, model.predict_proba(numbers))
    elif face == "regressor":
        np.testing.assert_array_equal(found.values, told)
        assert found.scores is None
    elif face == "binary":
        np.testing.assert_array_equal(found.scores, np.column_stack([1 - told, told]))
        np.testing.assert_array_equal(found.values, (told > 0.5).astype(int))
    else:
        np.testing.assert_array_equal(found.scores, told)
        np.testing.assert_array_equal(found.values, told.argmax(axis=1))


def test_a_python_model_of_the_teams_own(tmp_path: Path, table: pd.DataFrame) -> None:
    """Its class travels by value: it is loaded where the policy trusts code."""
    import mlflow.pyfunc
    import pandas as pd

    class Rule(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]  # mlflow is partly typed
        def predict(self, model_input: Any) -> Any:
            share = (model_input["f0"] > 0).to_numpy() * 0.5 + 0.25
            return pd.DataFrame({"in time": 1 - share, "late": share})

    def save(model: Any, path: str, **options: Any) -> None:
        mlflow.pyfunc.save_model(path, python_model=model, **options)

    version = saved(tmp_path / "model", save, Rule(), table[["f0"]])
    found = asked(tmp_path, version, table, allow_code=True)
    np.testing.assert_array_equal(found.values, np.where(table["f0"] > 0, "late", "in time"))
    np.testing.assert_array_equal(found.classes, ["in time", "late"])


def ask(predicted: Any, rows: int = 3) -> answers.Answer:
    import pandas as pd

    return answers.ask(Model(lambda _batch: predicted, None, None), pd.DataFrame({"a": range(rows)}))


def test_tables_of_predictions_are_taken_for_what_they_are() -> None:
    import pandas as pd

    named = pd.DataFrame({"prediction": [1, 0, 1], "probability": [0.9, 0.2, 0.7]})
    assert ask(named).values.tolist() == [1, 0, 1]
    assert ask({"predictions": ["a", "b", "a"]}).values.tolist() == ["a", "b", "a"]
    assert ask(pd.DataFrame({"x": [1.5, 2.5, 3.5]})).values.tolist() == [1.5, 2.5, 3.5]
    told = ask(pd.DataFrame({"0": [0.9, 0.2, 0.5], "1": [0.1, 0.8, 0.5]}))
    assert told.values.tolist() == [0, 1, 0]
    for unclear in (
        pd.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]}),
        pd.DataFrame({"a": ["x"] * 3, "b": ["y"] * 3}),
        np.full((3, 2), 0.5),
    ):
        with pytest.raises(ModelFault, match="gives 3 x 2 for 3 rows"):
            ask(unclear)
    with pytest.raises(ModelFault, match="type complex"):
        ask(np.array([1j, 2j, 3j]))


def test_where_two_classes_are_all_but_equal_the_models_word_counts(table: pd.DataFrame) -> None:
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(2, random_state=0).fit(table[["f0"]], np.arange(N) % 2)
    found = answers.ask(Model(model.predict, model, None), table[["f0"]])
    assert found.scores is not None
    assert (found.scores[:, 0] == 0.5).any()
    np.testing.assert_array_equal(found.values, model.predict(table[["f0"]]))


def test_predictions_may_change_their_type_on_the_way(tmp_path: Path) -> None:
    """Whole numbers, then fractions; texts, then longer ones."""
    writer = Writer(tmp_path / "numbers")
    writer.take({"rows": 5}, {})
    writer.take({"batch": 2}, {"values": np.array([1, 2], dtype=np.int8)})
    writer.take({"batch": 2}, {"values": np.array([300, 4])})
    writer.take({"batch": 1}, {"values": np.array([0.5])})
    writer.take({"done": True}, {})
    found = load(tmp_path / "numbers", 5)
    assert found is not None
    assert found.values.tolist() == [1, 2, 300, 4, 0.5]
    texts = Writer(tmp_path / "texts")
    texts.take({"rows": 3}, {})
    texts.take({"batch": 1}, {"values": np.array(["b"])})
    texts.take({"batch": 2}, {"values": np.array(["a longer one", "b"])})
    texts.take({"done": True}, {})
    found = load(tmp_path / "texts", 3)
    assert found is not None
    assert found.values.tolist() == ["b", "a longer one", "b"]
    assert load(tmp_path / "texts", 4) is None


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([{"values": np.zeros(3)}, {"values": np.zeros(2)}], "one prediction a row"),
        ([{"values": np.zeros(2)}], "answered about 2 of 4 rows"),
        ([{"values": np.zeros(2)}, {"values": np.array(["a", "b"])}], "text for some rows"),
        ([{"values": np.array(["a", "b"])}, {"values": np.zeros(2)}], "text for some rows"),
        ([{"values": np.zeros(2), "scores": np.zeros((2, 2))}, {"values": np.zeros(2)}], "some rows only"),
        (
            [{"values": np.zeros(2), "scores": np.zeros((2, 2))}, {"values": np.zeros(2), "scores": np.zeros((2, 3))}],
            "another number of classes",
        ),
    ],
)
def test_answers_that_do_not_fit_together_are_the_models_fault(
    tmp_path: Path, batches: list[Any], message: str
) -> None:
    writer = Writer(tmp_path / "out")
    writer.take({"rows": 4}, {})

    def take_all() -> None:
        for parts in batches:
            writer.take({"batch": 2}, parts)
        writer.take({"done": True}, {})

    with pytest.raises(ModelFault, match=message):
        take_all()


def test_the_environment_holds_no_secrets_and_what_libraries_need() -> None:
    own = {
        "PATH": "/bin", "LC_ALL": "C", "PYTHONPATH": "x", "MLFLOW_TRACKING_TOKEN": "s", "MLFLOW_TRACKING_URI": "http://h",
        "MLFLOW_REGISTRY_URI": "http://u:p@h", "AWS_PROFILE": "x", "OMP_NUM_THREADS": "3", "HF_HOME": "/hf",
        "CONDA_PREFIX": "/c",
    }  # fmt: skip
    passed = environment.minimal(2, ["HF_HOME", "NONE"], own)
    assert {name for name in own if name in passed} == {
        "PATH", "LC_ALL", "PYTHONPATH", "MLFLOW_TRACKING_URI", "OMP_NUM_THREADS", "HF_HOME", "CONDA_PREFIX",
    }  # fmt: skip
    assert passed["OMP_NUM_THREADS"] == "3"
    assert environment.minimal(2, own={})["OMP_NUM_THREADS"] == "2"


def test_the_page_lists_what_the_process_may_see() -> None:
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "models-process.md").read_text(encoding="utf-8")
    for name in (*environment._NAMES, *(f"{prefix}*" for prefix in environment._PREFIXES)):
        assert f"`{name}`" in page or name == "SYSTEMROOT", name


def test_memory_is_counted_with_children_and_shared_pages_once() -> None:
    import subprocess
    import sys

    code = "import os, time; x = bytearray(b'x' * 60_000_000); os.fork(); print('made', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.readline()
            family = memory.family(process.pid)
            assert len(family) == 2
            assert 55e6 < memory.held(process.pid) < 120e6
            assert sum(memory.held(one) for one in family) > 115e6
            assert memory.held_by_all(family) < 115e6
        finally:
            import os
            import signal

            os.killpg(process.pid, signal.SIGKILL)
    assert memory.held(process.pid) == 0
    assert scorer.BATCH == scoring.BATCH
