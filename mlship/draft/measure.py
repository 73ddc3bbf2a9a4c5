"""Measures a version on labelled rows by the gates' own code, with limits that everything keeps: nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.draft.facts import Column, Kind, Task
from mlship.draft.limits import FAR, METRICS, WITHOUT_SCORES
from mlship.errors import MlshipError, ModelRefused
from mlship.home import Home
from mlship.policy.gates import SecurityGate
from mlship.policy.load import LoadedPolicy
from mlship.policy.schema import Policy
from mlship.policy.scorers import OWN
from mlship.sources import files
from mlship.types import Candidate, GateResult, ModelVersion, Status

if TYPE_CHECKING:
    import pandas as pd

    from mlship.gates.base import Predictions, Score

#: A column of texts with more distinct values than this promises nothing about them.
_FEW = 12
#: Labels of a model that does not tell its classes: more distinct numbers than this are a quantity.
_MOST_CLASSES = 20
_TEXT_OF_A_VALUE = 60


@dataclass(frozen=True, slots=True)
class Asked:
    """The rows that a person named; paths are absolute."""

    evaluation: Path
    target: str
    time: str | None = None
    reference: Path | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What came out."""

    columns: tuple[Column, ...]
    others: tuple[str, ...]
    rows: int
    task: Task | None
    results: tuple[GateResult, ...]
    likely: Task | None = None
    """What a model of these labels predicts."""
    trouble: str = ""
    """Why the version could not be measured; empty when it could."""


def measure(
    asked: Asked,
    version: ModelVersion | None,
    home: Home,
    progress: Callable[[str], None],
    *,
    allow_code: bool = False,
) -> Measured:
    """Columns, task, and what the contract, leakage and metrics gates find; without a version, of the rows alone.

    With `allow_code`, Python code that was logged with the version is trusted, and run.

    Raises ``DataError`` when the rows cannot be read. A version that cannot be asked is no error: `trouble` says why.
    """
    from mlship.scoring.session import Session

    progress(f"reading {asked.evaluation.name}")
    policy = _policy(asked, {})
    assert policy.data is not None, "it has just been written"
    rows = files.read(policy.data.evaluation, asked.evaluation, labelled=True)
    columns = list(rows.frame.columns)
    inputs = [name for name in version.inputs if name in columns] if version else []
    taken = inputs or [name for name in columns if name not in (asked.target, asked.time)]
    others = [name for name in columns if name not in {*taken, asked.target, asked.time}] if inputs else []
    described = tuple(found for name in taken if (found := describe(name, rows.frame[name])) is not None)
    likely = likely_task(rows.frame[asked.target])
    base = Measured(described, tuple(others), len(rows), None, (), likely)
    if version is None:
        nobody = ModelVersion("none", "0", "", home.path)
        return replace(base, results=_judged(asked, nobody, home, progress))
    with Session(home, progress, SecurityGate(allow_code=allow_code)) as session:
        try:
            features = rows.frame.drop(columns=asked.target)
            (predictions,) = session.score((version,), features, rows.digest)
        except MlshipError as error:
            return replace(
                base,
                results=_judged(asked, version, home, progress),
                trouble=_why(error, version, home, allow_code=allow_code),
            )
        task = task_of(predictions, rows.frame[asked.target])
        metrics = WITHOUT_SCORES if task == "binary" and predictions.scores is None else METRICS[task]
        results = _judged(asked, version, home, progress, metrics=metrics, score=session.score)
    return replace(base, task=task, results=results)


def proved(
    loaded: LoadedPolicy, version: ModelVersion, home: Home, progress: Callable[[str], None]
) -> list[GateResult]:
    """The rules of a policy that this version does not pass, when it stands against itself. Raises ``DataError``."""
    from mlship.gates.evaluate import evaluate

    evaluation = evaluate(loaded, Candidate(version, version), home, progress)
    return [one for one in evaluation.results if one.status not in (Status.PASSED, Status.SKIPPED)]


