"""An evaluation as an MLflow run: linked to the model version both ways, and never left RUNNING."""

from __future__ import annotations

import json
import math
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.errors import RegistryError
from mlship.registry import baselines, files
from mlship.types import Evaluation, Measurement

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

#: The MLflow experiment that holds every evaluation.
EXPERIMENT = "mlship"
#: A batch of metrics that MLflow accepts at once.
_BATCH = 1000
#: Letters of a metric's name that MLflow accepts.
_LONGEST = 250


def log(
    client: MlflowClient,
    evaluation: Evaluation,
    policy_text: str,
    texts: dict[str, str],
    location: str | None,
    *,
    label: str = "",
) -> str:
    """Write the run; returns its id. `location` is where a new experiment keeps its files; None: the server decides.

    The version's tags name the run and what came of it: `mlship.evaluation` and `mlship.status`, or with a `label`, for
    a proof beside the evaluation, `mlship.LABEL` and `mlship.LABEL_status`. A baseline among the texts is named by
    both, see `baselines`.

    Raises whatever MLflow raises; the run is ended first, as FAILED, or as KILLED when a person interrupts.
    """
    version = evaluation.candidate.version
    begun = int(evaluation.started * 1000)
    kept = texts.get(baselines.NAME)
    run = client.create_run(
        _experiment(client, location),
        start_time=begun,
        run_name=f"{version.model} v{version.version}: {evaluation.status}",
        tags=_tags(evaluation) | ({baselines.TAG: baselines.digest(kept)} if kept is not None else {}),
    )
    run_id: str = run.info.run_id
    try:
        model_id = _link(client, run_id, evaluation)
        metrics = _metrics(evaluation, begun, model_id)
        for start in range(0, len(metrics), _BATCH):
            client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
        for name, text in ({"policy.yaml": policy_text} | texts).items():
            client.log_text(run_id, text, name)
        labels = {
            f"mlship.{label or 'evaluation'}": run_id,
            f"mlship.{label}_status" if label else "mlship.status": str(evaluation.status),
            f"mlship.{label}_policy_digest" if label else "mlship.policy_digest": evaluation.policy_digest,
        }
        for key, value in labels.items():
            if not evaluation.partial:  # a version is only labelled with what was asked of it in full
                client.set_model_version_tag(version.model, version.version, key, value)
        if kept is not None and not evaluation.partial:
            baselines.label(client, evaluation, run_id, kept)
        client.set_terminated(run_id, "FINISHED", end_time=begun + int(evaluation.seconds * 1000))
    except BaseException as error:
        with suppress(Exception):  # when the registry itself is gone, the first error tells it
            client.set_terminated(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    return run_id


def results(client: MlflowClient, run_id: str) -> list[tuple[str, str, str]]:
    """(gate, rule, status) of every result of the evaluation that a run keeps.

    Raises whatever MLflow raises, and ``RegistryError`` when the run holds something else.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(client.download_artifacts(run_id, "evaluation.json", scratch))
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            return [(str(one["gate"]), str(one["rule"]), str(one["status"])) for one in document["results"]]
        except (ValueError, KeyError, TypeError):
            raise RegistryError(
                "the evaluation that this run keeps cannot be read", where=f"run {run_id}", hint="evaluate again"
            ) from None


def _experiment(client: MlflowClient, location: str | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None and found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    if found is None:
        try:
            return str(client.create_experiment(EXPERIMENT, artifact_location=location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return _experiment(client, location)  # another process was faster
    return str(found.experiment_id)


def _tags(evaluation: Evaluation) -> dict[str, str]:
    version, champion = evaluation.candidate.version, evaluation.candidate.champion
    tags = {
        "mlship.evaluation": evaluation.id,
        "mlship.model": version.model,
        "mlship.version": version.version,
        "mlship.digest": version.digest,
        "mlship.policy_digest": evaluation.policy_digest,
        "mlship.data_digest": evaluation.data_digest,
        "mlship.status": str(evaluation.status),
    }
    if evaluation.partial:
        tags["mlship.partial"] = evaluation.partial
    if champion is not None:
        tags |= {"mlship.champion": champion.version, "mlship.champion_digest": champion.digest}
    return tags


def _link(client: MlflowClient, run_id: str, evaluation: Evaluation) -> str | None:
    """Make the version's logged model an input of the run; returns its id, or None when this registry has none."""
    from mlflow.entities import LoggedModelInput
    from mlflow.exceptions import MlflowException

    model_id = files.logged_model_id(evaluation.candidate.version.path)
    if model_id is None:
        return None
    try:
        client.get_logged_model(model_id)
    except MlflowException as error:
        # The files came from another registry, or this server is of MLflow 2: the tags still link both ways.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND"):
            return None
        raise
    client.log_inputs(run_id, models=[LoggedModelInput(model_id)])
    return model_id


def _metrics(evaluation: Evaluation, timestamp: int, model_id: str | None) -> list[Metric]:
    """The candidate's and the champion's measurements; only the candidate's belong to the candidate's logged model."""
    from mlflow.entities import Metric

    found: dict[str, Metric] = {}
    for result in evaluation.results:
        for arm, measurement in (("", result.measured), ("champion/", result.champion)):
            if measurement is None:
                continue
            for suffix, value in _values(measurement).items():
                key = _key(f"{arm}{result.gate}/{measurement.metric}", suffix)
                found[key] = Metric(key, value, timestamp, 0, model_id=None if arm else model_id)
    return list(found.values())


def _values(measurement: Measurement) -> dict[str, float]:
    values = {"": measurement.value, ".low": measurement.low, ".high": measurement.high}
    return {suffix: float(value) for suffix, value in values.items() if value is not None and math.isfinite(value)}


def _key(name: str, suffix: str = "") -> str:
    """A name that MLflow allows for a metric: its letters, 250 at most, and no part that a path would lose."""
    letters = re.sub(r"[^\w\-. :/]", "_", name)[: _LONGEST - len(suffix)]
    parts = ["_" * max(1, len(part)) if part in ("", ".", "..") else part for part in letters.split("/")]
    whole = "/".join(parts)
    return (whole if len(whole) + len(suffix) <= _LONGEST else letters.replace("/", "_")) + suffix
