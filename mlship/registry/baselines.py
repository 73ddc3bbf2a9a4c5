"""The baseline of a model version, kept as `baseline.json` with its evaluation: written, found again, and verified."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import RegistryError
from mlship.types import Evaluation, Status
from mlship.types.monitoring import Baseline

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pydantic import TypeAdapter

#: The artifact of the evaluation's run.
NAME = "baseline.json"
#: Tag of run and version: the sha256 of the artifact; and of the version: the run that has it.
TAG, RUN = "mlship.baseline", "mlship.baseline_run"
#: Bytes of the largest that is read; a hundred columns have about ten million.
_LARGEST = 1 << 28


@dataclass(frozen=True, slots=True)
class Kept:
    """A baseline as the registry keeps it."""

    baseline: Baseline
    digest: str
    """`sha256:` of `baseline.json`, as in the tags and the ledger."""
    run: str
    """The MLflow run that has it."""


@cache
def _adapter() -> TypeAdapter[Baseline]:
    from pydantic import TypeAdapter

    return TypeAdapter(Baseline)


def dumps(baseline: Baseline) -> str:
    """JSON that `loads` reads back as the same baseline; raises ``ValueError`` for a number that JSON lacks."""
    return json.dumps(_adapter().dump_python(baseline), allow_nan=False, separators=(",", ":")) + "\n"


def loads(text: str) -> Baseline:
    """The baseline that `dumps` wrote; raises ``ValueError`` for anything else."""
    return _adapter().validate_json(text)


def digest(text: str) -> str:
    """`sha256:` of the artifact."""
    return f"sha256:{hashlib.sha256(text.encode('utf-8')).hexdigest()}"


def label(client: MlflowClient, evaluation: Evaluation, run_id: str, text: str) -> None:
    """Let the version's tags name this baseline, unless they name one of an evaluation that passed and this has not.

    Raises whatever MLflow raises.
    """
    version = evaluation.candidate.version
    if evaluation.status is not Status.PASSED:
        tags = client.get_model_version(version.model, version.version).tags
        before = tags.get(RUN)
        if before and client.get_run(before).data.tags.get("mlship.status") == str(Status.PASSED):
            return
    for key, value in ((RUN, run_id), (TAG, digest(text))):
        client.set_model_version_tag(version.model, version.version, key, value)


def find(client: MlflowClient, model: str, version: str) -> Kept:
    """The baseline that the version's tags name, if it is what they say.

    Raises ``RegistryError`` when there is none, its run or file is gone, or it is another than was kept; and whatever
    MLflow raises.
    """
    where = f"{model} version {version}"
    tags: dict[str, Any] = client.get_model_version(model, version).tags
    run_id, expected = tags.get(RUN), tags.get(TAG)
    if not run_id or not expected:
        what = "it has no baseline: it was evaluated under a policy without `monitor`, or not by mlship"
        raise RegistryError(what, where=where, hint=_again(version))
    text = _text(client, run_id, where, version)
    if digest(text) != expected:
        what = f"its baseline is not the one that was kept: {NAME} of run {run_id} was changed, damaged or swapped"
        raise RegistryError(what, where=where, hint=_again(version))
    try:
        baseline = loads(text)
    except ValueError:
        what = f"its baseline was made by another version of mlship, and cannot be read (run {run_id})"
        raise RegistryError(what, where=where, hint=_again(version)) from None
    if (baseline.model, baseline.version) != (model, version):
        other = f"{baseline.model} version {baseline.version}"
        raise RegistryError(f"its tags name the baseline of {other}", where=where, hint=_again(version))
    return Kept(baseline, expected, run_id)


def _again(version: str) -> str:
    return f"make one: mlship evaluate POLICY --candidate {version} (with `monitor` in the policy)"


def _text(client: MlflowClient, run_id: str, where: str, version: str) -> str:
    """The artifact; a run or file that is gone is told as such, and a registry that is away as MLflow does."""
    from mlflow.exceptions import MlflowException

    gone = RegistryError(f"its baseline is gone: run {run_id} has no {NAME}", where=where, hint=_again(version))
    try:
        if NAME not in {item.path for item in client.list_artifacts(run_id)}:
            raise gone
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(client.download_artifacts(run_id, NAME, scratch))
            if path.stat().st_size > _LARGEST:
                raise RegistryError(f"its baseline is too large to be one (run {run_id})", where=where)
            return path.read_bytes().decode("utf-8", "replace")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise gone from None
