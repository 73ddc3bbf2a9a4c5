"""What checks a policy starts fast: none of these commands loads a library that only models and rows need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("mlflow", "pandas", "sklearn", "numpy", "scipy", "pyarrow", "docker", "jinja2")
POLICY = """version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com}
data: {evaluation: {path: july.csv, target: late}, reference: {path: july.csv}}
gates:
  contract: {max_missing: 1%}
  leakage: {}
  drift: {}
  metrics: {recall: {min: 0.6, max_drop: 0.01}}
  slices: {by: [distance], metric: recall, min: 0.5}
  latency: {rate: 100/s, p99: 200ms}
rollout:
  steps: [{weight: 10%, bake: {requests: 500}}]
"""
TESTS = """policy: mlship.yaml
tests:
  - name: a canary that fails
    rollout: {stable: {requests: 9000, errors: 45}, canary: {requests: 1000, errors: 60}}
    given: {metrics: {recall min: 0.5}, latency: {p99: {value: 100ms, high: 120ms}}}
    expect: {verdict: failed, latency: {p99: passed}, rollout: rollback}
"""
ASK = """
import sys
sys.argv = ["mlship", *sys.argv[1:]]
from mlship.cli.main import main
try:
    main()
except SystemExit as left:
    print("loaded:", *sorted({name.split(".")[0] for name in sys.modules} & set(%r)), file=sys.stderr)
    raise
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["policy", "--help"],
        ["status", "--help"],
        ["validate", "mlship.yaml"],
        ["policy", "test", "--format", "github"],
        ["policy", "test", "--draft", "mlship.yaml"],
        ["policy", "diff", "mlship.yaml", "looser.yaml", "--report", "junit=junit.xml"],
    ],
    ids=" ".join,
)
def test_what_checks_a_policy_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "july.csv").write_text("late,distance\n1,100\n")
    (tmp_path / "mlship.yaml").write_text(POLICY)
    (tmp_path / "looser.yaml").write_text(POLICY.replace("min: 0.6", "min: 0.5"))
    (tmp_path / "mlship.test.yaml").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-c", ASK % (HEAVY,), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.splitlines()[-1] == "loaded:"
