"""A function of the team has a process of its own: whatever happens there is told, and nothing of it is left."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from mlship.gates.metrics import apart


def written(directory: Path, code: str) -> Path:
    (directory / "team.py").write_text(code)
    return directory


def test_it_gets_arrays_and_gives_numbers(tmp_path: Path) -> None:
    function = apart.find(
        "team:f", written(tmp_path, "def f(a, b, c):\n    return (a == b).mean() + (0 if c is None else 1)\n")
    )
    assert function.source.startswith("team:f (sha256 ")
    labels = np.array(["x", "y", "y"], dtype=object)
    assert function.call(labels, labels, None) == 1.0
    assert function.call(np.arange(3), np.array([0, 1, 5]), np.ones((3, 2))) == pytest.approx(1 + 2 / 3)


def test_an_array_comes_back_as_one(tmp_path: Path) -> None:
    function = apart.find("team:f", written(tmp_path, "def f(a, b):\n    return a * 2.5\n"))
    rows = np.arange(300_000)
    np.testing.assert_array_equal(function.call(rows, rows), rows * 2.5)


def test_the_same_function_shares_a_process_and_leaves_none(tmp_path: Path) -> None:
    base = written(tmp_path, "import os\n\ndef f():\n    return os.getpid()\n")
    one, two = apart.find("team:f", base), apart.find("team:f", base)
    pid = one.call()
    assert isinstance(pid, float)
    assert (two.call(), one is two, pid != os.getpid()) == (pid, True, True)
    del one, two
    assert not Path(f"/proc/{pid:.0f}").exists()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "import os\ndef f():\n    os._exit(0)\n",
            "ended its process before it gave a result: it ended with exit code 0",
        ),
        ("import os\ndef f():\n    os.kill(os.getpid(), 9)\n", "was killed by signal 9"),
        ("import os\nos._exit(3)\n", "it ended with exit code 3"),
        ("def f():\n    raise SystemExit(0)\n", "team:f failed at team.py:2: SystemExit: 0"),
        ("def f():\n    return [[1], [1, 2]]\n", "team:f gives list, not numbers"),
        ("def f():\n    return object()\n", "team:f gives object, not numbers"),
        ("def g():\n    return 1\n", "team.py has no function 'f'"),
    ],
)
def test_what_goes_wrong_there_is_told_here(tmp_path: Path, code: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        apart.find("team:f", written(tmp_path, code)).call()


def test_what_hangs_is_stopped(tmp_path: Path) -> None:
    function = apart.find("team:f", written(tmp_path, "import time\n\ndef f():\n    time.sleep(60)\n"), limit=3)
    started = time.monotonic()
    with pytest.raises(ValueError, match="did not answer within 3s and was stopped"):
        function.call()
    assert time.monotonic() - started < 20


def test_what_it_prints_is_no_part_of_the_answer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = "import os\n\ndef f():\n    print('hello')\n    os.write(1, b'there')\n    os.system('echo all')\n"
    code += "    return 7\n"
    assert apart.find("team:f", written(tmp_path, code)).call() == 7
    told = capfd.readouterr()
    assert told.out == ""
    assert {"hello", "all"} <= set(told.err.replace("there", "").split())
