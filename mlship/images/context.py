"""The build context: files in a fixed order with fixed owners, modes and times, their digest, and their tar stream."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlship.errors import EngineError, MovedError

#: Every file's time: a moment that zip archives and file systems can hold.
_TIME = 315532800  # 1980-01-01
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a context."""

    name: str
    """Path inside the context, with forward slashes."""
    sha256: str
    size: int
    source: Path | bytes

    @classmethod
    def of(cls, name: str, source: Path | bytes) -> Entry:
        """An entry for a file or for bytes.

        Raises ``EngineError`` when the file cannot be read.
        """
        if isinstance(source, bytes):
            return cls(name, hashlib.sha256(source).hexdigest(), len(source), source)
        try:
            with source.open("rb") as file:
                return cls(name, hashlib.file_digest(file, "sha256").hexdigest(), source.stat().st_size, source)
        except OSError as error:
            raise EngineError(f"a file cannot be packed: {error.strerror or error}", where=str(source)) from error


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that one build is made of."""

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Context:
        """A context of these files, in the order of their names."""
        return cls(tuple(sorted(entries, key=lambda one: one.name)))

    @property
    def digest(self) -> str:
        """`sha256:` over one line `<name>NUL<sha256>` a file; where the files lie does not count."""
        total = hashlib.sha256()
        for one in self.entries:
            total.update(one.name.encode("utf-8", "surrogateescape") + b"\0" + one.sha256.encode("ascii") + b"\n")
        return f"sha256:{total.hexdigest()}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.entries)

    def tar(self) -> Iterator[bytes]:
        """The context as a tar archive, byte for byte the same for the same files, in pieces.

        Raises ``MovedError`` when a file is no longer the one that was digested; then the archive breaks off.
        """
        directories: set[str] = set()
        for one in self.entries:
            for parent in reversed(Path(one.name).parents):
                name = parent.as_posix()
                if name != "." and name not in directories:
                    directories.add(name)
                    yield _header(name, 0, directory=True)
            yield _header(one.name, one.size)
            yield from _content(one)
            yield b"\0" * (-one.size % tarfile.BLOCKSIZE)
        yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _header(name: str, size: int, *, directory: bool = False) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, _TIME, 0o755 if directory else 0o644
    info.type = tarfile.DIRTYPE if directory else tarfile.REGTYPE
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _content(one: Entry) -> Iterator[bytes]:
    if isinstance(one.source, bytes):
        yield one.source
        return
    total, size = hashlib.sha256(), 0
    with one.source.open("rb") as file:
        while (piece := file.read(_CHUNK)) and size + len(piece) <= one.size:
            total.update(piece)
            size += len(piece)
            yield piece
    if total.hexdigest() != one.sha256:
        raise MovedError(
            "a file has changed while the image was built",
            where=str(one.source),
            hint="nothing was built; run the command again",
        )
