"""Calls a model with a frame of the signature's types, without MLflow's checks where they would change nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

#: Loaders whose models see nothing of a call but its rows. Python models may ask for the prediction's context.
PLAIN = frozenset({"mlflow.sklearn", "mlflow.lightgbm", "mlflow.xgboost", "mlflow.catboost"})


def caller(model: PyFuncModel) -> Callable[[Any], Any]:
    """The quickest way to the model's predictions for a typed frame: MLflow's own, less what it would only confirm.

    `PyFuncModel.predict` holds the frame against the signature for each call, which takes longer than a small model.
    Rows that took the fast lane are of the signature's types by then (a property test compares the frames), so they
    can be handed to the flavor's own `predict`, if nothing else is to be done to them: no parameters, no type hints.
    """
    metadata = model.metadata
    flavor = getattr(model, "_predict_fn", None)
    plain = (
        callable(flavor)
        and metadata.flavors.get("python_function", {}).get("loader_module") in PLAIN
        and metadata.get_params_schema() is None  # type: ignore[no-untyped-call]  # mlflow is partly typed
        and not metadata._is_signature_from_type_hint()  # type: ignore[no-untyped-call]  # the same
        and not metadata._is_type_hint_from_example()  # type: ignore[no-untyped-call]  # the same
    )
    if not plain or flavor is None:
        return model.predict
    parameter = inspect.signature(flavor).parameters.get("params")
    return partial(flavor, params=None) if parameter and parameter.kind != parameter.VAR_KEYWORD else flavor
