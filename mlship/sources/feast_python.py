"""A Python that has Feast: the one that is named, or an environment that is made once in the state directory."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.errors import DataError

if TYPE_CHECKING:
    from mlship.home import Home

#: The Feast that is installed when none is named; tested against this version.
VERSION = "0.67.0"
_MINUTES = 15


def python_for(named: Path | None, home: Home, progress: Callable[[str], None]) -> Path:
    """The interpreter to run Feast with: `named`, else `FEAST_PYTHON`, else that of an environment made here.

    Making it takes a minute and a package index. Raises ``DataError`` when the one named is none, or when none can be
    made, with the commands that would make one.
    """
    if named is not None:
        return _checked(named, "gates.skew.feast.python")
    if told := os.environ.get("FEAST_PYTHON"):
        return _checked(Path(told), "FEAST_PYTHON")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    directory = home.ensure(home.cache) / f"feast-{VERSION}-python{version}"
    python = directory / "bin" / "python"
    with (home.cache / f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two evaluations at once make one environment
        if not (directory / ".complete").is_file():
            _make(directory, python, progress)
            (directory / ".complete").touch()
    return python


def _checked(python: Path, where: str) -> Path:
    found = shutil.which(str(python))
    if found is None:
        raise DataError(
            f"there is no Python at {python}",
            where=where,
            hint="name the interpreter of an environment with Feast, such as feast/bin/python",
        )
    return Path(found)


def commands(directory: Path, python: Path) -> list[list[str]]:
    """What makes the environment: with uv where there is one (seconds), else with venv and pip (a minute)."""
    beside = Path(sys.executable).with_name("uv")
    uv = shutil.which("uv") or (str(beside) if beside.is_file() else None)
    package = f"feast=={VERSION}"
    if uv is not None:
        return [
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(directory)],
            [uv, "pip", "install", "--quiet", "--python", str(python), package],
        ]
    return [
        [sys.executable, "-m", "venv", "--clear", str(directory)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package],
    ]


def _make(directory: Path, python: Path, progress: Callable[[str], None]) -> None:
    progress(f"installing Feast {VERSION} into an environment of its own (once; about a minute)")
    for command in commands(directory, python):
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_MINUTES * 60,
                check=False,
            )
            failed, said = done.returncode != 0, done.stderr or done.stdout
        except subprocess.TimeoutExpired:
            failed, said = True, f"it did not end within {_MINUTES} minutes"
        except OSError as error:
            failed, said = True, str(error)
        if failed:
            shutil.rmtree(directory, ignore_errors=True)
            raise DataError(
                f"Feast could not be installed: {_reason(said)}",
                where=Path(command[0]).name,
                hint=f"with a package index: python3 -m venv feast && feast/bin/pip install feast=={VERSION}, "
                "and set FEAST_PYTHON=feast/bin/python",
            )


def _reason(said: str) -> str:
    """The last line that says what is wrong, without the password of an index."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    # pip ends with "no matching distribution" also when no index answered.
    lines = [line for line in lines if re.search(r"(?i)connect|resolv|network|proxy|timed out|dns", line)] or lines
    telling = [line for line in lines if re.match(r"(?i)error|\u00d7|\u2570", line)] or lines or ["it did not say why"]
    return re.sub(r"//[^/@\s]+@", "//***@", telling[-1])[:300]
