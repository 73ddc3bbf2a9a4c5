"""A disk that becomes full at one chosen write, wholly or in the middle of it, until somebody makes room."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest


class Disk:
    """Counts every write and every sync below one directory; from `full_at` on they fail, until `free`."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch, *, short: bool = False) -> None:
        self.directory = directory
        self.count = 0
        self.full_at = -1
        self.short = short
        """The first write that fails leaves half of its bytes behind."""
        self._write, self._fsync, self._text = os.write, os.fsync, Path.write_text
        self._pwrite = os.pwrite
        patch.setattr(os, "write", self.write)
        patch.setattr(os, "pwrite", self.pwrite)
        patch.setattr(os, "fsync", self.fsync)
        patch.setattr(Path, "write_text", lambda path, text, **more: self.text(path, text, **more))  # noqa: PLW0108 - called with a path

    @property
    def full(self) -> bool:
        return 0 < self.full_at <= self.count

    def free(self) -> None:
        self.full_at = -1

    def write(self, descriptor: int, data: bytes) -> int:
        if self._ours(descriptor) and self._next():
            if self.short and self.count == self.full_at:
                return self._write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(descriptor, data)

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        if self._ours(descriptor) and self._next():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._pwrite(descriptor, data, offset)

    def fsync(self, descriptor: int) -> None:
        if self._ours(descriptor) and self._next():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._fsync(descriptor)

    def text(self, path: Path, text: str, **more: Any) -> int:
        if self._ours(str(path.absolute())) and self._next():
            if self.short and self.count == self.full_at:
                self._text(path, text[: len(text) // 2], **more)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._text(path, text, **more)

    def _ours(self, what: int | str) -> bool:
        path = str(Path(f"/proc/self/fd/{what}").readlink()) if isinstance(what, int) else what
        return path.startswith(f"{self.directory}/")

    def _next(self) -> bool:
        self.count += 1
        return self.full
