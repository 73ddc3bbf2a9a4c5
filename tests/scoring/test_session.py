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
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlship.errors import DataError, ModelError, ModelFault, ModelRefused
from mlship.home import Home
from mlship.policy.gates import SecurityGate
from mlship.registry import Registry, files
from mlship.scoring import answers
from mlship.scoring import session as scoring
from mlship.types import ModelVersion

if TYPE_CHECKING:
    import pandas as pd

pytestmark = pytest.mark.slow


#: These models are their own code.
TRUSTING = SecurityGate(allow_code=True)


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
    kept = list((home.cache / "predictions").iterdir())
    assert len(kept) == 2
    for path in kept:
        half = (path / "values.npy").read_bytes()[:100]
        (path / "values.npy").unlink()  # the predictions above are still mapped from it
        (path / "values.npy").write_bytes(half)
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


GREEDY = """
import time
class M:
    def predict(self, rows):
        kept = []
        while True:
            kept.append(bytearray(b"x" * 20_000_000))
            time.sleep(0.005)
def _load_pyfunc(path): return M()
"""
BREEDS = """
import os, time
class M:
    def predict(self, rows):
        while True:
            if os.fork() == 0:
                time.sleep(600)
def _load_pyfunc(path): return M()
"""
HANGS = "import time\nclass M:\n    def predict(self, rows): time.sleep(600)" + LOADS


@pytest.mark.parametrize(
    ("code", "message", "hint"),
    [
        ("import sys\ndef _load_pyfunc(path): sys.exit(0)", r"it called sys.exit\(0\)", ""),
        (DIES_SPEAKING, "ended by itself with exit code 0 and without predictions", "last words"),
        (CRASHES, "crashed .SIGSEGV", ""),
        ("class M:\n    def predict(self, rows): raise MemoryError" + LOADS, "ran out of memory", "fewer rows"),
        ("class M:\n    def predict(self, rows): raise KeyError" + LOADS, "model failed: KeyError", "raise KeyError"),
        ("class M:\n    def predict(self, rows): return [1]" + LOADS, "gives 1 for 3 rows", "one class or one number"),
        (HANGS, "did not answer about a batch of rows within 3s", "gates.security.timeout"),
        (GREEDY, "took .* of memory, more than 400MB", "gates.security.memory"),
        (BREEDS, "started more than 200 others", "needs none"),
    ],
    ids=["exit", "silent exit", "crash", "memory error", "exception", "shape", "hang", "memory", "children"],
)
def test_a_model_that_fails_is_one_clear_error(tmp_path: Path, *, code: str, message: str, hint: str) -> None:
    import pandas as pd

    home = Home(tmp_path / ".mlship")
    version = made_of(tmp_path / "model", code)
    timeout = "3s" if code is HANGS else "60s"
    section = SecurityGate.model_validate({"allow_code": True, "memory": "400MB", "timeout": timeout})
    frame = pd.DataFrame({"a": [1, 2, 3]})
    with pytest.raises(ModelFault, match=message) as caught:
        scoring.predict(version, frame, data_digest="d", home=home, progress=silent, section=section)
    assert hint in caught.value.hint
    assert caught.value.where == "model version 1"
    assert left_behind(home) == []
    until = time.monotonic() + 10  # what was killed takes a moment to go on a busy machine
    while (left := processes_of(version)) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == [], "nothing that it started is left"


def processes_of(version: ModelVersion) -> list[str]:
    """Command lines of processes of this model."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(version.path) in line:
            found.append(line)
    return found


def test_what_is_not_installed_here_is_no_fault_of_the_model(tmp_path: Path, rows: pd.DataFrame, state: Home) -> None:
    version = made_of(tmp_path / "model", "import no_such_package")
    with pytest.raises(ModelError, match="cannot be loaded: ModuleNotFoundError") as caught:
        scoring.predict(version, rows, data_digest="d", home=state, progress=silent, section=TRUSTING)
    assert not isinstance(caught.value, ModelFault)
    assert "requirements.txt" in caught.value.hint


def test_what_a_model_started_ends_with_it(tmp_path: Path, rows: pd.DataFrame, state: Home) -> None:
    """Also what has left its process group."""
    pid = tmp_path / "pid"
    code = (
        "import subprocess, time\n"
        "def _load_pyfunc(path):\n"
        "    child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"    open({str(pid)!r}, 'w').write(str(child.pid))\n"
        "    raise ValueError('no')\n"
    )
    version = made_of(tmp_path / "model", code)
    with pytest.raises(ModelFault, match="cannot be loaded: ValueError: no"):
        scoring.predict(version, rows, data_digest="d", home=state, progress=silent, section=TRUSTING)
    assert _gone(int(pid.read_text()))


def test_a_model_that_prints_without_end_only_fills_its_own_time(
    tmp_path: Path, rows: pd.DataFrame, state: Home
) -> None:
    code = (
        "class M:\n"
        "    def predict(self, rows):\n"
        "        for _ in range(300): print('x' * 1_000_000)\n"
        "        return [0] * len(rows)\n" + LOADS
    )
    version = made_of(tmp_path / "model", code)
    said = scoring.predict(version, rows, data_digest="d", home=state, progress=silent, section=TRUSTING)
    assert said.values.tolist() == [0, 0, 0]
    size = sum(path.stat().st_size for path in (state.cache / "predictions").rglob("*") if path.is_file())
    assert size < 100_000, "nothing of it is kept"


def test_nothing_is_loaded_that_the_scan_refuses(tmp_path: Path, rows: pd.DataFrame, state: Home) -> None:
    marker = tmp_path / "loaded"
    version = made_of(tmp_path / "model", f"open({str(marker)!r}, 'w')\ndef _load_pyfunc(path): ...")
    with pytest.raises(ModelRefused, match="the module loader, which loads it") as caught:
        scoring.predict(version, rows, data_digest="d", home=state, progress=silent)
    assert "allow_code" in caught.value.hint
    assert not marker.exists()


def test_a_model_sees_no_secrets(
    tmp_path: Path, rows: pd.DataFrame, state: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "GITHUB_TOKEN", "FLIGHT_API_KEYS", "GIVEN"):
        monkeypatch.setenv(name, "s3cret")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:s3cret@example.com")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "told")
    code = (
        "import os\n"
        "class M:\n"
        "    def predict(self, rows):\n"
        "        seen = sorted(k for k, v in os.environ.items() if 's3cret' in v or v == 'told')\n"
        "        return [' '.join(seen)] * len(rows)\n" + LOADS
    )
    version = made_of(tmp_path / "model", code)
    section = SecurityGate(allow_code=True, environment=("GIVEN", "NOT_SET"))
    said = scoring.predict(version, rows, data_digest="d", home=state, progress=silent, section=section)
    assert said.values[0] == "GIVEN MLFLOW_EXPERIMENT_NAME"


COUNTS_LOADS = """
import os, threading
class M:
    loads = 0
    def predict(self, rows):
        return [os.getpid()] * len(rows)
