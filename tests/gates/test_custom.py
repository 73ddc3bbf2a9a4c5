"""Gates of the team's own: real processes, strict answers, and no way to pass by accident."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.exhibits import Table
from mlship.gates.custom.answer import AnswerError, read, results
from mlship.gates.custom.gate import Custom
from mlship.types import GateResult, Status
from tests.gates.support import Case, Said, assert_page_shows, said

N = 300
RNG = np.random.default_rng(21)
ROWS = pd.DataFrame({"hour": RNG.integers(0, 24, N), "delay": RNG.normal(5, 20, N).round(1)})
ROWS["late"] = ((ROWS["delay"] > 15) ^ (RNG.random(N) < 0.03)).astype(int)
PAGE = Path(__file__).parents[2] / "docs" / "gates" / "custom.md"
PARITY = """
import json, os
import pandas as pd

given = json.load(open(os.environ["MLSHIP_INPUT"]))
rows = pd.read_parquet(given["rows"])
ours = pd.read_parquet(given["candidate"]["predictions"])["prediction"]
night = ours[rows["hour"] < 6].mean() - ours[rows["hour"] >= 6].mean()
limit = 0.01 if "--strict" in os.sys.argv else 0.5
print(json.dumps({"rule": "night", "value": abs(night), "max": limit, "share": True, "n": len(rows)}))
"""


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """The directory of a policy, with the function of the page and a command beside it."""
    python = PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    (tmp_path / "checks.py").write_text(python, encoding="utf-8")
    (tmp_path / "parity.py").write_text(PARITY, encoding="utf-8")
    return tmp_path


def _case(base: Path, rows: pd.DataFrame | None = ROWS, **gates: Any) -> Case:
    case = Case(gates={"custom": gates}, rows=rows, target="late", base=base)
    if rows is not None:
        case.candidate = said(np.where(rows["delay"] > 15, 0.9, 0.2))
        case.champion = said(np.where(rows["delay"] > 25, 0.8, 0.3))
    return case


def _function(base: Path, body: str, **rules: Any) -> dict[str, GateResult]:
    (base / "own.py").write_text(dedent(body), encoding="utf-8")
    return _case(base, g={"function": "own:check", **rules}).judged(Custom())


def _command(base: Path, code: str, **rules: Any) -> dict[str, GateResult]:
    return _case(base, g={"command": [sys.executable, "-c", dedent(code)], **rules}).judged(Custom())


def examples(base: Path) -> dict[str, tuple[Custom, Case]]:
    """What the page shows, by its headings."""
    night = {"function": "checks:night_flights"}
    steady = _case(base, night=night, parity={"command": [sys.executable, "parity.py"]})
    worse = _case(base, night=night, parity={"command": [sys.executable, "parity.py", "--strict"]})
    worse.gates["custom"]["licence"] = {"command": ["./licence.sh"]}
    worse.candidate = said(np.where(ROWS["delay"] > 5, 0.9, 0.2))
    return {"Passing": (Custom(), steady), "Failing": (Custom(), worse)}


@pytest.mark.parametrize("outcome", ["Passing", "Failing"])
def test_the_page_shows_what_the_gate_says(outcome: str, beside: Path) -> None:
    """The function on the page is the one that is run."""
    gate, case = examples(beside)[outcome]
    assert_page_shows(gate, outcome, case)


def test_a_function_is_given_rows_label_and_both_models(tmp_path: Path) -> None:
    """All that the page promises, in the order of the rows."""
    found = _function(
        tmp_path,
        """
        import os
        from pathlib import Path
        import numpy as np

        def check(given):
            assert given.gate == "g" and given.model == "m" and given.target == "late" and given.time is None
            assert given.directory == Path.cwd() == Path(__file__).parent
            assert list(given.features) == ["hour", "delay"] and given.labels.name == "late"
            ours, theirs = given.candidate, given.champion
            assert (ours.version, theirs.version) == ("2", "1") and ours.digest == "sha256:" + "2" * 8
            assert ours.scores.shape == (300, 2) and ours.classes == (0, 1)
            assert ((given.rows["delay"] > 15) == (ours.predictions == 1)).all()
            assert ((given.rows["delay"] > 25) == (theirs.predictions == 1)).all()
            assert np.isclose(theirs.scores[:, 1].max(), 0.8)
            return {"value": np.float64(0.5), "min": np.int64(0), "n": np.int64(300)}
        """,
    )["g"]
    assert found.status is Status.PASSED, found.reason
    assert found.measured is not None
    assert found.measured.source.startswith("own:check (sha256 ")


def test_a_command_is_given_the_same_by_name_and_on_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its digest in the evidence when it stands beside the policy."""
    (tmp_path / "look.py").write_text(
        dedent(
            """
            import json, os, sys
            import pandas as pd
            given = json.load(sys.stdin)
            assert given == json.load(open(os.environ["MLSHIP_INPUT"]))
            assert given["format"] == 1 and given["champion"]["version"] == "1"
            assert os.getcwd() == given["directory"] and os.environ["MINE"] == "yes"
            ours = pd.read_parquet(given["candidate"]["predictions"])
            assert list(ours) == ["prediction", "score_0", "score_1"] and given["candidate"]["classes"] == [0, 1]
            print(json.dumps([{"rule": "rows", "value": len(pd.read_parquet(given["rows"])), "min": 300}]))
            """
        ),
        encoding="utf-8",
    )
    monkeypatch.setenv("MINE", "yes")
    found = _case(tmp_path, g={"command": [sys.executable, "look.py"]}).judged(Custom())["g rows"]
    assert found.status is Status.PASSED, found.reason
    assert found.measured is not None
    assert "look.py (sha256 " in found.measured.source


