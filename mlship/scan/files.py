"""Every file of a model directory, and every member of the archives among them, looked at by content, not by name."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from stat import S_ISREG
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from mlship.scan import pickles, values

#: Archives in archives are followed to this depth.
_DEEPEST = 4
#: Bytes that a member of an archive may unpack to.
_LARGEST = 8 << 30
_SPOOL = 64 << 20
_CLOSED = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a rar archive",
    b"\x04\x22\x4d\x18": "packed with lz4",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
}
_TEXTS = {".txt", ".yaml", ".yml", ".json", ".md", ".csv", ".html", ".toml", ".cfg", ".ini", ".py", ".rst", ""}


class Looker:
    """Collects what the files of one directory would reach."""

    def __init__(self) -> None:
        self.names: set[tuple[str, str, str]] = set()
        """(file, module, name)"""
        self.faults: set[tuple[str, str]] = set()
        """(file, why it cannot be looked through)"""
        self.code: set[tuple[str, str]] = set()
        """(file, what code it carries)"""
        self.files = 0

    def directory(self, root: Path) -> None:
        """Look at every file under `root`."""
        for path in sorted(_walk(root, self.faults)):
            self.files += 1
            name = path.relative_to(root).as_posix()
            try:
                if path.is_symlink() or not S_ISREG(path.stat().st_mode):
                    self.faults.add((name, "it is a link or a special file"))
                    continue
                with path.open("rb") as file:
                    self.look(file, name, 0)
            except OSError as error:
                self.faults.add((name, error.strerror or str(error)))

    def look(self, file: IO[bytes], name: str, depth: int) -> None:
        """One file or member, which must be seekable."""
        head = file.read(512)
        if depth > _DEEPEST:
            self.faults.add((name, f"archives lie in archives more than {_DEEPEST} deep"))
            return
        for magic, what in _CLOSED.items():
            if head.startswith(magic):
                self.faults.add((name, what))
                return
        if head[257:262] == b"ustar":
            self.faults.add((name, "a tar archive"))
            return
        if head.startswith(b"\x93NUMPY"):
            self._numpy(file, name)
            return
        file.seek(0)
        self._pickle(file, name, text=_is_text(head, name))
        file.seek(0)
        if zipfile.is_zipfile(file):
            self._zip(file, name, depth)
        elif (unpack := _unpacker(head)) is not None:
            self._packed(file, name, depth, unpack)
        if head.startswith(b"\x89HDF") or name.endswith("saved_model.pb"):
            self._layers(file, name)

    def _pickle(self, file: IO[bytes], name: str, *, text: bool = False) -> None:
        reached = pickles.follow(file)
        if text and not reached.calls and not reached.streams:
            return  # a list of requirements may look as if it named things; only a pickle calls them
        if reached.joblib:  # no flavor of MLflow reads it so: code that comes with the model does
            self.code.add((name, "a joblib file, which no flavor of MLflow reads"))
        self.names |= {(name, module, attribute) for module, attribute in reached.names}
        self.faults |= {(name, fault) for fault in (*reached.faults, reached.broken) if fault}

    def _numpy(self, file: IO[bytes], name: str) -> None:
        from numpy.lib import format as numpy_format

        file.seek(0)
        try:
            version = numpy_format.read_magic(file)
            read = numpy_format.read_array_header_1_0 if version == (1, 0) else numpy_format.read_array_header_2_0
            dtype = read(file)[2]
        except (ValueError, EOFError, SyntaxError, RecursionError, MemoryError) as error:
            self.faults.add((name, f"its numpy header is damaged: {' '.join(str(error).split())[:100]}"))
            return
        if dtype.hasobject:
            at = file.tell()
            self._pickle(file, name)
            file.seek(at)
            if not file.read(1):
                self.faults.add((name, "its objects are missing"))

    def _zip(self, file: IO[bytes], name: str, depth: int) -> None:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                seen: set[str] = set()
                for member in members:
                    inner = f"{name}!{member.filename}"
                    if member.filename in seen:
                        self.faults.add((inner, "the archive holds it twice"))
                    seen.add(member.filename)
                    if not member.is_dir():
                        self._member(archive, member, inner, depth)
                if "schema.json" in seen:
                    file.seek(0)
                    self._skops(file, name)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
            self.faults.add((name, f"its archive is damaged: {' '.join(str(error).split())[:100]}"))

    def _member(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, depth: int) -> None:
        if member.file_size > _LARGEST:
            self.faults.add((name, f"it unpacks to {member.file_size:,} bytes"))
            return
        with archive.open(member) as packed:
            self._copy(packed, name, depth)

    def _packed(self, file: IO[bytes], name: str, depth: int, unpack: Callable[[IO[bytes]], IO[bytes]]) -> None:
        file.seek(0)
        try:
            with unpack(file) as unpacked:
                self._copy(unpacked, f"{name}!", depth)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            self.faults.add((name, f"it cannot be unpacked: {' '.join(str(error).split())[:100]}"))

    def _copy(self, packed: IO[bytes], name: str, depth: int) -> None:
        with SpooledTemporaryFile(max_size=_SPOOL) as copy:
            size = 0
            while piece := packed.read(1 << 20):
                size += len(piece)
                if size > _LARGEST:
                    self.faults.add((name, f"it unpacks to more than {_LARGEST:,} bytes"))
                    return
                copy.write(piece)
            copy.seek(0)
            self.look(copy, name, depth + 1)
            if name.endswith((".json", ".keras")):
                copy.seek(0)
                self._keras(copy.read(_SPOOL), name)

    def _keras(self, text: bytes, name: str) -> None:
        if b"Lambda" not in text and b"__lambda__" not in text:
            return
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return
        if any(_is_lambda(value) for value in _objects(document)):
            self.code.add((name, "a Keras Lambda layer"))

    def _layers(self, file: IO[bytes], name: str) -> None:
        """Layers that run code, by what TensorFlow and Keras write about them."""
        file.seek(0)
        tail = b""
        while piece := file.read(1 << 20):
            window = tail + piece
            for mark, what in _RUNNING.items():
                if mark in window:
                    self.code.add((name, what))
            tail = window[-64:]

    def _skops(self, file: IO[bytes], name: str) -> None:
        """Types that skops itself does not trust; the list in the `MLmodel` is the model's, and counts for nothing."""
        from skops.io import get_untrusted_types

        try:
            file.seek(0)
            untrusted = get_untrusted_types(data=file.read())
        except Exception as error:  # noqa: BLE001 - skops raises whatever a forged schema leads it to
            self.faults.add((name, f"skops cannot read it: {' '.join(str(error).split())[:120]}"))
            return
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            schema = json.loads(archive.read("schema.json"))
        known: dict[str, dict[str, Any]] = {}  # skops reads what carries an id only where it stands first
        twice: set[str] = set()
        for one in _objects(schema):
            if "__id__" in one and known.setdefault(repr(one["__id__"]), one) != one:
                twice.add(repr(one["__id__"]))
        for one in _objects(schema):
            for key in values.METHOD_NAMES:
                told = key not in one or set(_named(one[key])) <= values.METHODS
                if not told or (key in one and any(repr(n.get("__id__")) in twice for n in _objects(one[key]))):
                    self.faults.add((name, "it names a method that is none of estimators"))
        for full in untrusted:
            module, _, attribute = full.rpartition(".")
            self.names.add((name, module, attribute))


