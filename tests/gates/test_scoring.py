"""Models are scored in processes of their own: whatever they do there ends in predictions or in one clear error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlship.errors import DataError, ModelError
from mlship.gates import scorer, scoring
from mlship.home import Home
from mlship.registry import Registry, files
from mlship.types import ModelVersion

if TYPE_CHECKING:
    import pandas as pd

pytestmark = pytest.mark.slow


def silent(_line: str) -> None:
    return


def made_of(directory: Path, code: str, *inputs: str) -> ModelVersion:
    """A pyfunc model whose loader is the code given."""
    (directory / "code").mkdir(parents=True)
    (directory / "code" / "loader.py").write_text(code)
    flavor = {"loader_module": "loader", "code": "code", "python_version": "3.11.0"}
    signature = {"inputs": json.dumps([{"type": "double", "name": name, "required": True} for name in inputs])}
    document: dict[str, Any] = {"flavors": {"python_function": flavor}, "model_uuid": "x"}
    if inputs:
        document["signature"] = signature
    (directory / "MLmodel").write_text(json.dumps(document))
    return ModelVersion(directory.name, "1", files.digest_of(directory), directory, inputs=inputs)


@pytest.fixture
def rows() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({"a": [1, 2, 3], "b": [0.5, None, 1.5], "note": ["x", "y", "z"]})


@pytest.fixture
def state(tmp_path: Path) -> Home:
    return Home(tmp_path / ".mlship")


def left_behind(home: Home) -> list[str]:
    return [path.name for path in (home.cache / "predictions").iterdir()]


def test_two_versions_are_scored_as_they_predict_themselves_and_kept(registry_copy: Any, flights: pd.DataFrame) -> None:
    import mlflow.sklearn

    home: Home = registry_copy.home
    registry = Registry.connect(None, home)
    versions = [registry.version("flight-delay", number) for number in ("1", "2")]
    july = flights[flights["month"] == 7].iloc[:2000].drop(columns="late")
    said: list[str] = []
    both = scoring.score_many(versions, july, data_digest="sha256:d", home=home, progress=said.append)
    assert said == ["scoring flight-delay version 1", "scoring flight-delay version 2"]
    for version, predictions in zip(versions, both, strict=True):
        estimator = mlflow.sklearn.load_model(str(version.path))
        features = july[registry_copy.features].astype({"dep_delay": float})
        np.testing.assert_array_equal(predictions.values, estimator.predict(features))
        assert predictions.scores is not None
        np.testing.assert_allclose(predictions.scores.astype(float), estimator.predict_proba(features))
        np.testing.assert_array_equal(predictions.classes, [0, 1])
        assert files.digest_of(version.path) == version.digest, "scoring leaves the model's files as they were"
    began = time.monotonic()
    again = scoring.predict(versions[1], july, data_digest="sha256:d", home=home, progress=said.append)
    assert (len(said), time.monotonic() - began < 1) == (2, True), "what is known is not asked again"
    np.testing.assert_array_equal(again.values, both[1].values)
    kept = list((home.cache / "predictions").glob("*.npz"))
    assert len(kept) == 2
    for path in kept:
        path.write_bytes(path.read_bytes()[:100])
    third = scoring.predict(versions[0], july, data_digest="sha256:d", home=home, progress=said.append)
    assert len(said) == 3, "a damaged file is not believed"
    np.testing.assert_array_equal(third.values, both[0].values)


DIES_SPEAKING = """
import os, sys
def _load_pyfunc(path):
    print("last words", file=sys.stderr, flush=True)
    os._exit(0)
