"""Puts several files in their places, or none of them: a failure, and Ctrl-C, leave what was there before."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlship.errors import StateError


@dataclass(frozen=True, slots=True)
class File:
    """One file that is to be there."""

    path: Path
    text: str
    replaces: bool = False
    """It may take the place of one that is there."""
    copied: bool = False
    """It is what mlship ships, letter by letter."""


def place(files: list[File]) -> None:
    """Write all of them.

    Raises ``StateError`` when one cannot be written, or one is there already that may not be replaced; then everything
    is as before.
    """
    undo: list[tuple[Path, Path | None]] = []
    made: list[Path] = []
    leftovers: list[Path] = []
    try:
        ready = []
        for file in files:
            target = Path(os.path.realpath(file.path))  # through a link, not over it
            made += _directories(target.parent)
            temporary = _temporary(target, file.text, leftovers)
            ready.append((file, target, temporary))
        for file, target, temporary in ready:
            _move(file, target, temporary, undo, leftovers)
    except OSError as error:
        _back(undo, made, leftovers)
        where = str(error.filename2 or error.filename or "")
        if isinstance(error, FileExistsError):
            raise StateError(
                "it is there already: nothing was written", where=where, hint="--force replaces it"
            ) from None
        raise StateError(
            f"cannot write: {error.strerror or error}; nothing was written",
            where=where,
            hint="free space or permissions, then run it again",
        ) from error
    except BaseException:
        _back(undo, made, leftovers)
        raise
    for path in leftovers:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _directories(directory: Path) -> list[Path]:
    """Make a directory and those above it; the ones that were made, the deepest last."""
    missing = []
    while not directory.exists():
        missing.append(directory)
        directory = directory.parent
    for one in reversed(missing):
        one.mkdir()
    return list(reversed(missing))


def _temporary(target: Path, text: str, leftovers: list[Path]) -> Path:
    """The text on disk beside its place, with the mode of the file that it replaces or of a new one."""
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
    leftovers.append(Path(name))
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        try:
            mode = target.stat().st_mode & 0o7777
        except OSError:
            umask = os.umask(0)
            os.umask(umask)
            mode = 0o666 & ~umask
        os.fchmod(file.fileno(), mode)
    return Path(name)


def _move(
    file: File, target: Path, temporary: Path, undo: list[tuple[Path, Path | None]], leftovers: list[Path]
) -> None:
    """Put one file in its place; a link is never made over a file that is there."""
    if target.is_dir():
        raise IsADirectoryError(21, "it is a directory", str(target))
    if not file.replaces or not target.exists():
        os.link(temporary, target)
        undo.append((target, None))
        return
    before = temporary.with_name(f"{temporary.name}.before")
    os.link(target, before)
    leftovers.append(before)
    undo.append((target, before))
    temporary.replace(target)


def _back(undo: list[tuple[Path, Path | None]], made: list[Path], leftovers: list[Path]) -> None:
    for target, before in reversed(undo):
        with suppress(OSError):
            target.unlink(missing_ok=True) if before is None else before.replace(target)
    for path in leftovers:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    for directory in reversed(made):
        with suppress(OSError):
            directory.rmdir()
