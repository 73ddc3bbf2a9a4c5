"""The demo's registry: four models of one question, each with a fate that the data earns."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlship.demo.flights import FEATURES, TARGET, in_hours, months

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

MODEL = "flight-delay"
_CATEGORIES = ["carrier", "origin", "dest"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one version of the model came to be."""

    version: str
    title: str
    months: tuple[int, int]
    features: tuple[str, ...] = FEATURES
    pipeline_in_hours: bool = False


RECIPES = (
    Recipe("1", "the champion, trained on January to March", (1, 3)),
    Recipe("2", "trained on January to June", (1, 6)),
    Recipe("3", "trained with the arrival time as a feature", (1, 6), (*FEATURES, "arr_time")),
    Recipe("4", "trained on a new pipeline that delivers delays in hours", (1, 6), pipeline_in_hours=True),
)


def write_data(frame: pd.DataFrame, directory: Path) -> None:
    """Write the files that the demo's policies name: training rows and July, from the old and the new pipeline."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, rows in (("2013-h1", months(frame, 1, 6)), ("2013-07", months(frame, 7, 7))):
        rows.to_parquet(directory / f"{name}.parquet", index=False)
        in_hours(rows).to_parquet(directory / f"{name}-new-pipeline.parquet", index=False)


def write_predictions(frame: pd.DataFrame, uri: str, version: str, directory: Path) -> None:
    """Write what a version says about the flights of July to November, as its log would have it."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    rows = months(frame, 7, 11)
    model = mlflow.sklearn.load_model(f"models:/{MODEL}/{version}")
    scores = model.predict_proba(rows[list(FEATURES)])[:, 1]
    log = rows[["time_hour", *FEATURES, TARGET]].assign(score=scores, id=rows["flight"] + rows["tailnum"])
    directory.mkdir(parents=True, exist_ok=True)
    log.to_parquet(directory / "2013-07-to-11.parquet", index=False)


def open_registry(uri: str, artifacts: Path) -> str:
    """Make the registered model; returns the experiment that its versions are logged to.

    `uri` is the MLflow tracking and registry URI; `artifacts` is where the model files go.
    """
    logging.getLogger("alembic").setLevel(logging.ERROR)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    # Trees grown by two threads on two busy cores wait for each other: one thread is up to ten times faster then.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.filterwarnings("ignore", module="mlflow")
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = mlflow.MlflowClient(uri, uri)
    client.create_registered_model(
        MODEL, description=f"Will this flight be more than 15 minutes late? Target: {TARGET}."
    )
    return str(client.create_experiment(MODEL, artifact_location=artifacts.as_uri()))


def register_twin(uri: str, version: str) -> str:
    """Register the files of an existing version once more; returns the new version's number."""
    import mlflow

    client = mlflow.MlflowClient(uri, uri)
    original = client.get_model_version(MODEL, version)
    twin = client.create_model_version(MODEL, str(original.source), run_id=original.run_id)
    return str(twin.version)


def point(uri: str, alias: str, version: str) -> None:
    """Point an alias at a version."""
    import mlflow

    mlflow.MlflowClient(uri, uri).set_registered_model_alias(MODEL, alias, version)


def register(recipe: Recipe, frame: pd.DataFrame, experiment: str) -> None:
    """Train a model on real flights and register it as the next version."""
    import mlflow
    from mlflow.models import infer_signature
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    rows = months(in_hours(frame) if recipe.pipeline_in_hours else frame, *recipe.months)
    features = rows[list(recipe.features)]
    model = make_pipeline(
        make_column_transformer(
            (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), _CATEGORIES),
            remainder="passthrough",
        ),
        HistGradientBoostingClassifier(max_iter=50, random_state=0),
    ).fit(features, rows[TARGET])
    # MLflow announces each version on stderr; the story does so itself.
    silence = contextlib.redirect_stderr(io.StringIO())
    with silence, mlflow.start_run(experiment_id=experiment, run_name=recipe.title):
        mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=MODEL,
            signature=infer_signature(features.head(), model.predict(features.head())),
            input_example=features.head(3),  # the server warms up on it
            pip_requirements=["scikit-learn", "pandas"],
            # MLflow's default format is skops, which wants to be told about the trees of a gradient booster.
            skops_trusted_types=["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"],
        )
