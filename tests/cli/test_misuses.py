"""The table of misuses: each gets one message that names the place and the way out, a documented code, no traceback."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mlship.cli import common, telling
from mlship.cli.common import Loudness
from mlship.cli.main import main
from mlship.engines import table
from tests.cli.misuses import POLICY, TABLE, Misuse
from tests.fakes.rollout import Stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A state directory in which version 2 was promoted once."""
    found = Stage(tmp_path_factory.mktemp("misuses"))
    found.serve_stable()
    assert found.run().verdict == "promoted"
    return found


@pytest.fixture
def here(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mlship.yaml").write_text(POLICY)
    (tmp_path / "rows.csv").write_text("hour,late\n1,0\n2,1\n")
    (tmp_path / "a-file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLSHIP_HOME", str(stage.home.path))
    monkeypatch.setattr(table, "found", lambda *_: stage.engine)
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "MLSHIP_DEBUG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def ran(
    misuse: Misuse, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one row, run in this process."""
    for name, value in misuse.environ.items():
        monkeypatch.setenv(name, value)
    if misuse.gone:
        (here / "gone").mkdir()
        monkeypatch.chdir(here / "gone")
        (here / "gone").rmdir()
        monkeypatch.delenv("MLSHIP_HOME")
    telling._has_told.clear()  # a process tells one result
    telling._awaited.clear()
    common.set_loudness(Loudness.NORMAL)
    monkeypatch.setattr("sys.argv", ["mlship", *shlex.split(misuse.line), *more])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    os.chdir(here)
    return int(end.value.code or 0), said.out, said.err


def test_the_table_has_more_than_twenty_rows() -> None:
    assert len(TABLE) >= 20
    assert len({row.name for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize("misuse", TABLE, ids=lambda row: row.name)
def test_a_misuse_gets_one_message_with_the_way_out(
    misuse: Misuse, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, errors = ran(misuse, here, monkeypatch, capsys)
    assert code == misuse.code, out + errors
    told = out if misuse.name == "docker host" else errors
    for part in misuse.said:
        assert part in told
    assert "Traceback" not in out + errors
    assert "internal error" not in errors
    if told is errors:
        one = re.findall(r"^mlship: (?!reaching|fetching)(.*)$", errors, re.MULTILINE)
        assert len(one) == 1, errors
        assert errors.count("\n  next: ") == 1 or "such as 200ms" in errors or "200ms, 30s" in errors, "the way out"


@pytest.mark.parametrize("misuse", [row for row in TABLE if row.formats], ids=lambda row: row.name)
def test_a_misuse_is_told_to_machines_in_their_format(
    misuse: Misuse, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One JSON document, or one annotation, on stdout; the message for people stays on stderr."""
    code, out, errors = ran(misuse, here, monkeypatch, capsys, "--format", "json")
    document = json.loads(out)
    assert (code, document["verdict"], document["exit_code"]) == (misuse.code, "error", misuse.code)
    assert document["reason"]
    assert document["reason"].splitlines()[0] in errors
    assert misuse.said[0] in errors
    assert misuse.said[-1] in document["reason"] + document["hint"]

    code, out, _ = ran(
        replace(misuse, gone=False) if misuse.gone else misuse, here, monkeypatch, capsys, "--format=github"
    )
    if not misuse.gone:
        assert code == misuse.code
        assert out.startswith("::error ")
        assert out.count("::error ") == 1


def mlship(here: Path, script: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """A line of bash in which `mlship` is a process of its own."""
    program = f'mlship() {{ "{sys.executable}" -m mlship "$@"; }}; {script}'
    kept = {name: value for name, value in os.environ.items() if name not in ("GITHUB_OUTPUT", "MLSHIP_DEBUG")}
    return subprocess.run(
        ["bash", "-c", program], cwd=here, env={**kept, **environ}, capture_output=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("mlship validate | head -0; exit ${PIPESTATUS[0]}", 3, "mlship: nobody reads stdout any more\n  next: "),
        ("mlship --help | head -0; exit ${PIPESTATUS[0]}", 3, "mlship: nobody reads stdout any more\n  next: "),
        ("mlship validate > /dev/full", 3, "mlship: stdout cannot be written: No space left on device\n  next: "),
        ("mlship validate >&-", 0, ""),
        ("mlship nonsense 2>&-", 2, ""),
        ("mlship nonsense 2>/dev/full", 2, ""),
        ("mlship validate <&-", 0, ""),
        ("unset HOME MLSHIP_HOME; mlship status", 0, ""),
    ],
)
def test_streams_and_homes_that_are_not_there(here: Path, script: str, code: int, said: str) -> None:
    """The exit code is the verdict's, or says that nobody got to know it; never a gate's."""
    done = mlship(here, script)
    assert done.returncode == code, done.stderr
    assert done.stderr.decode().startswith(said)
    assert done.stderr.count(b"mlship: ") == bool(said)


def test_a_name_that_is_no_text_is_shown_by_its_bytes(here: Path) -> None:
    done = mlship(here, "mlship evaluate $'a\\xff.yaml' --format json")
    assert done.returncode == 2
    assert done.stderr.startswith(b"mlship: a\\udcff.yaml: there is no such file\n  next: name an existing policy")
    assert json.loads(done.stdout)["exit_code"] == 2


def test_a_locale_without_letters_loses_none(here: Path) -> None:
    done = mlship(here, "mlship status 'modèle/漢'", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 2
    assert b": a path or an address, where the name of a registered model is wanted" in done.stderr
    assert b"Traceback" not in done.stderr


def test_ctrl_c_while_a_registry_does_not_answer(here: Path) -> None:
    """130 and one word, also as JSON."""
    with socket.create_server(("127.0.0.1", 0)) as registry:
        uri = f"http://127.0.0.1:{registry.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "mlship", "evaluate", "mlship.yaml", "--format", "json"],
            cwd=here, env={**os.environ, "MLFLOW_TRACKING_URI": uri}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        registry.settimeout(50)
        with contextlib.closing(registry.accept()[0]):
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "mlship: interrupted"
    assert "Traceback" not in errors
    assert json.loads(out)["verdict"] == "interrupted"
