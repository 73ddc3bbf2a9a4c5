"""`mlship validate` and `mlship schema` as a person or a CI step runs them: output, exit codes, what is not loaded."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from mlship.cli.table import COMMANDS
from tests.schemas import conforms

POLICY = """version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com}
data: {evaluation: {path: july.csv, target: late}}
gates:
  metrics: {recall: {min: 0.6}}
rollout:
  steps: [{weight: 10%, bake: {for: 10s}}]
"""
HEAVY = ("mlflow", "pandas", "sklearn", "numpy", "scipy", "pyarrow", "rich.console")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "july.csv").write_text("late,distance\n1,100\n")
    (tmp_path / "mlship.yaml").write_text(POLICY)
    (tmp_path / "bad.yaml").write_text(POLICY.replace("metrics:", "metrik:").replace("10s", "10"))
    return tmp_path


def mlship(here: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlship", *arguments],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environ},
    )


def test_a_valid_policy_gets_one_line_and_exit_code_0(here: Path) -> None:
    done = mlship(here, "validate")
    assert done.stdout.startswith("mlship.yaml: valid (model flight-delay, 3 gates, 1 step, digest sha256:")
    assert len(done.stdout.splitlines()) == 1
    assert (done.returncode, done.stderr) == (0, "")


def test_every_fault_of_every_file_comes_in_one_run_with_exit_code_2(here: Path) -> None:
    done = mlship(here, "validate", "bad.yaml", "mlship.yaml", "nowhere.yaml")
    assert done.returncode == 2
    assert done.stdout.splitlines()[:6] == [
        "bad.yaml:6:3: unknown key 'metrik'",
        "     metrik: {recall: {min: 0.6}}",
        "     ^ did you mean 'metrics'?",
        "bad.yaml:8:37: 'for': a duration needs a unit",
        "     steps: [{weight: 10%, bake: {for: 10}}]",
        "                                       ^ did you mean '10s' or '10ms'?",
    ]
    assert "mlship.yaml: valid" in done.stdout
    assert "nowhere.yaml:1:1: there is no such file" in done.stdout


def test_json_is_one_document_on_stdout_and_nothing_else(here: Path) -> None:
    done = mlship(here, "validate", "bad.yaml", "mlship.yaml", "--format", "json")
    assert (done.returncode, done.stderr) == (2, "")
    document = conforms("validate", done.stdout)
    assert document["valid"] is False
    bad, good = document["files"]
    assert (bad["file"], bad["valid"], bad["digest"]) == ("bad.yaml", False, None)
    assert (good["file"], good["valid"], good["faults"]) == ("mlship.yaml", True, [])
    assert good["digest"].startswith("sha256:")
    assert bad["faults"][0] == {
        "line": 6,
        "column": 3,
        "width": 6,
        "severity": "error",
        "what": "unknown key 'metrik'",
        "hint": "did you mean 'metrics'?",
        "source": "metrik: {recall: {min: 0.6}}",
    }


def test_a_warning_is_shown_and_does_not_fail(here: Path) -> None:
    (here / "mlship.yaml").write_text(POLICY + 'endpoint: {listen: "0.0.0.0:8080"}\n')
    done = mlship(here, "validate")
    assert done.returncode == 0
    assert "mlship.yaml:9:20: warning: 0.0.0.0 can be reached from other machines" in done.stdout
    assert "mlship.yaml: valid" in done.stdout


def test_without_a_policy_the_next_step_is_told(tmp_path: Path) -> None:
    done = mlship(tmp_path, "validate")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no mlship.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_that_only_knows_ascii_gets_the_faults_too(here: Path) -> None:
    (here / "mlship.yaml").write_text("modèle: 漢字\n", encoding="utf-8")
    done = mlship(here, "validate", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 2
    assert "unknown key 'mod\\xe8le'" in done.stdout


def test_schema_prints_a_json_schema_that_accepts_the_policy(here: Path) -> None:
    done = mlship(here, "schema")
    assert done.returncode == 0
    Draft7Validator.check_schema(json.loads(done.stdout))


def test_an_unknown_command_is_answered_with_the_nearest(here: Path) -> None:
    done = mlship(here, "valdate")
    assert done.returncode == 2
    assert "mlship: no such command 'valdate'\n  next: did you mean 'validate'" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["validate"], ["validate", "bad.yaml"], ["validate", "--help"]])
def test_start_up_loads_nothing_heavy(here: Path, arguments: list[str]) -> None:
    (here / "table.csv").write_text("x\n")
    code = (
        "import atexit, sys\n"
        f"heavy = {HEAVY!r}\n"
        "atexit.register(lambda: sys.stderr.write('LOADED ' + ' '.join(set(heavy) & set(sys.modules))))\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "from mlship.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=here, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == (2 if "bad.yaml" in arguments else 0)
    assert done.stdout
    assert done.stderr == "LOADED "


def test_a_parquet_file_is_looked_into_without_pyarrow(here: Path) -> None:
    import pandas as pd

    pd.DataFrame({"lat": [1]}).to_parquet(here / "july.parquet")
    (here / "mlship.yaml").write_text(POLICY.replace("july.csv", "july.parquet"))
    code = (
        "import sys; from pathlib import Path; from mlship.policy.load import check\n"
        "print(check(Path('mlship.yaml'))[0].what, 'pyarrow' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=here, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "this file has no column 'late' False False"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_row_of_the_table_is_a_command_with_a_line_of_help(name: str) -> None:
    module, function, line = COMMANDS[name]
    command: Any = getattr(import_module(module), function)
    assert inspect.getdoc(command)
    assert line.endswith(".")
    assert len(line) <= 80
