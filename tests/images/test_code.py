"""The image holds what the server imports, and nothing else of mlship."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from mlship.images import code
from mlship.images.requirements import SERVER

#: What MLflow's small half brings, or the model does.
BROUGHT = {"mlflow", "opentelemetry", "packaging"}


def test_every_module_of_the_server_travels_and_no_command() -> None:
    files = code.modules()
    serving = Path(code.__file__).parent.parent / "serving"
    assert {f"serving/{path.name}" for path in serving.glob("*.py")} <= set(files)
    assert {"__init__.py", "errors.py"} <= set(files)
    rooms = {name.partition("/")[0] for name in files if "/" in name}
    assert rooms <= {"serving", "stats", "types"}
    assert list(files) == sorted(files)


def test_the_server_starts_from_the_copied_files_alone(tmp_path: Path) -> None:
    for name, path in code.modules().items():
        target = tmp_path / "mlship" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    script = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import mlship; "
        "assert mlship.__file__.startswith(sys.argv[1]); import importlib; "
        "[importlib.import_module('mlship.serving.' + p.stem) "
        "for p in pathlib.Path(sys.argv[1], 'mlship', 'serving').glob('*.py') if p.stem != '__init__']"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_everything_else_that_the_server_imports_is_asked_for() -> None:
    """A new import of the server fails here before it fails in a container."""
    names = {name.replace("-", "_") for name in SERVER} | BROUGHT
    foreign = code.third_party(code.modules()) - set(sys.stdlib_module_names) - {"", "__future__"}
    assert foreign <= names, foreign - names


def test_what_is_imported_for_types_only_does_not_travel(tmp_path: Path) -> None:
    package = tmp_path / "mlship"
    (package / "serving").mkdir(parents=True)
    for name in ("__init__", "errors", "types", "policy", "serving/__init__"):
        (package / f"{name}.py").write_text("")
    (package / "serving" / "app.py").write_text(
        "from typing import TYPE_CHECKING\nimport json\nfrom mlship.errors import Exit\n"
        "if TYPE_CHECKING:\n    from mlship.policy import Policy\n"
        "def late():\n    from mlship import types\n    from . import app\n"
    )
    files = code.modules(package)
    assert list(files) == ["__init__.py", "errors.py", "serving/__init__.py", "serving/app.py", "types.py"]
