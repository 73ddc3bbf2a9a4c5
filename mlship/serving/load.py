"""Brings a model directory to life, as fast as its imports allow."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

from mlship.errors import ModelError
from mlship.serving.scorer import Scorer


def load(model_dir: Path, on_call: Callable[[int], None]) -> tuple[Scorer, str]:
    """Load the pyfunc model of a directory and warm it up; return it with the version of MLflow.

    Raises
    ------
    ModelError
        There is no model, it cannot be loaded here, or it fails on its own input example.
    """
    where = str(model_dir)
    if not (model_dir / "MLmodel").is_file():
        raise ModelError(
            "there is no MLmodel file in this directory", where=where, hint="point --model-dir at an MLflow model"
        )
    # Importing and unpickling make millions of objects that stay: collecting in between finds nothing and costs a
    # quarter of the time; and what is loaded need never be looked through again.
    gc.disable()
    try:
        import mlflow.pyfunc
        from mlflow.version import VERSION

        os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"  # as MLflow's own server says to its flavors
        # The check against the model's requirements is the builder's: here it could only delay the start.
        model = mlflow.pyfunc.load_model(str(model_dir), suppress_warnings=True)
        scorer = Scorer(model, on_call=on_call)
        scorer.warm_up(model_dir)
    except ModelError as fault:
        raise ModelError(
            fault.what, where=where, hint="log the model with an input example that it can answer"
        ) from fault
    except Exception as raised:
        if os.environ.get("MLSHIP_DEBUG"):
            raise
        raise ModelError(
            f"the model cannot be loaded: {type(raised).__name__}: {raised}", where=where, hint=_hint(raised)
        ) from raised
    finally:
        gc.enable()
        gc.freeze()
    return scorer, VERSION


def _hint(raised: BaseException) -> str:
    if isinstance(raised, ImportError):
        return "install the model's requirements.txt beside mlship, or log the model without this dependency"
    return "set MLSHIP_DEBUG=1 for the traceback"
