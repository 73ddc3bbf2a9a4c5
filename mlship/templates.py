"""Finds the shipped templates: inside the installed wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent
#: What is shipped below `mlship/_templates`, and where a checkout has it; pyproject.toml says the same to the wheel.
ORIGINS = {"ci/github/action": ".github/actions/mlship", "": "templates"}


def template(name: str) -> Path:
    """Path of the shipped template `name`, such as `policy.yaml`.

    Raises ``FileNotFoundError`` when no such template is shipped.
    """
    for path in _places(name):
        if path.is_file():
            return path
    raise FileNotFoundError(f"no template named {name} is shipped with mlship")


def below(name: str) -> dict[str, Path]:
    """Every shipped file below a directory of templates, by its path from there, sorted.

    Raises ``FileNotFoundError`` when no such directory is shipped.
    """
    for directory in _places(name):
        if directory.is_dir():
            found = sorted(path for path in directory.rglob("*") if path.is_file() and path.suffix != ".pyc")
            return {path.relative_to(directory).as_posix(): path for path in found}
    raise FileNotFoundError(f"no templates named {name} are shipped with mlship")


def _places(name: str) -> list[Path]:
    """Where something of that name may be: in the wheel first."""
    origin = next(there for there in ORIGINS if name == there or name.startswith(f"{there}/") or not there)
    return [_PACKAGE / "_templates" / name, _PACKAGE.parent / ORIGINS[origin] / name[len(origin) :].lstrip("/")]
