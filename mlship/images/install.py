"""Runs inside the build, by the base's Python: installs the wheels, leaves tests out, compiles, and tries the imports.

It uses the standard library only, and travels into the build as it is.
"""

from __future__ import annotations

import compileall
import importlib
import importlib.util
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

CONTEXT = Path(__file__).parent
#: Packages that ship their tests, which nothing imports: a tenth of what a scikit-learn model needs.
TESTED = ("numpy", "scipy", "pandas", "sklearn", "pyarrow", "joblib", "matplotlib", "statsmodels")


def install() -> None:
    """Install every wheel, each against its hash, from the context alone; pip itself runs out of its own wheel."""
    (pip,) = (CONTEXT / "pip").glob("*.whl")
    command = [sys.executable, f"{pip}/pip", "install", "--no-index", "--no-deps", "--require-hashes", "--no-compile"]
    command += ["--no-cache-dir", "--disable-pip-version-check", "--root-user-action", "ignore", "--quiet"]
    command += ["--find-links", str(CONTEXT / "wheels"), "--requirement", str(CONTEXT / "requirements.txt")]
    if code := subprocess.run(command, check=False).returncode:
        sys.exit(f"install.py: pip ended with exit code {code}")


def trim(site: Path) -> None:
    """Leave out what a server never imports."""
    for package in TESTED:
        for tests in [*(site / package).rglob("tests"), *(site / package).rglob("test")]:
            if tests.is_dir():
                shutil.rmtree(tests)


def compile_all(site: Path) -> None:
    """Write byte code that is never checked against its source: a read-only container cannot write its own."""
    compileall.compile_dir(site, quiet=2, workers=0, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def try_imports(names: list[str]) -> None:
    """Import what the server will; a name after `?` only if it is there."""
    for name in names:
        try:
            if not name.startswith("?") or importlib.util.find_spec(name[1:]) is not None:
                importlib.import_module(name.removeprefix("?"))
        except Exception as error:  # noqa: BLE001 - whatever a package raises, the build stops with its words
            sys.exit(f"install.py: cannot import {name.removeprefix('?')}: {type(error).__name__}: {error}")


if __name__ == "__main__":
    install()
    importlib.invalidate_caches()
    trim(Path(sysconfig.get_path("purelib")))
    compile_all(Path(sysconfig.get_path("purelib")))
    try_imports(sys.argv[1:])