def test_without_rows_a_gate_still_runs(tmp_path: Path) -> None:
    """It may ask something about the model's files; predictions are not there."""
    (tmp_path / "own.py").write_text(
        "def check(given):\n    assert given.rows is None and given.candidate.predictions is None\n"
        "    return {'status': 'skipped', 'reason': 'no rows'}\n",
        encoding="utf-8",
    )
    found = _case(tmp_path, None, g={"function": "own:check"}).judged(Custom())["g"]
    assert (found.status, found.reason) == (Status.SKIPPED, "no rows")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("def check(given):\n    return {}['gone']", "own:check failed at own.py:2: KeyError: 'gone'"),
        ("import nowhere_at_all", "own:check cannot be imported at own.py:1: ModuleNotFoundError"),
        ("def chek(given): ...", "own.py has no function 'check'; did you mean 'chek'?"),
        ("def check(given):\n    import sys\n    sys.exit(0)", "SystemExit"),
        ("def check(given):\n    import os\n    os._exit(0)", "ended the process before it gave a result"),
        ("def check(given):\n    import os\n    os.abort()", "was killed by SIGABRT"),
        ("def check(given):\n    return given.rows", "gives something else than results: DataFrame is no text"),
        ("def check(given):\n    return {'value': float('nan'), 'min': 0}", "it gives NaN, which is no number"),
        ("def check(given):\n    return None", "it gives nothing; expected a result"),
        ("def check(given):\n    return True", "it gives true or false; expected a result"),
    ],
)
def test_a_function_that_gives_no_result_is_an_error(body: str, reason: str, tmp_path: Path) -> None:
    """With the line of the team's own file where there is one."""
    (found,) = _function(tmp_path, body).values()
    assert found.status is Status.ERROR
    assert reason in found.reason
    assert found.rule == "g"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('all good')", "it printed no JSON, but 'all good'"),
        ("pass", "it printed nothing; expected JSON"),
        ("import sys; print('cannot reach it', file=sys.stderr); exit(3)", "3; the last it wrote was: cannot reach it"),
        ("raise SystemExit(1)", "ended with exit code 1; it wrote nothing on stderr"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
        ("print('[' * 100_000)", "it printed no JSON"),
        ("print('{\"a\": ' + '1' * 10_000 + '}')", "it printed no JSON"),
        ("print('x' * 2_000_000)", "printed more than 1,000,000 bytes"),
        ("print('{\"status\": \"passed\"')", "it printed no JSON"),
        ("print('{\"value\": Infinity, \"min\": 0}')", "it gives Infinity, which is no number"),
    ],
)  # fmt: skip
def test_a_command_that_prints_no_result_is_an_error(code: str, reason: str, tmp_path: Path) -> None:
    """With the last that it wrote, so that one need not run it by hand."""
    (found,) = _command(tmp_path, code).values()
    assert found.status is Status.ERROR
    assert reason in found.reason


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """Beside the policy it is written with a slash, as in a shell."""
    (tmp_path / "check.sh").write_text('#!/bin/sh\necho \'{"status": "passed"}\'\n', encoding="utf-8")

    def found(program: str) -> GateResult:
        return _case(tmp_path, g={"command": [program]}).judged(Custom())["g"]

    assert found("no-such-program").reason == "there is no program 'no-such-program'"
    assert found("check.sh").reason == "there is no program 'check.sh'; did you mean './check.sh'?"
    assert "./check.sh cannot be run: Permission denied" in found("./check.sh").reason
    (tmp_path / "check.sh").chmod(0o755)
    assert found("./check.sh").status is Status.PASSED


