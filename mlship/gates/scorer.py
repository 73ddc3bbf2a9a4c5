"""The scoring process: `python -m mlship.gates.scorer MODEL_DIR ROWS OUT` loads one model and predicts one table.

A model is other people's code: it may crash, exit, hang or eat all memory. It does so here, not in the tool.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import DataError, MlshipError, ModelError
from mlship.gates.casts import fit

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: Rows given to the model at once: bounds the memory of what it makes of them.
BATCH = 100_000
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Score, write `OUT` (npz: values, and scores and classes where there are some), or `OUT.error` (JSON) and 3."""
    model_dir, rows, out, parent = arguments
    die_with(int(parent))
    os.nice(10)  # servers of live traffic may share this machine, and come first
    try:
        score(Path(model_dir), Path(rows), Path(out))
    except MlshipError as error:
        problem = {"kind": type(error).__name__, "what": error.what, "hint": error.hint}
    except MemoryError:
        problem = {"kind": "ModelError", "what": "the model ran out of memory", "hint": "score fewer rows at a time"}
    except BaseException as error:  # noqa: BLE001 - a model may raise anything, SystemExit included; this is its boundary
        problem = {"kind": "ModelError", "what": f"the model failed: {told(error)}", "hint": ""}
        import traceback

        traceback.print_exc()
    else:
        return 0
    Path(f"{out}.error").write_text(json.dumps(problem), encoding="utf-8")
    return 3


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the process that started it ends, however it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)  # it ended before this line


def score(model_dir: Path, rows: Path, out: Path) -> None:
    """Predict the rows of a Parquet or CSV file in batches, and write the predictions.

    Raises ``DataError`` when the rows do not fit the model's signature, ``ModelError`` when the model gives something
    else than one prediction a row, and whatever the model raises.
    """
    import numpy as np

    table = _read(rows)
    model = _load(model_dir)
    raw = _raw(model)
    own_names = [str(name) for name in getattr(raw, "feature_names_in_", [])]
    frame = fit(table, model.metadata.get_input_schema(), own_names)
    values, scores = [], []
    for batch in _batches(frame):
        values.append(_one_each(model.predict(batch), len(batch)))
        if (scored := _scores(raw, batch)) is not None:
            scores.append(scored)
    kept = {"values": np.concatenate(values) if values else np.empty(0)}
    _check(kept["values"])
    if scores:
        kept["scores"] = np.concatenate(scores)
    if (classes := _classes(raw)) is not None:
        kept["classes"] = classes
    with out.open("wb") as file:
        np.savez(file, **kept)  # type: ignore[arg-type]  # the stubs take the names of arrays for other parameters


def told(error: BaseException) -> str:
    """An exception in one short line."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]


def _read(rows: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(rows) if rows.suffix == ".parquet" else pd.read_csv(rows)
    except (OSError, ValueError) as error:  # pyarrow's own errors are among these
        raise DataError(f"the rows cannot be read: {told(error)}", hint=f"is {rows} a Parquet or CSV file?") from error


def _load(model_dir: Path) -> Any:
    import mlflow.pyfunc

    try:
        return mlflow.pyfunc.load_model(str(model_dir))
    except Exception as error:
        raise ModelError(
            f"the model cannot be loaded: {told(error)}",
            hint=f"install what it needs beside mlship: {model_dir / 'requirements.txt'} lists it",
        ) from error


def _raw(model: Any) -> Any:
    """The estimator inside a pyfunc model, where its flavor tells."""
    try:
        return model.get_raw_model()
    except Exception:  # noqa: BLE001 - flavors without one raise one thing or another; there is nothing to ask then
        return None


def _batches(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for start in range(0, len(frame), BATCH):
        yield frame.iloc[start : start + BATCH]


def _one_each(predicted: Any, rows: int) -> NDArray[np.generic]:
    """The predictions of a batch, shape (rows,), of a type that can be kept without pickling."""
    import numpy as np

    values = np.asarray(predicted)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (rows,):
        shape = " x ".join(map(str, values.shape)) or "a single value"
        raise ModelError(
            f"the model gives {shape} for {rows} rows, not one prediction a row",
            hint="log it with a predict function that gives one class or one number a row",
        )
    return _plain(values)


def _plain(values: NDArray[Any]) -> NDArray[np.generic]:
    import numpy as np

    if values.dtype != object:
        return values
    kinds = {type(value) for value in values}
    if kinds <= {str}:
        return values.astype(str)
    if all(issubclass(kind, (bool, np.bool_)) for kind in kinds):
        return values.astype(bool)
    if all(issubclass(kind, (int, np.integer)) for kind in kinds):
        return values.astype(np.int64)
    if all(issubclass(kind, (int, float, np.number)) for kind in kinds):
        return values.astype(np.float64)
    raise ModelError(
        f"the model's predictions are of type {', '.join(sorted(kind.__name__ for kind in kinds))}",
        hint="a prediction is a class (text, whole number, truth value) or a number",
    )


def _check(values: NDArray[Any]) -> None:
    import numpy as np

    if values.dtype.kind == "f" and (wrong := int((~np.isfinite(values)).sum())):
        raise ModelError(f"the model predicts no finite number for {wrong} of {len(values)} rows")


def _scores(raw: Any, batch: pd.DataFrame) -> NDArray[Any] | None:
    """Class probabilities, shape (n, classes), else the decision value of a two-class model, shape (n,)."""
    import numpy as np

    if _classes(raw) is None:
        return None
    if hasattr(raw, "predict_proba"):
        return np.asarray(raw.predict_proba(batch), dtype=np.float64)
    if hasattr(raw, "decision_function"):
        decided = np.asarray(raw.decision_function(batch), dtype=np.float64)
        return decided if decided.ndim == 1 else None
    return None


def _classes(raw: Any) -> NDArray[np.generic] | None:
    """The classes of a classifier of one label."""
    import numpy as np

    try:
        classes = np.asarray(raw.classes_)
    except (AttributeError, ValueError):  # no classifier; or several labels, with classes of different counts
        return None
    return _plain(classes) if classes.ndim == 1 and len(classes) else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
