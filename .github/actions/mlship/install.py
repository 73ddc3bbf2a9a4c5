"""Installs mlship for the steps that follow: from a lock, by version, or from the repository that this action is of."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from runner import append, fail, say

_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*((a|b|rc|\.post|\.dev)[0-9]+)*")
_EXTRAS = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*( *, *[a-z0-9]+([-_][a-z0-9]+)*)*")


def main() -> None:
    """Choose what to install, install it into an environment of its own, and put that on the PATH of later steps."""
    version, extras, lock = (
        os.environ.get(f"INPUT_{name}", "").strip() for name in ("VERSION", "EXTRAS", "REQUIREMENTS")
    )
    if version and not _VERSION.fullmatch(version):
        fail("input 'version' is no version: such as 0.1.0")
    if extras and not _EXTRAS.fullmatch(extras):
        fail("input 'extras' is no list of extras: such as local,docker")
    if lock and (version or extras):
        fail("input 'requirements' says which mlship to install: leave out 'version' and 'extras'")
    wanted = f"[{extras.replace(' ', '')}]" if extras else ""
    if lock:
        if not Path(lock).is_file():
            fail(f"input 'requirements': there is no file {lock}")
        into(["--require-hashes", "-r", lock])
    elif version:
        into([f"mlship{wanted}=={version}"])
    elif found := shutil.which("mlship"):
        told([found])
    elif (root := repository()) is not None:
        into([f"{root}{wanted}"])
    else:
        fail("there is no mlship on the PATH: give this action 'version' or 'requirements', or install mlship before")


def repository() -> Path | None:
    """The checkout that this action is part of, when it is mlship's own."""
    import tomllib  # not in Python 3.10, which is to be told what it lacks

    root = Path(__file__).resolve().parents[3]
    try:
        name = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    except (OSError, ValueError, KeyError):
        return None
    return root if name == "mlship" else None


def into(what: list[str]) -> None:
    """Install by pip into a new environment; the runner's own Python is left alone."""
    place = Path(os.environ["RUNNER_TEMP"]) / f"mlship-{os.urandom(4).hex()}"
    python = place / "bin" / "python"
    # This Python's own pip can install into the other environment: seconds less than giving that one its own.
    own = subprocess.run([sys.executable, "-m", "pip", "--version"], check=False, capture_output=True).returncode == 0
    bare = ["--without-pip"] if own else []
    run([sys.executable, "-m", "venv", *bare, str(place)], "python3 cannot make an environment: give 'python-version'")
    pip = [sys.executable, "-m", "pip", "--python", str(python)] if own else [str(python), "-m", "pip"]
    run(
        [*pip, "install", "--quiet", "--disable-pip-version-check", *what],
        f"pip could not install {' '.join(what)}: see the log",
    )
    append("GITHUB_PATH", f"{place / 'bin'}\n")
    told([str(place / "bin" / "mlship")])


def run(command: list[str], otherwise: str) -> None:
    """Run a command, or end the step with a message."""
    if subprocess.run(command, check=False).returncode:
        fail(otherwise, 3)


def told(command: list[str]) -> None:
    """Say which mlship there is."""
    done = subprocess.run([*command, "--version"], check=False, capture_output=True, text=True)
    if done.returncode:
        fail(f"{command[0]} does not run: {done.stderr.strip()[-500:]}", 3)
    say(f"{done.stdout.strip()} from {command[0]}")


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - whatever Python the runner has, before any is installed
        fail("mlship needs Python 3.11 or newer: give this action 'python-version'", 3)
    main()