def test_one_that_hangs_is_stopped_with_what_it_started(tmp_path: Path) -> None:
    """And with the last that it wrote."""
    found = _command(
        tmp_path,
        """
        import subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open("pid", "w").write(str(child.pid))
        print("waiting for the store", file=sys.stderr, flush=True)
        time.sleep(600)
        """,
        timeout="3s",
    )["g"]
    assert found.status is Status.ERROR
    assert found.reason == "it did not finish within 3s and was stopped; the last it wrote was: waiting for the store"
    assert _is_gone(int((tmp_path / "pid").read_text(encoding="utf-8")))


def test_what_it_leaves_in_the_background_is_stopped(tmp_path: Path) -> None:
    """Also when it has answered well; and nothing is left of what was handed over."""
    found = _command(
        tmp_path,
        """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=subprocess.DEVNULL)
        open("pid", "w").write(str(child.pid))
        print('{"status": "passed"}')
        """,
    )["g"]
    assert found.status is Status.PASSED
    assert _is_gone(int((tmp_path / "pid").read_text(encoding="utf-8")))
    assert list((tmp_path / ".mlship" / "cache").glob("custom-*")) == []


def _is_gone(pid: int) -> bool:
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_one_gate_does_not_stop_the_others(tmp_path: Path) -> None:
    """And each is judged by itself."""
    (tmp_path / "own.py").write_text("def check(given):\n    return {'status': 'passed'}\n", encoding="utf-8")
    gates: dict[str, Any] = {
        "broken": {"command": [sys.executable, "-c", "raise ValueError"]},
        "sound": {"function": "own:check"},
        "both": {"function": "own:check", "command": ["true"]},
        "neither": {},
    }
    found = _case(tmp_path, **gates).judged(Custom())
    assert {name: result.status for name, result in found.items()} == {
        "broken": Status.ERROR,
        "sound": Status.PASSED,
        "both": Status.ERROR,
        "neither": Status.ERROR,
    }
    assert "a function or a command, one of the two" in found["both"].reason


def test_two_gates_cannot_give_one_name(tmp_path: Path) -> None:
    """`a b` with the rule `c` is `a` with the rule `b c`: neither counts."""
    gates: dict[str, Any] = {
        "a b": {"command": [sys.executable, "-c", 'print(\'{"rule": "c", "status": "passed"}\')']},
        "a": {"command": [sys.executable, "-c", 'print(\'{"rule": "b c", "status": "passed"}\')']},
    }
    (found,) = _case(tmp_path, **gates).judged(Custom()).values()
    assert found.status is Status.ERROR
    assert "two gates give a result named 'a b c'" in found.reason


