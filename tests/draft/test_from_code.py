"""A model that was logged from code: measured when a person trusts it, and told how to say so when not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import yaml

from mlship.draft.facts import Facts, Owner
from mlship.draft.measure import Asked, likely_task, measure
from mlship.draft.policy import draft
from mlship.home import Home
from mlship.registry.files import digest_of
from mlship.types import ModelVersion

CODE = """import mlflow
class Words(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return ["yes" if x > 0 else "no" for x in model_input["x"]]
mlflow.models.set_model(Words())
"""
MLMODEL = """flavors:
  python_function:
    loader_module: mlflow.pyfunc.loaders.code_model
    model_code_path: /elsewhere/words.py
"""


@pytest.fixture
def logged(tmp_path: Path) -> ModelVersion:
    """As MLflow 3 writes one: the file beside an MLmodel that names where it once lay."""
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "MLmodel").write_text(MLMODEL)
    (directory / "words.py").write_text(CODE)
    return ModelVersion("tickets", "1", digest_of(directory), directory)


def test_a_model_from_code_is_measured_once_its_code_is_trusted(tmp_path: Path, logged: ModelVersion) -> None:
    rows = "".join(f"{x},{'yes' if x > 0 else 'no'}\n" for x in range(-60, 60))
    (tmp_path / "rows.csv").write_text(f"x,label\n{rows}")
    asked, home = Asked(tmp_path / "rows.csv", "label"), Home(tmp_path / "home")
    refused = measure(asked, logged, home, lambda _: None)
    assert refused.trouble.endswith("read that code, and if you trust it draft again with --allow-code")
    assert (refused.task, refused.likely) == (None, "labels")
    trusted = measure(asked, logged, home, lambda _: None, allow_code=True)
    assert (trusted.trouble, trusted.task) == ("", "labels")
    assert [one.rule for one in trusted.results if one.gate == "metrics"] == ["balanced_accuracy min", "f1_macro min"]


def test_what_cannot_be_trusted_is_no_matter_of_code(tmp_path: Path, logged: ModelVersion) -> None:
    """A pickle that runs a program stays refused: the option is not the way out."""
    (logged.path / "python_model.pkl").write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
    (tmp_path / "rows.csv").write_text("x,label\n1,0\n2,1\n")
    bad = replace(logged, digest=digest_of(logged.path))
    found = measure(Asked(tmp_path / "rows.csv", "label"), bad, Home(tmp_path / "home"), lambda _: None)
    assert "posix.system" in found.trouble
    assert "--allow-code" not in found.trouble


def test_the_draft_says_that_code_is_trusted() -> None:
    facts = Facts("m", Owner(), date(2028, 2, 29))
    assert "security" not in yaml.safe_load(draft(facts))["gates"]
    assert yaml.safe_load(draft(replace(facts, allow_code=True)))["gates"]["security"] == {"allow_code": True}


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ([0, 1, 1], "binary"),
        ([True, False], "binary"),
        (["a", "b"], "labels"),
        ([1, 2, 3], "labels"),
        ([0.5, 1.5, 2.0], "numbers"),
    ],
)
def test_labels_tell_what_kind_of_metric_fits(labels: list[object], kind: str) -> None:
    import pandas as pd

    assert likely_task(pd.Series(labels)) == kind
