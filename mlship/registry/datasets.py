"""A dataset that was logged with an MLflow run, as a local file whose bytes are still the ones that were logged."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from mlship.errors import DataError, StateError
from mlship.home import Home
from mlship.policy.data import LoggedDataset
from mlship.types import ModelVersion

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Dataset

_CONTEXT = "mlflow.data.context"
#: A digest that MLflow made of a pandas frame; and of how many rows.
_PANDAS_DIGEST = re.compile(r"[0-9a-f]{8}")
_DIGESTED = 10_000
#: A CSV beyond this is not read a second time to compare digests.
_MOST_BYTES = 200_000_000
#: Sources that name no file, and what to do about each.
_NO_FILE = {
    "code": "it was logged without a source: log it with mlflow.data.from_pandas(..., source=PATH)",
    "hugging_face": "export it to Parquet, and give that by data.*.path",
    "delta_table": "export it to Parquet, and give that by data.*.path",
    "spark": "export it to Parquet, and give that by data.*.path",
    "databricks-uc-table": "export it to Parquet, and give that by data.*.path",
}


def fetch(
    client: MlflowClient, which: LoggedDataset, version: ModelVersion, home: Home, safe: Callable[[str], str]
) -> Path:
    """The local file of the dataset that `which` names among the inputs of its run; by default the version's own run.

    A local source is used where it is; any other is downloaded anew, for only the bytes that are handed out now can
    tell whether they are still those that were logged. MLflow's digest is compared where the file, read as pandas reads
    it, has the columns, types and number of rows that were logged.

    Raises ``DataError`` when there is no such dataset, or several, or no file can be got from it, or it has changed
    since; and whatever MLflow raises when the run cannot be read.
    """
    run_id = which.run or version.run_id
    where = f"{version.model} version {version.version}"
    if run_id is None:
        hint = "name one: data.*.mlflow.run"
        raise DataError("the version names no run, so no dataset was logged with it", where=where, hint=hint)
    found = _choose(client, which, run_id)
    path = _file(found, run_id, home, safe)
    _compare(found, path)
    return path


def _choose(client: MlflowClient, which: LoggedDataset, run_id: str) -> Dataset:
    """The one dataset of the run that fits the context and the name."""
    from mlflow.exceptions import MlflowException

    where = f"run {run_id}"
    try:
        given_to_run = client.get_run(run_id).inputs
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise DataError("there is no such run", where=where, hint="was it deleted? check data.*.mlflow.run") from None
    logged = {}
    for given in given_to_run.dataset_inputs if given_to_run else []:
        context = next((tag.value for tag in given.tags if tag.key == _CONTEXT), "")
        logged[f"{given.dataset.name} ({context or 'no context'}, {given.dataset.digest})"] = (context, given.dataset)
    if not logged:
        hint = "log one: mlflow.log_input(mlflow.data.from_pandas(frame, source=PATH), context='evaluation')"
        raise DataError("no dataset was logged with the run", where=where, hint=hint)
    fitting = [
        dataset
        for context, dataset in logged.values()
        if which.context in (None, context) and which.name in (None, dataset.name)
    ]
    listed = ", ".join(sorted(logged))
    wanted = " and ".join(
        f"{key} '{value}'" for key, value in (("context", which.context), ("name", which.name)) if value is not None
    )
    if not fitting:
        raise DataError(f"no dataset of the run has {wanted}", where=where, hint=f"it has: {listed}")
    if len(fitting) > 1:
        what = f"{len(fitting)} datasets of the run have {wanted}" if wanted else "the run has several datasets"
        raise DataError(what, where=where, hint=f"choose by context and name: {listed}")
    return fitting[0]


def _file(dataset: Dataset, run_id: str, home: Home, safe: Callable[[str], str]) -> Path:
    """The file that the dataset's source names; downloaded, unless it is on this machine."""
    where = f"dataset '{dataset.name}' of run {run_id}"
    if hint := _NO_FILE.get(dataset.source_type):
        raise DataError(f"its source is '{dataset.source_type}', which holds no rows", where=where, hint=hint)
    location = _location(dataset)
    if dataset.source_type == "local":
        path = Path(unquote(urlparse(location).path) if location.startswith("file:") else location).expanduser()
        if not path.exists():
            hint = "a relative path starts at the directory of this command" if not path.is_absolute() else ""
            hint = hint or "was it moved, or logged on another machine? give the rows by data.*.path"
            raise DataError(f"its source, {path}, is not there", where=where, hint=hint)
        return _only_file(path.absolute(), where)
    return _downloaded(dataset, home.ensure(home.cache / "datasets") / f"{run_id}-{dataset.digest}", where, safe)


def _location(dataset: Dataset) -> str:
    """The URI of a source, as MLflow writes it; empty when it has none."""
    try:
        source = json.loads(dataset.source)
    except ValueError:
        return ""
    return str(source.get("uri") or source.get("url") or "") if isinstance(source, dict) else ""


