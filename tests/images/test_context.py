"""The same files make the same context, byte for byte, wherever they lie."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from mlship.errors import EngineError, MovedError
from mlship.images.context import Context, Entry

FILES = {"Dockerfile": b"FROM x\n", "model/MLmodel": b"flavors: {}\n", "model/a/ü.bin": bytes(range(256)) * 9000}


def lay(directory: Path, *, at: float, mode: int) -> Context:
    """The files on disk, with times, modes and an order of their own."""
    entries = []
    for name, content in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        os.utime(path, (at, at))
        entries.append(Entry.of(name, path))
    return Context.of(reversed(entries) if at > 1e9 else entries)


def test_the_same_files_make_the_same_archive_in_any_directory(tmp_path: Path) -> None:
    one = lay(tmp_path / "one", at=1e9, mode=0o600)
    other = lay(tmp_path / "other" / "deeper", at=1.7e9, mode=0o755)
    assert one.digest == other.digest
    assert b"".join(one.tar()) == b"".join(other.tar()) == b"".join(one.tar())
    changed = Context.of([*one.entries[1:], Entry.of("Dockerfile", b"FROM y\n")])
    assert changed.digest != one.digest


def test_the_archive_is_one_that_others_read(tmp_path: Path) -> None:
    context = lay(tmp_path, at=1e9, mode=0o600)
    with tarfile.open(fileobj=io.BytesIO(b"".join(context.tar()))) as archive:
        members = archive.getmembers()
        assert [one.name for one in members] == ["Dockerfile", "model", "model/MLmodel", "model/a", "model/a/ü.bin"]
        assert {(one.uid, one.gid, one.mtime) for one in members} == {(0, 0, 315532800)}
        assert {one.mode for one in members if one.isfile()} == {0o644}
        read = {one.name: archive.extractfile(one) for one in members if one.isfile()}
        assert {name: file.read() for name, file in read.items() if file} == FILES


@pytest.mark.parametrize("content", [b"flavors: []\n", b"longer than it was before\n", b""])
def test_a_file_that_changes_under_the_build_stops_it(tmp_path: Path, content: bytes) -> None:
    context = lay(tmp_path, at=1e9, mode=0o600)
    (tmp_path / "model" / "MLmodel").write_bytes(content)
    with pytest.raises(MovedError, match="has changed while the image was built"):
        b"".join(context.tar())


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"absent: a file cannot be packed: No such file"):
        Entry.of("x", tmp_path / "absent")