def test_a_value_is_judged_by_its_intervals_worst_end() -> None:
    """As everywhere."""
    (found,) = results("g", {"value": 0.6, "low": 0.4, "high": 0.8, "n": 90, "min": 0.5, "reason": "at night"}, "s")
    assert found.status is Status.INCONCLUSIVE
    assert "it needs about" in found.reason
    assert found.reason.endswith("; at night")
    (found,) = results("g", {"value": 0.02, "max": 0.01, "share": True, "champion": 0.005}, "s")
    assert (found.status, found.limit) == (Status.FAILED, "<= 1%")
    assert found.champion is not None
    assert found.champion.value == 0.005


def test_a_status_of_its_own() -> None:
    """With its reason; a bare failure is a failure."""
    (passed,) = results("g", {"status": "passed", "value": 3}, "s")
    assert (passed.status, passed.reason, passed.rule) == (
        Status.PASSED,
        "the gate says that it passed, and no more",
        "g",
    )
    assert passed.measured is not None
    (failed,) = results("g", [{"rule": "r", "status": "failed"}], "s")
    assert (failed.status, failed.rule) == (Status.FAILED, "g r")
    assert failed.measured is not None
    assert (failed.measured.value, failed.measured.source) == (None, "s")
    (skipped,) = results("g", {"status": "skipped", "reason": "no\n champion"}, "s")
    assert skipped.reason == "no champion"


def test_a_table_is_shown() -> None:
    """Up to twenty rows, and how many there were."""
    table = {"columns": ["who", "share"], "rows": [[f"w{i}", i / 100] for i in range(30)], "shares": ["share"]}
    (found,) = results("g", {"rule": "r", "status": "passed", "table": table}, "s")
    assert found.exhibits == (
        Table(
            "g r",
            ("who", "share"),
            tuple((f"w{i}", i / 100) for i in range(20)),
            "the first 20 of 30 rows",
            ("share",),
        ),
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([], "it gives no result"),
        ("passed", "it gives text; expected a result"),
        ([{"status": "passed"}, "passed"], "it gives a list; expected"),
        ({}, "expected 'status', or 'value' with 'min' or 'max'"),
        ({"value": 1}, "expected 'min' or 'max' beside 'value'"),
        ({"status": "ok"}, "'status' is 'ok'; expected passed, failed, inconclusive and skipped"),
        ({"status": "error"}, "'status' is 'error'"),
        ({"status": True}, "'status' is True"),
        ({"status": "skipped"}, "a result that is skipped needs a 'reason'"),
        ({"status": "inconclusive", "reason": " "}, "'reason' is ' '; expected text"),
        ({"status": "passed", "reson": "x"}, "unknown key 'reson'; did you mean 'reason'?"),
        ({"status": "passed", "value": 1, "max": 2}, "a limit and a status"),
        ({"max": 2}, "'max' is a limit of 'value', which is not there"),
        ({"value": 1, "min": 0, "max": 2}, "one result for each limit"),
        ({"value": "1", "min": 0}, "'value' is '1'; expected a number"),
        ({"value": True, "min": 0}, "'value' is True; expected a number"),
        ({"value": 10**400, "min": 0}, "'value' is no finite number"),
        ({"value": float("nan"), "min": 0}, "'value' is no finite number"),
        ({"value": 1, "min": 0, "low": 0.5}, "one end of an interval"),
        ({"value": 1, "min": 0, "low": 2, "high": 3}, "are not in this order"),
        ({"status": "passed", "low": 1, "high": 2}, "an interval without a 'value'"),
        ({"value": 1, "min": 0, "n": 1.5}, "'n' is 1.5; expected the number of rows"),
        ({"value": 1, "min": 0, "share": 1}, "'share' is a number; expected true or false"),
        ({"rule": 3, "status": "passed"}, "'rule' is 3; expected text"),
        ([{"status": "passed"}, {"status": "passed"}], "two of its results are named 'g'"),
        ([{"status": "passed"}] * 101, "the most is 100"),
        ({"status": "passed", "table": [1]}, "'table' is a list; expected a mapping"),
        ({"status": "passed", "table": {"rows": []}}, "'columns' of the table must be a list of names"),
        ({"status": "passed", "table": {"columns": ["a"], "rows": [[1, 2]]}}, "rows of 1 cells each"),
        ({"status": "passed", "table": {"columns": ["a"], "rows": [[{}]]}}, "a cell of the table is a mapping"),
        ({"status": "passed", "table": {"columns": ["a"], "rows": [], "shares": ["b"]}}, "some of its columns"),
    ],
)
def test_an_answer_that_cannot_be_read_says_what_was_expected(answer: Any, reason: str) -> None:
    """Nothing of it counts."""
    with pytest.raises(AnswerError) as caught:
        results("g", answer, "s")
    assert reason in str(caught.value)


