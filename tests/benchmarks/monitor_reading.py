"""One pass of the monitor over logged predictions: seconds and peak memory, against plain pandas; JSON last.

10 million predictions x 10 features (with time, key, version, answer, score and label), a month of windows of an hour,
as Parquet, CSV and JSON lines; and once with as many labels in a file of their own, joined by key. Each run is a
process of its own; its memory is the largest resident set. The peer reads the same file whole with pandas, cuts each
feature at the baseline's bounds and counts with groupby: what one would write by hand. At last, sketches of servers:
one window of 20 features. Limits: 60 s and 1 GB on two cores for the pass, 1 s for the sketches.

    python tests/benchmarks/monitor_reading.py [--rows 10000000] [--formats parquet,csv,jsonl] [--no-peer]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from mlship.types.monitoring import Baseline

NUMBERS = [f"number_{place}" for place in range(7)]
CATEGORIES = ["carrier", "origin", "dest"]
SPAN = 30 * 86400.0
START = 1_730_678_400.0
CHUNK = 250_000
SECONDS, MEMORY, SKETCHES = 60.0, 1e9, 1.0


def rows(count: int, total: int, first: int) -> pd.DataFrame:
    """Some of `total` predictions in order of time, from the `first` on."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(first)
    number = np.arange(first, first + count)
    made: dict[str, Any] = {
        "time": pd.to_datetime(((START + number * (SPAN / total)) * 1e6).astype("int64"), unit="us", utc=True),
        "request_id": np.char.add("order-", number.astype(str)).astype(object),
        "version": "3",
    }
    for place, name in enumerate(NUMBERS):
        made[name] = rng.normal(place * 10, 5, count).round(3)
    for size, name in zip((12, 3, 100), CATEGORIES, strict=True):
        known = np.array([f"{name[:2].upper()}{value}" for value in range(size)], dtype=object)
        made[name] = known[rng.integers(0, size, count)]
    score = rng.beta(1, 3, count).round(6)
    made |= {"prediction": (score >= 0.5).astype("int64"), "score": score}
    return pd.DataFrame(made | {"late": (rng.random(count) < score).astype("int64")})


