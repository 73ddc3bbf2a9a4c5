"""Brings a model directory to life in the process that is made for it, and says what it answers about a batch of rows.

A scikit-learn model is loaded as MLflow's own flavor would, by the same three calls, but without importing MLflow: that
saves seconds and a hundred megabytes. Every other model is loaded by MLflow.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from mlship.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

#: Column types of a signature that `casts` knows; others are left to MLflow.
_PLAIN = {"double", "float", "long", "integer", "boolean", "string", "datetime"}


@dataclass(frozen=True)
class Model:
    """A loaded model."""

    predict: Callable[[Any], Any]
    raw: Any
    """The estimator inside, where the flavor tells; else None."""
    schema: Any
    """MLflow's input schema, or something that looks like it to `casts.fit`; None when there is none."""
    predicts: str = "predict"
    """Which of the estimator's methods `predict` is."""


def imports(directory: Path) -> None:
    """Import what loading this model will need and no model's code, while its files are still being scanned."""
    found = _sklearn_flavor(directory)
    if found is None:
        needed = ["mlflow.pyfunc"]
    else:
        needed = ["skops.io"] if found["format"] == "skops" else ["cloudpickle", "sklearn.pipeline"]
    for name in ["numpy", "pandas", "pyarrow", *needed]:
        import_module(name)


def load(directory: Path) -> Model:
    """Load the model.

    Raises whatever loading raises, and ``ModelError`` when there is no file where the `MLmodel` file says.
    """
    found = _sklearn_flavor(directory)
    return _by_mlflow(directory) if found is None else _by_sklearn(directory, found)


def _by_mlflow(directory: Path) -> Model:
    import mlflow.pyfunc

    # The check of the model's requirements against what is installed only warns, and takes a second.
    model = mlflow.pyfunc.load_model(str(directory), suppress_warnings=True)
    try:
        raw = model.get_raw_model()
    except Exception:  # noqa: BLE001 - flavors without one raise one thing or another; there is nothing to ask then
        raw = None
    named = str(model.metadata.flavors.get("python_function", {}).get("predict_fn") or "predict")
    schema = model.metadata.get_input_schema()
    return Model(model.predict, raw, schema, named)


def _by_sklearn(directory: Path, found: dict[str, Any]) -> Model:
    path = directory / found["path"]
    if not path.resolve().is_relative_to(directory.resolve()):
        raise ModelError(f"{found['path']} lies outside of the model", hint="log the model again")
    if not path.is_file():
        raise ModelError(f"there is no file {found['path']} in the model", hint="log the model again")
    if found["format"] == "skops":
        import skops.io

        raw = skops.io.load(path, trusted=found["trusted"])
    else:
        import cloudpickle  # type: ignore[import-untyped]  # it ships no types; it reads plain pickles too

        with path.open("rb") as file:
            raw = cloudpickle.load(file)
    return Model(getattr(raw, found["predict"]), raw, found["schema"], found["predict"])


def _sklearn_flavor(directory: Path) -> dict[str, Any] | None:
    """How MLflow's scikit-learn flavor would load this model; None when anything about it is out of the ordinary."""
    import yaml

    try:
        document = yaml.load((directory / "MLmodel").read_text(encoding="utf-8"), Loader=_loader(yaml))
        flavors = document["flavors"]
        pyfunc, sklearn = flavors["python_function"], flavors["sklearn"]
        schema = _schema(document.get("signature") or {})
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None
    form = sklearn.get("serialization_format", "pickle")
    usual = pyfunc.get("loader_module") == "mlflow.sklearn" and form in ("pickle", "cloudpickle", "skops")
    # MLflow reads `data` where there is one; a server must not serve another file than the one that was judged.
    path = pyfunc.get("model_path")
    if pyfunc.get("data", path) != path or sklearn.get("pickled_model", path) != path:
        return None
    if not usual or schema is False or not isinstance(path, str) or pyfunc.get("code") or sklearn.get("code"):
        return None
    return {
        "format": form,
        "path": path,
        "trusted": sklearn.get("skops_trusted_types"),
        "predict": str(pyfunc.get("predict_fn") or "predict"),
        "schema": schema,
    }


def _loader(yaml: Any) -> Any:
    """The quick safe loader, where PyYAML was built with it."""
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _schema(signature: dict[str, Any]) -> Any:
    """The input columns as `casts.fit` asks for them; None without any, False when only MLflow can read them."""
    if signature.get("params"):
        return False
    columns = json.loads(signature.get("inputs") or "[]")
    if not columns:
        return None
    if not all(column.get("type") in _PLAIN and "name" in column for column in columns):
        return False
    inputs = [
        SimpleNamespace(
            name=column["name"], required=column.get("required", True), type=SimpleNamespace(name=column["type"])
        )
        for column in columns
    ]
    return SimpleNamespace(inputs=inputs, has_input_names=lambda: True)
