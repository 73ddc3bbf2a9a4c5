"""Finds the shipped templates: inside the installed wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def template(name: str) -> Path:
    """Path of the shipped template `name`, such as `policy.yaml`.

    Raises ``FileNotFoundError`` when no such template is shipped.
    """
    for directory in (_PACKAGE / "_templates", _PACKAGE.parent / "templates"):
        if (directory / name).is_file():
            return directory / name
    raise FileNotFoundError(f"no template named {name} is shipped with mlship")