def _downloaded(dataset: Dataset, target: Path, where: str, safe: Callable[[str], str]) -> Path:
    from mlflow.data import get_source

    shutil.rmtree(target, ignore_errors=True)
    try:
        target.mkdir(parents=True)
        source: Any = get_source(dataset)  # its base class does not promise that `load` takes a directory
        loaded = source.load(str(target))
    except OSError as error:
        if not isinstance(error, ConnectionError) and error.filename is not None:
            raise StateError(f"cannot keep a copy of the dataset: {error.strerror}", where=str(target)) from error
        raise _unfetched(dataset, where, safe, error) from None
    except Exception as error:  # noqa: BLE001 - every kind of source raises exceptions of its own, or lacks its package
        raise _unfetched(dataset, where, safe, error) from None
    if not isinstance(loaded, str | Path):
        what = f"its source is '{dataset.source_type}', which gives no file but {type(loaded).__name__}"
        raise DataError(what, where=where, hint="export it to Parquet, and give that by data.*.path")
    return _only_file(Path(loaded), where)


def _unfetched(dataset: Dataset, where: str, safe: Callable[[str], str], error: Exception) -> DataError:
    location, _, signature = _location(dataset).partition("?")  # which may let anybody in
    text = str(error).replace(signature, "***") if signature else str(error)
    cause = " ".join(safe(text).split())[:200] or type(error).__name__
    location = safe(location) or dataset.source_type
    hint = "was it deleted, or is its storage out of reach? else give the rows by data.*.path"
    return DataError(f"its source {location} cannot be fetched: {cause}", where=where, hint=hint)


def _only_file(path: Path, where: str) -> Path:
    """The file itself, or the only one in a directory but for what writers leave beside it (`_SUCCESS`)."""
    if path.is_file():
        return path
    files = [it for it in sorted(path.rglob("*")) if it.is_file() and not it.name.startswith(("_", "."))]
    if len(files) != 1:
        hint = f"give them by data.*.path as a glob: {path}/**/*.parquet"
        raise DataError(f"its source is a directory of {len(files):,} files", where=where, hint=hint)
    return files[0]


def _compare(dataset: Dataset, path: Path) -> None:
    """Raise ``DataError`` when the file is not what was logged, where MLflow's digest can tell.

    That digest is of a pandas frame: of its first 10,000 rows (texts and numbers), its number of rows and its columns.
    A frame that was changed between reading and logging as a rule tells by its types or its number of rows; then, and
    for a digest that was given by hand, nothing is compared.
    """
    import numpy as np
    import pandas as pd
    from mlflow.data.digest_utils import get_normalized_md5_digest

    try:
        rows = json.loads(dataset.profile or "{}").get("num_rows")
        logged = [
            (it["name"], it["type"], it.get("required")) for it in json.loads(dataset.schema or "{}")["mlflow_colspec"]
        ]
    except (ValueError, AttributeError, TypeError, KeyError):
        return
    if not _PANDAS_DIGEST.fullmatch(dataset.digest) or (found := _head(path)) is None:
        return
    head, count = found
    if count != rows or _types(head) != [(name, kind) for name, kind, _ in logged]:
        return
    whole = [name for name, kind, required in logged if kind == "string" and required]
    chosen = pd.Index(whole, dtype=object).union(head.select_dtypes(include=[np.number]).columns.astype(object))
    elements = [pd.util.hash_pandas_object(head[chosen]).to_numpy(), np.int64(count)]
    ours = get_normalized_md5_digest([*elements, *(str(name).encode() for name in head.columns)])
    if ours != dataset.digest:
        raise DataError(
            f"these are not the rows that were logged: MLflow's digest was {dataset.digest}, and is {ours} now",
            where=str(path),
            hint="was the file overwritten, or were values changed before they were logged? give it by data.*.path",
        )


def _head(path: Path) -> tuple[pd.DataFrame, int] | None:
    """The first rows as pandas reads them, and the number of all; None for a file that it may read in several ways."""
    import pandas as pd
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as raw:
            if raw.read(4) == b"PAR1":
                file = pq.ParquetFile(raw)
                batches = file.iter_batches(batch_size=_DIGESTED)
                first = next(batches, None)
                frame = file.schema_arrow.empty_table().to_pandas() if first is None else first.to_pandas()
                return frame, int(file.metadata.num_rows)
        if path.suffix != ".csv" or path.stat().st_size > _MOST_BYTES:
            return None
        frame = pd.read_csv(path, low_memory=False)  # all of it: a type may rest on the last row
    except (OSError, ValueError):  # what is wrong with it, the reader of the rows says better
        return None
    return frame.head(_DIGESTED), len(frame)


def _types(frame: pd.DataFrame) -> list[tuple[str, str]] | None:
    """Names and MLflow types of the columns; None when MLflow has none for them."""
    import warnings

    from mlflow.exceptions import MlflowException
    from mlflow.models import infer_signature

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's hint about integer columns
        try:
            return [(it["name"], it["type"]) for it in infer_signature(frame).inputs.to_dict()]
        except (MlflowException, TypeError, AttributeError, KeyError):
            return None
