"""How long what checks a policy takes to start, beside `import mlflow` and `mlflow --help` in the same run.

    python tests/benchmarks/startup.py [--runs 9]

Wall time of whole processes, as a person waits for them: median after one warm-up. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: Seconds that each command may take, by its name.
LIMITS = {
    "mlship --help": 0.4,
    "mlship validate": 0.4,
    "mlship status --help": 0.5,
    "mlship policy test": 0.5,
    "mlship policy diff": 0.5,
}
PEER_RUNS = 3

POLICY = """
version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com}
data:
  evaluation: {path: flights.csv, target: late, time: time_hour}
gates:
  metrics:
    average_precision: {min: 0.80, max_drop: 0}
    recall: {min: 0.30}
rollout:
  steps:
    - {weight: 1%, bake: {for: 10m, requests: 500}}
    - {weight: 50%, bake: {for: 10m, requests: 5000}}
"""
TESTS = """
policy: policy.yaml
tests:
  - name: a candidate that finds too few
    given: {metrics: {recall min: 0.2}}
    expect: {verdict: failed}
  - name: a canary that fails
    rollout: {stable: {requests: 99000, errors: 495}, canary: {requests: 1000, errors: 60}}
    expect: {rollout: rollback}
"""


def seconds(command: list[str], directory: str, runs: int) -> list[float]:
    """Wall time of each run, after one that warms the disk's cache; the command must succeed."""
    taken = []
    for run in range(runs + 1):
        begun = time.perf_counter()
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        if run:
            taken.append(time.perf_counter() - begun)
    return taken


def main() -> None:
    """Measure, show and report."""
    parser = argparse.ArgumentParser(description="Measure how fast the command line starts.")
    parser.add_argument("--runs", type=int, default=9, help="runs of each mlship command (at least 7)")
    runs = max(7, parser.parse_args().runs)
    scripts = Path(sys.executable).parent
    ours = {
        "mlship --help": [str(scripts / "mlship"), "--help"],
        "mlship validate": [str(scripts / "mlship"), "validate", "policy.yaml"],
        "mlship status --help": [str(scripts / "mlship"), "status", "--help"],
        "mlship policy test": [str(scripts / "mlship"), "policy", "test", "policy.test.yaml"],
        "mlship policy diff": [str(scripts / "mlship"), "policy", "diff", "policy.yaml", "looser.yaml"],
    }
    peers = {
        "import mlflow": [sys.executable, "-c", "import mlflow"],
        "mlflow --help": [str(scripts / "mlflow"), "--help"],
    }
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "policy.yaml").write_text(POLICY, encoding="utf-8")
        (Path(directory) / "looser.yaml").write_text(POLICY.replace("min: 0.80", "min: 0.70"), encoding="utf-8")
        (Path(directory) / "policy.test.yaml").write_text(TESTS, encoding="utf-8")
        (Path(directory) / "flights.csv").write_text("late,time_hour,distance\n0,2013-07-01,1400\n", encoding="utf-8")
        for name, command in {**ours, **peers}.items():
            taken = seconds(command, directory, runs if name in ours else PEER_RUNS)
            results[name] = {"median": round(statistics.median(taken), 3), "fastest": round(min(taken), 3)}
            print(f"{name:<21} median {results[name]['median']:.3f} s, fastest {results[name]['fastest']:.3f} s")
    reached = all(results[name]["median"] <= LIMITS[name] for name in ours)
    report = {
        "benchmark": "startup",
        "unit": "s",
        "runs": runs,
        "limit": LIMITS,
        "reached": reached,
        "load": [round(value, 2) for value in os.getloadavg()],
        "results": results,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
