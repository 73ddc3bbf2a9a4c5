"""What the action installs, with a real pip and a wheel of this test's own; no network."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import zipfile
from pathlib import Path

import pytest

from tests.ci.driver import ACTION, clean_environment, play

NAME, INFO = "mlship-9.9.9-py3-none-any.whl", "mlship-9.9.9.dist-info"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A directory with a wheel of mlship 9.9.9 that can only say its version."""
    directory = tmp_path / "wheels"
    directory.mkdir()
    files = {
        "mlship_nine.py": "def main():\n    print('mlship 9.9.9')\n",
        f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: mlship\nVersion: 9.9.9\nProvides-Extra: local\n",
        f"{INFO}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{INFO}/entry_points.txt": "[console_scripts]\nmlship = mlship_nine:main\n",
    }
    lines = []
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(text)}")
    files[f"{INFO}/RECORD"] = "\n".join([*lines, f"{INFO}/RECORD,,", ""])
    with zipfile.ZipFile(directory / NAME, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return directory


def _act(tmp_path: Path, wheels: Path, **inputs: str) -> tuple[int, str, list[str]]:
    runner = tmp_path / f"runner-{len(list(tmp_path.iterdir()))}"
    runner.mkdir()
    env = clean_environment(PIP_NO_INDEX="1", PIP_FIND_LINKS=wheels, HOME=tmp_path)
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    done = play(ACTION, {"command": "none", **inputs}, workspace=tmp_path, runner=runner, env=env)
    paths = (runner / "step-1" / "github_path").read_text().splitlines()
    step = done["Install mlship"]
    return step.code, step.stdout + step.stderr, paths


def test_a_version_goes_into_an_environment_of_its_own(tmp_path: Path, wheels: Path) -> None:
    """Later steps find it first on their PATH; this Python's own packages are as they were."""
    code, said, paths = _act(tmp_path, wheels, version="9.9.9", extras="local")
    assert code == 0, said
    assert "mlship 9.9.9 from " in said
    (path,) = paths
    assert Path(path, "mlship").exists()
    assert not Path(path).is_relative_to(Path(sys.executable).parents[1])


def test_a_lock_is_installed_by_its_hashes_only(tmp_path: Path, wheels: Path) -> None:
    """The right hash installs; a wheel that was swapped does not."""
    digest = hashlib.sha256((wheels / NAME).read_bytes()).hexdigest()
    lock = tmp_path / "mlship.lock"
    lock.write_text(f"mlship==9.9.9 --hash=sha256:{digest}\n")
    assert _act(tmp_path, wheels, requirements="mlship.lock")[0] == 0
    os.utime(wheels / NAME)
    with zipfile.ZipFile(wheels / NAME, "a") as archive:
        archive.writestr("more.py", "")
    code, said, paths = _act(tmp_path, wheels, requirements="mlship.lock")
    assert code == 3
    assert "::error title=mlship::pip could not install --require-hashes -r mlship.lock" in said
    assert paths == []


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"version": "--index-url=https://evil.example"}, "input 'version' is no version"),
        ({"version": "0.1.0", "extras": "local]@https://evil.example"}, "input 'extras' is no list of extras"),
        ({"requirements": "missing.lock"}, "input 'requirements': there is no file missing.lock"),
        ({"requirements": "x", "version": "0.1.0"}, "leave out 'version' and 'extras'"),
    ],
)
def test_what_is_no_version_never_reaches_pip(tmp_path: Path, wheels: Path, inputs: dict[str, str], said: str) -> None:
    """One annotation that names the input."""
    code, text, paths = _act(tmp_path, wheels, **inputs)
    assert code == 2
    assert said in text
    assert paths == []