def test_what_is_read_is_what_was_printed() -> None:
    """Any JSON, nothing else."""
    assert read(' {"status": "passed"}\n') == {"status": "passed"}
    assert read(json.dumps([1, None, "ü"])) == [1, None, "ü"]
    with pytest.raises(AnswerError):
        read("\n ")


def test_predicted_numbers_and_decision_values(tmp_path: Path) -> None:
    """A model without classes has predictions only; one with a decision value has one score."""
    (tmp_path / "own.py").write_text(
        "def check(given):\n"
        "    assert given.candidate.scores is None and given.candidate.classes == ()\n"
        "    assert given.candidate.predictions.dtype == 'float64'\n"
        "    assert given.champion.scores.shape == (300,) and given.champion.classes == ('no', 'yes')\n"
        "    return {'status': 'passed'}\n",
        encoding="utf-8",
    )
    case = _case(tmp_path, g={"function": "own:check"})
    case.candidate = Said(ROWS["delay"].to_numpy())
    case.champion = Said(np.where(ROWS["delay"] > 0, "yes", "no"), ROWS["delay"].to_numpy(), np.array(["no", "yes"]))
    found = case.judged(Custom())["g"]
    assert found.status is Status.PASSED, found.reason


def test_columns_that_are_kept_compactly_are_handed_over_plainly(tmp_path: Path) -> None:
    """Texts as texts, whole numbers as 64 bits."""
    (tmp_path / "own.py").write_text(
        "def check(given):\n"
        "    found = {name: str(kind) for name, kind in given.rows.dtypes.items()}\n"
        "    return {'status': 'passed', 'reason': repr(found)}\n",
        encoding="utf-8",
    )
    rows = ROWS.assign(origin=pd.Categorical(["EWR"] * N), hour=ROWS["hour"].astype("int32"))
    found = _case(tmp_path, rows, g={"function": "own:check"}).judged(Custom())["g"]
    assert found.reason == "{'hour': 'int64', 'delay': 'float64', 'late': 'int64', 'origin': 'str'}"


def test_a_column_that_no_file_can_hold_is_an_error_that_names_it(tmp_path: Path) -> None:
    """As when rows are handed to a model."""
    from mlship.errors import DataError

    rows = ROWS.assign(mixed=[1 if i % 2 else "a" for i in range(N)])
    with pytest.raises(DataError, match="mixed"):
        _case(tmp_path, rows, g={"command": ["true"]}).judged(Custom())


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_gate_ends_with_the_tool(end: signal.Signals, tmp_path: Path) -> None:
    """On Ctrl-C, and also when the tool is killed and can do nothing about it."""
    tool = """
    from pathlib import Path
    from tests.gates.test_custom import _case
    from mlship.gates.custom.gate import Custom

    code = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    import sys
    _case(Path.cwd(), g={"command": [sys.executable, "-c", code]}).judged(Custom())
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", dedent(tool)], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        written = tmp_path / "pid"
        for _ in range(600):
            if written.is_file() and written.read_text(encoding="utf-8"):
                break
            time.sleep(0.1)
        process.send_signal(end)
        process.wait(30)
        assert _is_gone(int(written.read_text(encoding="utf-8")))
    finally:
        process.kill()
        process.wait()