"""
CRASHES = "import os, signal\ndef _load_pyfunc(path): os.kill(os.getpid(), signal.SIGSEGV)"
LOADS = "\ndef _load_pyfunc(path): return M()\n"


@pytest.mark.parametrize(
    ("code", "message", "hint"),
    [
        ("import no_such_package", "cannot be loaded: ModuleNotFoundError", "requirements.txt"),
        ("import sys\ndef _load_pyfunc(path): sys.exit(0)", r"it called sys.exit\(0\)", ""),
        (DIES_SPEAKING, "ended by itself with exit code 0 and without predictions", "last words"),
        (CRASHES, "crashed .SIGSEGV", ""),
        ("class M:\n    def predict(self, rows): raise MemoryError" + LOADS, "ran out of memory", "fewer rows"),
        ("class M:\n    def predict(self, rows): return [1]" + LOADS, "gives 1 for 3 rows", "one class or one number"),
    ],
    ids=["import", "exit", "silent exit", "crash", "memory", "shape"],
)
def test_a_model_that_fails_is_one_clear_error(tmp_path: Path, *, code: str, message: str, hint: str) -> None:
    import pandas as pd

    home = Home(tmp_path / ".mlship")
    version = made_of(tmp_path / "model", code)
    with pytest.raises(ModelError, match=message) as caught:
        scoring.predict(version, pd.DataFrame({"a": [1, 2, 3]}), data_digest="d", home=home, progress=silent)
    assert hint in caught.value.hint
    assert caught.value.where == "model version 1"
    assert left_behind(home) == []


def test_a_model_that_hangs_is_ended_with_all_it_started(
    tmp_path: Path, rows: pd.DataFrame, state: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"

    def monotonic() -> float:
        """A clock that jumps over the timeout once the model hangs."""
        return time.monotonic() + (1e6 if pid.is_file() and pid.read_text() else 0)

    monkeypatch.setattr(scoring, "time", SimpleNamespace(monotonic=monotonic, sleep=time.sleep, time=time.time))
    code = (
        "import subprocess, time\n"
        "def _load_pyfunc(path):\n"
        f"    open({str(pid)!r}, 'w').write(str(subprocess.Popen(['sleep', '600']).pid))\n"
        "    time.sleep(600)\n"
    )
    version = made_of(tmp_path / "model", code)
    with pytest.raises(ModelError, match="did not finish within 900 s"):
        scoring.predict(version, rows, data_digest="d", home=state, progress=silent, timeout=900)
    assert _gone(int(pid.read_text()))


def test_rows_without_a_column_name_it_before_the_model_is_asked(
    tmp_path: Path, rows: pd.DataFrame, state: Home
) -> None:
    version = made_of(tmp_path / "model", "class M:\n    def predict(self, rows): raise ValueError" + LOADS, "a", "z")
    with pytest.raises(DataError, match="lack a column that the model asks for: z"):
        scoring.predict(version, rows, data_digest="d", home=state, progress=silent)


def test_rows_may_be_a_file_and_a_file_that_is_none_says_so(tmp_path: Path, rows: pd.DataFrame, state: Home) -> None:
    code = "class M:\n    def predict(self, rows): return rows['b'].notna().to_numpy()" + LOADS
    version = made_of(tmp_path / "model", code, "b")
    rows.to_csv(tmp_path / "rows.csv", index=False)
    kept = scoring.predict(version, tmp_path / "rows.csv", data_digest="d", home=state, progress=silent)
    assert kept.values.tolist() == [True, False, True]
    (tmp_path / "rows.parquet").write_text("no")
    with pytest.raises(DataError, match="the rows cannot be read"):
        scoring.predict(version, tmp_path / "rows.parquet", data_digest="e", home=state, progress=silent)


def test_text_classes_come_back_without_pickling(tmp_path: Path, rows: pd.DataFrame, state: Home) -> None:
    code = (
        "class M:\n"
        "    def predict(self, rows):\n"
        "        print('noise on stdout')\n"
        "        assert list(rows.columns) == ['b', 'a'] and str(rows.a.dtype) == 'float64'\n"
        "        return ['late' if a > 1 else 'in time' for a in rows.a]\n"
        "def _load_pyfunc(path): return M()\n"
    )
    version = made_of(tmp_path / "model", code, "b", "a")
    predictions = scoring.predict(version, rows, data_digest="d", home=state, progress=silent)
    assert predictions.values.tolist() == ["in time", "late", "late"]
    assert predictions.scores is None
    assert predictions.classes is None


SCORE = """
import sys
from pathlib import Path
import pandas as pd
from mlship.gates import scoring
from mlship.home import Home
from mlship.types import ModelVersion
version = ModelVersion("m", "1", "sha256:x", Path(sys.argv[1]))
scoring.predict(version, pd.DataFrame({"a": [1]}), data_digest="d", home=Home(Path(sys.argv[2])), progress=print)
"""


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGINT])
def test_the_scoring_process_ends_with_the_command_however_that_ends(tmp_path: Path, deadly: signal.Signals) -> None:
    pid = tmp_path / "pid"
    loader = (
        "import os, time\n"
        "def _load_pyfunc(path):\n"
        f"    open({str(pid)!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(600)\n"
    )
    version = made_of(tmp_path / "model", loader)
    command = [sys.executable, "-c", SCORE, str(version.path), str(tmp_path / ".mlship")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        _wait_until(lambda: pid.is_file() and pid.read_text() != "")
        parent.send_signal(deadly)
        assert parent.wait(30) != 0
    assert _gone(int(pid.read_text()))


def _wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _gone(pid: int) -> bool:
    for _attempt in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True  # ended, and waiting for an init process to collect it
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("predicted", "kind"),
    [
        (np.array(["a", "bb"], dtype=object), "U"),
        (np.array([True, np.False_], dtype=object), "b"),
        (np.array([1, np.int64(2)], dtype=object), "i"),
        (np.array([1, 2.5], dtype=object), "f"),
        (np.array([[1.5], [2.5]]), "f"),
    ],
)
def test_predictions_become_plain_arrays(predicted: Any, kind: str) -> None:
    values = scorer._one_each(predicted, 2)
    assert values.dtype.kind == kind
    assert values.shape == (2,)


def test_predictions_that_cannot_be_judged_are_refused() -> None:
    with pytest.raises(ModelError, match="of type NoneType, str"):
        scorer._one_each(np.array(["a", None], dtype=object), 2)
    with pytest.raises(ModelError, match="gives 2 x 3 for 2 rows"):
        scorer._one_each(np.zeros((2, 3)), 2)
    with pytest.raises(ModelError, match="no finite number for 2 of 3 rows"):
        scorer._check(np.array([1.0, np.nan, np.inf]))
