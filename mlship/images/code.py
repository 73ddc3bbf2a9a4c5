"""mlship's own code inside the image: exactly the modules that the model server imports, and no more."""

from __future__ import annotations

import ast
from pathlib import Path


def modules(package: Path | None = None, program: str = "serving") -> dict[str, Path]:
    """The files of mlship that `python -m mlship.PROGRAM` can reach, by their path inside `mlship/`; sorted.

    Every module of the program counts, and what these import of mlship, directly or not, at the top or inside a
    function; what is imported for type checking only does not.

    Parameters
    ----------
    package
        Directory of the package; default: the one that is running.
    """
    root = package if package is not None else Path(__file__).parent.parent
    found: dict[str, Path] = {}
    pending = [f"mlship.{program}.{path.stem}" for path in sorted((root / program).glob("*.py"))]
    while pending:
        name = pending.pop()
        path = _file(root, name)
        if path is None:
            continue
        inside = path.relative_to(root).as_posix()
        if inside in found:
            continue
        found[inside] = path
        if "." in name:
            pending.append(name.rpartition(".")[0])
        pending += _imports(path, name)
    return dict(sorted(found.items()))


def third_party(files: dict[str, Path]) -> set[str]:
    """Top-level names of everything else that these files import, the standard library's among them."""
    return {
        name.partition(".")[0]
        for path in files.values()
        for name in _imports(path, "mlship." + path.stem, own=False)
        if not name.startswith("mlship")
    }


def _file(root: Path, name: str) -> Path | None:
    """The file of a module; None for a name that is something inside a module."""
    parts = name.split(".")[1:]
    path = root.joinpath(*parts)
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return path if path.is_file() else None


def _imports(path: Path, name: str, *, own: bool = True) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found: list[str] = []
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                parent = name if path.name == "__init__.py" else name.rpartition(".")[0]
                for _ in range(node.level - 1):
                    parent = parent.rpartition(".")[0]
                module = f"{parent}.{module}".rstrip(".")
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)] if own else [module]
    return [one for one in found if one.startswith("mlship.") or one == "mlship"] if own else found