def _why(error: MlshipError, version: ModelVersion, home: Home, *, allow_code: bool) -> str:
    """Why the version could not be asked, and the way out; where only its own code is in the way, that is an option."""
    from mlship.scan.scan import scanned

    trusting = SecurityGate(allow_code=True)
    if isinstance(error, ModelRefused) and not allow_code and scanned(version, trusting, home).safe:
        return f"{error.what}; read that code, and if you trust it draft again with --allow-code"
    return " ".join(str(error).replace("\n  next: ", "; ").split())


def likely_task(label: pd.Series[Any]) -> Task:
    """What a model of these labels predicts: two numbers for two classes, few whole numbers or words for more."""
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(label.dtype):
        return "labels"
    if label.nunique() <= 2:
        return "binary"
    return "labels" if _few_whole(label) else "numbers"


def _few_whole(label: pd.Series[Any]) -> bool:
    return bool((label.to_numpy(dtype=float) % 1 == 0).all()) and label.nunique() <= _MOST_CLASSES


def task_of(predictions: Predictions, label: pd.Series[Any]) -> Task:
    """What the model predicts, from what it said and what the labels are."""
    import pandas as pd

    if predictions.classes is not None:
        return "binary" if len(predictions.classes) == 2 else "classes"
    if pd.api.types.is_bool_dtype(label.dtype) or not pd.api.types.is_numeric_dtype(label.dtype):
        return "labels"
    return "labels" if _few_whole(label) and predictions.values.dtype.kind in "iub" else "numbers"


def describe(name: str, column: pd.Series[Any]) -> Column | None:
    """Type, range and values of a column; None where it holds values of several kinds, or none at all."""
    import numpy as np
    import pandas as pd

    missing = float(column.isna().mean()) if len(column) else 0.0
    given = column.dropna()
    is_a = pd.api.types
    if given.empty:
        return None
    if is_a.is_bool_dtype(given.dtype) or is_a.is_datetime64_any_dtype(given.dtype):
        return Column(name, "boolean" if is_a.is_bool_dtype(given.dtype) else "datetime", missing)
    if is_a.is_numeric_dtype(given.dtype) and not is_a.is_complex_dtype(given.dtype):
        values = given.to_numpy(dtype=float)
        kind: Kind = "integer" if is_a.is_integer_dtype(given.dtype) else "number"
        finite = bool(np.isfinite(values).all())
        ends = (float(values.min()), float(values.max())) if finite else (None, None)
        return Column(name, kind, missing, *ends)
    distinct = given.cat.categories if isinstance(given.dtype, pd.CategoricalDtype) else given.unique()
    if not all(isinstance(value, str) for value in distinct):
        return None
    few = len(distinct) <= _FEW and all(len(value) <= _TEXT_OF_A_VALUE for value in distinct)
    return Column(name, "string", missing, values=tuple(sorted(distinct)) if few else ())


def _judged(
    asked: Asked,
    version: ModelVersion,
    home: Home,
    progress: Callable[[str], None],
    *,
    metrics: tuple[str, ...] = (),
    score: Score | None = None,
) -> tuple[GateResult, ...]:
    """What the gates find, under limits that everything keeps."""
    from mlship.gates.evaluate import evaluate

    only = ["contract", "leakage", *(["metrics"] if metrics else [])]
    policy = _policy(asked, {name: _far(name) for name in metrics})
    loaded = LoadedPolicy(policy, asked.evaluation.parent / "draft.yaml", "", "")
    return evaluate(loaded, Candidate(version, None), home, progress, score=score or _nobody, only=only).results


def _nobody(*_asked: Any) -> Any:
    raise AssertionError("contract and leakage ask for no predictions where nothing is compared")


def _policy(asked: Asked, metrics: dict[str, dict[str, float]]) -> Policy:
    """A policy that only measures."""
    data: dict[str, Any] = {
        "evaluation": {"path": str(asked.evaluation), "target": asked.target, "time": asked.time},
    }
    if asked.reference is not None:
        data["reference"] = {"path": str(asked.reference), "time": asked.time}
    return Policy.model_validate(
        {
            "version": 1,
            "model": "model",
            "owner": {"team": "team", "contact": "contact"},
            "data": data,
            "gates": {"contract": {}, "leakage": {}, "metrics": metrics},
        }
    )


def _far(metric: str) -> dict[str, float]:
    return {"max": FAR} if metric in OWN else {"min": -FAR}
