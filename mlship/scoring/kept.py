"""Predictions on disk: plain numpy files, written batch by batch and read by mapping them into memory."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mlship.errors import ModelFault

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlship.scoring.worker import Parts

#: Predictions that are kept: the latest ones, up to this many, and this many bytes.
_MOST, _MOST_BYTES = 100, 4 << 30
_SLICE = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a model said about each row, in their order."""

    values: NDArray[np.generic]
    """Predicted classes or numbers, shape (n,)."""
    scores: NDArray[np.generic] | None = None
    """Class probabilities, shape (n, classes), or a decision value, shape (n,); None when the model has neither."""
    classes: NDArray[np.generic] | None = None
    """The classes in the order of the columns of `scores`; None when the model is no classifier or does not tell."""


class Writer:
    """Writes the predictions of one model on one table into a directory of their own."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._rows: int | None = None
        self._at = 0
        self._columns: dict[str, _Column] = {}
        self._names: dict[str, int] = {}

    def take(self, message: dict[str, Any], parts: Parts) -> None:
        """Write what the process answered. Raises ``ModelFault`` when it is not one prediction for each row."""
        import numpy as np

        if self._rows is None:
            self._rows = int(message["rows"])
        elif "batch" in message:
            told = {name: self._coded(part) if name == "values" else part for name, part in parts.items()}
            if self._at and set(told) != set(self._columns):
                raise ModelFault("the model tells how sure it is about some rows only")
            for name, part in told.items():
                if len(part) != message["batch"] or self._at + len(part) > self._rows:
                    raise ModelFault("the model does not give one prediction a row")
                if name not in self._columns:
                    self._columns[name] = _Column(self._directory / f"{name}.npy", (self._rows, *part.shape[1:]))
                self._columns[name].put(self._at, part)
            self._at += int(message["batch"])
        else:
            self._close()
            if "classes" in parts:
                np.save(self._directory / "classes.npy", parts["classes"], allow_pickle=False)

    def _coded(self, values: NDArray[Any]) -> NDArray[Any]:
        """Text as numbers of distinct texts, so that it has one width; numbers as they are."""
        import numpy as np

        if (values.dtype.kind == "U") != bool(self._names) and self._at:
            raise ModelFault("the model predicts text for some rows and numbers for others")
        if values.dtype.kind != "U":
            return values
        distinct, places = np.unique(values, return_inverse=True)
        numbers = [self._names.setdefault(str(name), len(self._names)) for name in distinct]
        return np.array(numbers, dtype=np.int32)[places]

    def _close(self) -> None:
        import numpy as np

        if self._at != self._rows:
            raise ModelFault(f"the model answered about {self._at} of {self._rows} rows")
        for column in self._columns.values():
            column.close()
        if not self._columns:
            np.save(self._directory / "values.npy", np.empty(0))
        if self._names:
            np.save(self._directory / "names.npy", np.array(list(self._names)))


class _Column:
    """One numpy file of a known number of rows, filled from the first to the last; columns lie one after another."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self._path = path
        self._shape = shape
        self._dtype: np.dtype[Any] | None = None
        self._file: BinaryIO | None = None
        self._start = 0

    def put(self, at: int, part: NDArray[Any]) -> None:
        import numpy as np

        if part.shape[1:] != self._shape[1:]:
            raise ModelFault("the model tells of another number of classes in some rows")
        if self._dtype is None:
            self._open(part.dtype)
        elif part.dtype != self._dtype and (wider := np.result_type(part.dtype, self._dtype)) != self._dtype:
            self._widen(wider, at)
        self._write(at, part)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self, dtype: np.dtype[Any]) -> None:
        from numpy.lib import format as numpy_format

        self._dtype = dtype
        self._file = self._path.open("wb")
        head = {"descr": dtype.str, "fortran_order": True, "shape": self._shape}
        numpy_format.write_array_header_1_0(self._file, head)
        self._start = self._file.tell()
        rows, columns = self._shape[0], self._shape[1] if len(self._shape) > 1 else 1
        self._file.truncate(self._start + rows * columns * dtype.itemsize)

    def _write(self, at: int, part: NDArray[Any]) -> None:
        assert self._dtype is not None, "put has opened it"
        assert self._file is not None, "put has opened it"
        for number, column in enumerate(part.T if part.ndim == 2 else [part]):
            self._file.seek(self._start + (number * self._shape[0] + at) * self._dtype.itemsize)
            self._file.write(column.astype(self._dtype, copy=False).tobytes())

    def _widen(self, dtype: np.dtype[Any], written: int) -> None:
        """Write the rows so far once more, in a type that holds them and the next ones."""
        import numpy as np

        self.close()
        narrow = self._path.with_suffix(".narrow")
        self._path.rename(narrow)
        self._open(dtype)
        before = np.load(narrow, mmap_mode="r", allow_pickle=False)
        for start in range(0, written, _SLICE):
            self._write(start, before[start : min(start + _SLICE, written)])
        narrow.unlink()


def load(directory: Path, rows: int | None) -> Predictions | None:
    """Predictions from their directory, mapped; None when there are none, or they are not of so many rows."""
    import numpy as np

    def mapped(name: str) -> Any:
        path = directory / f"{name}.npy"
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False)) if path.exists() else None

    try:
        values, scores, names = mapped("values"), mapped("scores"), mapped("names")
        classes = None if (told := mapped("classes")) is None else np.array(told)
        if values is None:
            return None
        if names is not None:
            values = np.array(names)[values]
    except (OSError, ValueError, EOFError, IndexError):
        return None
    expected = len(values) if rows is None else rows
    same = len(values) == expected and (scores is None or len(scores) == expected)
    return Predictions(values, scores, classes) if same else None


def place(made: Path, target: Path) -> None:
    """Put finished predictions in their place; damaged ones that are there make room."""
    for _attempt in range(3):
        try:
            made.rename(target)
        except OSError:
            if not target.exists():
                raise
            shutil.rmtree(target, ignore_errors=True)
        else:
            return
    raise OSError(f"{target} keeps changing")


def prune(kept: Path) -> None:
    """Forget the oldest predictions beyond what is kept, and what killed commands left behind."""
    found = []
    for path in kept.iterdir():
        with suppress(FileNotFoundError):  # another command is at it
            if not path.name.startswith("."):
                size = sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else path.stat().st_size
                found.append((path.stat().st_mtime, size, path))
            elif time.time() - path.stat().st_mtime > 86400:
                shutil.rmtree(path, ignore_errors=True)
    total = 0
    for number, (_, size, path) in enumerate(sorted(found, reverse=True)):
        total += size
        if number >= _MOST or (number and total > _MOST_BYTES):
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True) if path.is_file() else None
