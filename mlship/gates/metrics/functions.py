"""Functions of the team, `module:function`, found beside the policy file: imported apart, named with their digest."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlship.report.figures import nearest


@dataclass(frozen=True)
class Function:
    """A function of the team, and where it came from."""

    name: str
    """`module:function`, as the policy says."""
    path: Path
    source: str
    """The name with the first digits of the sha256 of its file, so that the evidence names what was run."""
    call_raw: Callable[..., Any] = field(repr=False)

    def call(self, *arguments: Any) -> Any:
        """Its value; raises ``ValueError`` with file and line for whatever goes wrong inside it."""
        try:
            with _beside(self.path.parent):
                return self.call_raw(*arguments)
        except (Exception, SystemExit) as error:
            raise ValueError(_where(error, self.path, f"{self.name} failed")) from error


def locate(name: str, base: Path) -> tuple[Path, str, str]:
    """File, name and digest of the function `module:function` below `base`, the directory of the policy file.

    Raises ``ValueError`` when there is no such file.
    """
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute.isidentifier():
        raise ValueError(f"'{name}' is not `module:function`")
    base = base.resolve()
    stem = base.joinpath(*module.split("."))
    path = next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)
    if path is None:
        there = sorted(file.stem for file in base.glob("*.py")) if base.is_dir() else []
        raise ValueError(f"there is no module '{module}' beside the policy file{nearest(module, there)}")
    return path, attribute, hashlib.sha256(path.read_bytes()).hexdigest()


def find(name: str, base: Path) -> Function:
    """The function `module:function`, imported into this process; see `apart` for one of its own.

    Raises ``ValueError`` when it is not there or cannot be imported, with file and line.
    """
    path, attribute, digest = locate(name, base)
    imported = _imported(path, base.resolve(), digest, name)
    found = getattr(imported, attribute, None)
    if not callable(found):
        known = [key for key, value in vars(imported).items() if callable(value) and not key.startswith("_")]
        raise ValueError(  # noqa: TRY004 - a fault of the policy, as the others here
            f"{path.name} has no function '{attribute}'{nearest(attribute, known)}"
        )
    return Function(name, path, f"{name} (sha256 {digest[:12]})", found)


def _imported(path: Path, base: Path, digest: str, name: str) -> Any:
    # A name of its own: a file called metrics.py must not shadow, nor become, anybody's module `metrics`.
    alias = f"_mlship_function_{digest[:16]}_{path.stem}"
    spec = importlib.util.spec_from_file_location(alias, path)
    assert spec is not None, "a .py file has a loader"
    assert spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module  # dataclasses and pickle look it up there
    try:
        with _beside(base):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(_where(error, path, f"{name} cannot be imported")) from error
    finally:
        sys.modules.pop(alias, None)
    return module


@contextmanager
def _beside(directory: Path) -> Iterator[None]:
    """The file's own helpers can be imported while it works; what it prints is no part of our result."""
    sys.path.insert(0, str(directory))
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path.remove(str(directory))


def _where(error: BaseException, path: Path, what: str) -> str:
    """What went wrong, with the last line of the team's own file that it went through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) else (lines or [None])[-1]
    said = " ".join(str(error).split())[:300]
    return f"{what} at {path.name}:{line or '?'}: {type(error).__name__}{f': {said}' if said else ''}"