def write(path: Path, count: int) -> None:
    """The log as a file of the format that its name says; labels beside it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    if path.suffix != ".parquet":
        path.write_text("")
    for first in range(0, count, CHUNK):
        part = rows(min(CHUNK, count - first), count, first)
        if path.suffix == ".parquet":
            table = pa.Table.from_pandas(part, preserve_index=False)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
        elif path.suffix == ".csv":
            part.to_csv(path, mode="a", index=False, header=not first)
        else:
            part["time"] = part["time"].dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            part.to_json(path, mode="a", orient="records", lines=True)
    if writer is not None:
        writer.close()


def baseline() -> Baseline:
    """Of a hundred thousand such rows."""
    from mlship.stats import cutting
    from mlship.stats.placing import positions
    from mlship.types.monitoring import Baseline, Bins, Column

    frame = rows(100_000, 100_000, 0)

    def column(values: Any, bins: Bins | None = None) -> Column:
        found = bins or cutting.cut(cutting.sketched(values))
        return Column(found, cutting.counted(positions(values, found), found))

    return Baseline(
        model="late-flights", version="3", digest="sha256:3", made=START, policy_digest="sha256:p", task="binary",
        window=3600.0, zone="UTC", season=(), rows=len(frame), since=None, until=None,
        features={name: column(frame[name]) for name in (*NUMBERS, *CATEGORIES)},
        answers=column(frame["prediction"].astype(str)),
        scores=column(frame["score"], cutting.cut_scores(cutting.sketched(frame["score"]), 0.5)),
        labels=("0", "1"), threshold=0.5, slices={"origin": ("OR0", "OR1", "OR2")},
    )  # fmt: skip


def ours(path: Path, labels: Path | None) -> dict[str, Any]:
    """One pass of the monitor; what it has counted."""
    from mlship.monitor.reading import read
    from mlship.policy.monitor import Monitor

    log = {"path": path.name, "prediction": "prediction", "score": "score", "key": "request_id", "version": "version"}
    section: dict[str, Any] = {"log": log if labels else log | {"target": "late"}}
    if labels:
        section["labels"] = {"path": labels.name, "target": "late"}
    known = baseline()
    started, spent = time.perf_counter(), time.process_time()
    found = read(
        Monitor.model_validate(section), known, lambda text: path.parent / text,
        version="3", since=None, now=START + 2 * SPAN,
    )  # fmt: skip
    seconds, cpu = time.perf_counter() - started, time.process_time() - spent
    assert not found.troubles, found.troubles
    whole = [one for one in found.tallies if not one.slice]
    first = known.features[NUMBERS[0]].bins
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "rows": found.rows,
        "windows": len(whole),
        "labelled": sum(one.labelled.rows for one in whole if one.labelled is not None),
        "checked": [sum(one.features[NUMBERS[0]][place] for one in whole) for place in range(first.width)],
    }


def peer(path: Path, labels: Path | None) -> dict[str, Any]:
    """The same by plain pandas: read, join, cut, group."""
    import numpy as np
    import pandas as pd

    from mlship.stats.placing import _largest

    known = baseline()
    started, spent = time.perf_counter(), time.process_time()
    readers: dict[str, Any] = {
        ".parquet": pd.read_parquet,
        ".csv": pd.read_csv,
        # All at once takes 12 GB.
        ".jsonl": lambda file: pd.concat(pd.read_json(file, lines=True, chunksize=CHUNK), ignore_index=True),
    }
    frame = readers[path.suffix](path)
    if labels:
        frame = frame.drop(columns="late").merge(pd.read_parquet(labels), on="request_id", how="left")
    frame["window"] = pd.to_datetime(frame["time"], utc=True, format="ISO8601").dt.floor("h")
    counts = {}
    for name, one in known.features.items():
        cut = frame[name]
        if one.bins.kind == "numbers":
            cut = pd.Series(np.searchsorted(_largest(one.bins.bounds), frame[name].to_numpy()), index=frame.index)
        counts[name] = frame.groupby(["window", cut.rename("bin")], observed=True).size().unstack(fill_value=0)
    assert known.scores is not None
    frame["bin"] = np.searchsorted(_largest(known.scores.bins.bounds), frame["score"].to_numpy())
    labelled = frame.groupby(["window", "bin", "late"]).size()
    sliced = frame.groupby(["window", "origin", "bin", "late"]).size()
    checked = counts[NUMBERS[0]].sum().to_dict()
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - spent,
        "rows": len(frame),
        "windows": int(frame["window"].nunique()),
        "labelled": int(labelled.sum()),
        "sliced": int(sliced.sum()),
        "checked": [int(checked.get(place, 0)) for place in range(known.features[NUMBERS[0]].bins.width)],
    }


def sketches() -> dict[str, Any]:
    """A window of what two servers of 20 features export, from the bytes that they answer."""
    import numpy as np

    from mlship.engines.exported import read as answered
    from mlship.monitor.reading.sketches import Snapshot, formed
    from mlship.stats.placing import sketched

    rng = np.random.default_rng(0)
    frame = rows(100_000, 100_000, 0)
    wide = {f"wide_{place}": sketched(rng.lognormal(0, 5, 100_000)) for place in range(10)}
    features = {name: sketched(frame[name]) for name in (*NUMBERS, *CATEGORIES)} | wide
    document = {
        "model": "late-flights", "version": "3", "digest": "sha256:3",
        "epoch": "e", "rows_missed": 0, "rows_thinned": 0,
        "features": {name: sketch.to_json() for name, sketch in features.items()},
        "outputs": {"": sketched(frame["prediction"]).to_json()},
    }  # fmt: skip
    body, known = json.dumps(document).encode(), baseline()
    started = time.perf_counter()
    said = {server: answered(body) for server in ("a", "b")}
    told = {server: one for server, one in said.items() if one is not None}
    assert len(told) == 2
    tally, snapshot = formed(Snapshot.empty(START), Snapshot.of(START + 3600, told, "3"), known)
    assert tally is not None
    again = Snapshot.from_json(json.loads(json.dumps(snapshot.to_json())))
    assert again.to_json() == snapshot.to_json()
    return {"seconds": time.perf_counter() - started, "rows": tally.rows, "bytes": len(body)}


def peak() -> int:
    """The largest resident set of this process, in bytes; `ru_maxrss` has that of whoever started it, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def alone(what: str, path: Path, labels: Path | None) -> dict[str, Any]:
    """Run something in a process of its own, and tell its peak memory too."""
    argv = [sys.executable, __file__, "--one", what, "--path", str(path)]
    argv += ["--labels", str(labels)] if labels else []
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=False, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    if done.returncode:
        return {"failed": f"exit code {done.returncode}"}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def told(name: str, found: dict[str, Any]) -> None:
    """One line for a person."""
    if "failed" in found:
        print(f"{name}: {found['failed']}", flush=True)
    else:
        print(f"{name}: {found['seconds']:.1f} s, {found['peak_bytes'] / 1e6:,.0f} MB", flush=True)