_RUNNING = {
    b'"class_name": "Lambda"': "a Keras Lambda layer",
    b"PyFunc": "a TensorFlow operation that runs Python",
    b"WriteFile": "a TensorFlow operation that writes files",
    b"ReadFile": "a TensorFlow operation that reads files",
}


def _walk(root: Path, faults: set[tuple[str, str]]) -> Iterator[Path]:
    for base, directories, names in os.walk(root):
        for name in directories:
            if (Path(base) / name).is_symlink():
                faults.add(((Path(base) / name).relative_to(root).as_posix(), "it is a link"))
        for name in names:
            yield Path(base) / name


def _is_text(head: bytes, name: str) -> bool:
    if Path(name.rpartition("!")[2]).suffix.lower() not in _TEXTS or b"\0" in head:
        return False
    try:
        head[:500].decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > 490
    return True


class _Inflated:
    """A zlib stream, as joblib writes it, unpacked piece by piece."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._inflate = zlib.decompressobj()

    def __enter__(self) -> _Inflated:
        return self

    def __exit__(self, *_exc: object) -> None:
        return

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; none at the end."""
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._file.read(1 << 16)
            if not packed:
                raise EOFError("it is cut short")
            if unpacked := self._inflate.decompress(packed, size):
                return unpacked
        return b""


def _unpacker(head: bytes) -> Callable[[IO[bytes]], Any] | None:
    """How a packed file is unpacked; None for a file that is not packed."""
    if head.startswith(b"\x1f\x8b"):
        return lambda file: gzip.GzipFile(fileobj=file)
    if head.startswith(b"BZh"):
        return bz2.BZ2File
    if head.startswith((b"\xfd7zXZ\x00", b"\x5d\x00\x00")):
        return lzma.LZMAFile
    if len(head) > 2 and head[0] == 0x78 and (head[0] * 256 + head[1]) % 31 == 0:
        try:
            zlib.decompressobj().decompress(head, 64)
        except zlib.error:
            return None
        return _Inflated
    return None


def _named(node: Any) -> Iterator[str]:
    """The texts that a value of skops stands for, and whatever else there is as it is written."""
    if isinstance(node, dict) and isinstance(node.get("content"), list) and node.get("__class__") == "list":
        for part in node["content"]:
            yield from _named(part)
    elif isinstance(node, dict) and node.get("is_json") and isinstance(node.get("content"), str):
        value = json.loads(node["content"])
        if value is not None:
            yield value if isinstance(value, str) else ""
    else:
        yield ""


def _objects(document: Any) -> Iterator[dict[str, Any]]:
    rest = [document]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            yield value
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)


def _is_lambda(layer: dict[str, Any]) -> bool:
    return (
        "Lambda" in (layer.get("class_name"), layer.get("registered_name")) or layer.get("class_name") == "__lambda__"
    )