def _load_pyfunc(path):
    M.loads += 1
    assert M.loads == 1
    return M()
"""


def test_a_session_loads_once_and_answers_from_any_thread(tmp_path: Path, rows: pd.DataFrame, state: Home) -> None:
    from concurrent.futures import ThreadPoolExecutor

    version = made_of(tmp_path / "model", COUNTS_LOADS)
    said: list[str] = []
    with scoring.Session(state, said.append, TRUSTING) as session:
        session.prepare([version])
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(session.score, [version], rows, f"d{number % 3}") for number in range(6)]
            pids = {int(one.result()[0].values[0]) for one in asked}
        assert len(pids) == 1, "one process answers everything"
        assert len(said) == 3, "the same rows are asked once, also at the same time"
    assert _gone(pids.pop())
    with pytest.raises(DataError, match="has ended"):
        session.score([version], rows, "d9")


def test_a_session_goes_on_after_rows_that_do_not_fit_and_after_a_crash(
    tmp_path: Path, rows: pd.DataFrame, state: Home
) -> None:
    code = (
        "import os\n"
        "class M:\n"
        "    def predict(self, rows):\n"
        "        if rows.a.max() > 5: os._exit(7)\n"
        "        return rows.a.to_numpy()\n" + LOADS
    )
    version = made_of(tmp_path / "model", code, "a")
    with scoring.Session(state, silent, TRUSTING) as session:
        with pytest.raises(DataError, match="lack a column"):
            session.score([version], rows.drop(columns="a"), "without")
        with pytest.raises(ModelFault, match="exit code 7"):
            session.score([version], rows.assign(a=9), "deadly")
        (said,) = session.score([version], rows, "fine")
        assert said.values.tolist() == [1.0, 2.0, 3.0]


def test_rows_without_a_column_name_it_before_the_model_is_asked(
    tmp_path: Path, rows: pd.DataFrame, state: Home
) -> None:
    version = made_of(tmp_path / "model", "class M:\n    def predict(self, rows): raise ValueError" + LOADS, "a", "z")
    with pytest.raises(DataError, match="lack a column that the model asks for: z"):
        scoring.predict(version, rows, data_digest="d", home=state, progress=silent, section=TRUSTING)


def test_rows_may_be_a_file_and_a_file_that_is_none_says_so(tmp_path: Path, rows: pd.DataFrame, state: Home) -> None:
    code = "class M:\n    def predict(self, rows): return rows['b'].notna().to_numpy()" + LOADS
    version = made_of(tmp_path / "model", code, "b")
    rows.to_csv(tmp_path / "rows.csv", index=False)
    kept = scoring.predict(
        version, tmp_path / "rows.csv", data_digest="d", home=state, progress=silent, section=TRUSTING
    )
    assert kept.values.tolist() == [True, False, True]
    (tmp_path / "rows.parquet").write_text("no")
    with pytest.raises(DataError, match="the rows cannot be read"):
        scoring.predict(
            version, tmp_path / "rows.parquet", data_digest="e", home=state, progress=silent, section=TRUSTING
        )


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
    predictions = scoring.predict(version, rows, data_digest="d", home=state, progress=silent, section=TRUSTING)
    assert predictions.values.tolist() == ["in time", "late", "late"]
    assert predictions.scores is None
    assert predictions.classes is None


SCORE = """
import sys
from pathlib import Path
import pandas as pd
from mlship.scoring import session as scoring
from mlship.home import Home
from mlship.policy.gates import SecurityGate
from mlship.registry.files import digest_of
from mlship.types import ModelVersion
version = ModelVersion("m", "1", digest_of(Path(sys.argv[1])), Path(sys.argv[1]))
home = Home(Path(sys.argv[2]))
section = SecurityGate(allow_code=True)
scoring.predict(version, pd.DataFrame({"a": [1]}), data_digest="d", home=home, progress=print, section=section)
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
    values = answers.one_each(predicted, 2)
    assert values.dtype.kind == kind
    assert values.shape == (2,)


def test_predictions_that_cannot_be_judged_are_refused() -> None:
    with pytest.raises(ModelError, match="of type NoneType, str"):
        answers.one_each(np.array(["a", None], dtype=object), 2)
    with pytest.raises(ModelError, match="gives 2 x 3 for 2 rows"):
        answers.one_each(np.zeros((2, 3)), 2)
    with pytest.raises(ModelError, match="no finite number for 2 of 3 rows"):
        answers.check(np.array([1.0, np.nan, np.inf]))