def main() -> int:
    """Measure, and print the result as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--formats", default="parquet,csv,jsonl")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--one", choices=("ours", "peer"))
    parser.add_argument("--path", type=Path)
    parser.add_argument("--labels", type=Path)
    asked = parser.parse_args()
    if asked.one:
        found = {"ours": ours, "peer": peer}[asked.one](asked.path, asked.labels)
        print(json.dumps(found | {"peak_bytes": peak()}))
        return 0
    result: dict[str, Any] = {"rows": asked.rows, "cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
    passed = True
    with tempfile.TemporaryDirectory() as directory:
        labels = Path(directory) / "labels.parquet"
        for kind in asked.formats.split(","):
            path = Path(directory) / f"log.{kind}"
            write(path, asked.rows)
            print(f"{path.name}: {path.stat().st_size / 1e6:,.0f} MB", flush=True)
            runs: list[tuple[str, Path | None]] = [(kind, None)]
            if kind == "parquet":
                shuffle(path, labels)
                runs.append((f"{kind} and labels by key", labels))
            for name, joined in runs:
                mine = alone("ours", path, joined)
                told(name, mine)
                passed &= mine.get("seconds", 1e9) <= SECONDS and mine.get("peak_bytes", 1e12) <= MEMORY
                result[name] = {"mlship": mine}
                if not asked.no_peer:
                    other = alone("peer", path, joined)
                    told(f"{name}, pandas", other)
                    if "failed" not in other:
                        passed &= all(mine[key] == other[key] for key in ("rows", "windows", "labelled", "checked"))
                    result[name]["pandas"] = other
                for each in result[name].values():
                    each.pop("checked", None)
            path.unlink()
    result["sketches of two servers"] = exported = sketches()
    print(f"sketches: {exported['seconds']:.3f} s for {exported['bytes'] / 1e3:,.0f} kB a server")
    passed &= exported["seconds"] <= SKETCHES
    limits = {"seconds": SECONDS, "bytes": MEMORY, "sketches_seconds": SKETCHES}
    print(json.dumps({"monitor_reading": result, "limits": limits, "passed": bool(passed)}))
    return 0 if passed else 1


def shuffle(log: Path, labels: Path) -> None:
    """The labels of a log, in an order of their own."""
    import numpy as np
    import pandas as pd

    frame = pd.read_parquet(log, columns=["request_id", "late"])
    order = np.random.default_rng(1).permutation(len(frame))
    frame.iloc[order].reset_index(drop=True).to_parquet(labels, row_group_size=CHUNK)


if __name__ == "__main__":
    raise SystemExit(main())
