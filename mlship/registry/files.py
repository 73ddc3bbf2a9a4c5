"""A model version's files: fetched to a content-addressed directory, digested, and its signature read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlship.errors import RegistryError, StateError
from mlship.home import Home

#: Written by MLflow beside a model when it is downloaded: it names the version, and is no part of it.
_ADDED_BY_MLFLOW = "registered_model_meta"
_INCOMING = ".incoming-"
#: Remains of a fetch that was killed are swept away when they are older than this.
_STALE_SECONDS = 86400.0


@dataclass(frozen=True, slots=True)
class Files:
    """A fetched model."""

    path: Path
    digest: str
    """sha256 over the sorted relative paths and contents, see `digest_of`."""


def fetch(download: Callable[[Path], None], home: Home, where: str) -> Files:
    """Download a model, and keep it under its own digest.

    The download is made every time, for only the bytes that the registry hands out now can tell whether they are still
    the ones of last time; a copy that is there already is digested again before it is trusted. `download` fills an
    empty directory. Raises ``RegistryError`` when there is no MLflow model in it, ``StateError`` when the disk is full.
    """
    models = home.ensure(home.models)
    _sweep(models)
    try:
        incoming = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=models))
        try:
            fresh = incoming / "model"
            fresh.mkdir()
            download(fresh)
            (fresh / _ADDED_BY_MLFLOW).unlink(missing_ok=True)
            if not (fresh / "MLmodel").is_file():
                raise RegistryError(
                    "the version's artifacts hold no MLmodel file",
                    where=where,
                    hint="they were deleted or moved; log the model again with mlflow.<flavor>.log_model",
                )
            digest = digest_of(fresh)
            target = models / digest.removeprefix("sha256:")
            _place(fresh, target, digest)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
    except OSError as error:
        raise StateError(
            f"cannot keep a copy of the model: {error.strerror or error}",
            where=str(models),
            hint="free space or permissions, or point MLSHIP_HOME at a writable directory",
        ) from error
    return Files(target, digest)


def digest_of(directory: Path) -> str:
    """`sha256:` of the directory: over one line `<path>NUL<sha256 of the file>` a file, sorted by path.

    Paths are relative with forward slashes; empty directories do not count, and neither does what MLflow adds to a
    download. Raises ``OSError`` when a file cannot be read.
    """
    total = hashlib.sha256()
    for path in sorted(_files(directory), key=lambda path: path.relative_to(directory).as_posix()):
        name = path.relative_to(directory).as_posix()
        if name == _ADDED_BY_MLFLOW:
            continue
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(os.fsencode(name) + b"\0" + content.encode("ascii") + b"\n")
    return f"sha256:{total.hexdigest()}"


def signature_inputs(directory: Path) -> tuple[str, ...]:
    """Names of the input columns in the model's signature; empty when it has none, or takes an unnamed tensor.

    Raises ``RegistryError`` when the `MLmodel` file cannot be read.
    """
    document = _mlmodel(directory)
    try:
        inputs = json.loads((document.get("signature") or {}).get("inputs") or "[]")
        return tuple(str(column["name"]) for column in inputs if "name" in column)
    except (ValueError, AttributeError, TypeError) as error:
        raise RegistryError("the signature in the model's MLmodel file is damaged", where=str(directory)) from error


def logged_model_id(directory: Path) -> str | None:
    """Id of the MLflow logged model that these files are of; None for models of MLflow 2."""
    found = _mlmodel(directory).get("model_id")
    return str(found) if found else None


def _mlmodel(directory: Path) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load((directory / "MLmodel").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RegistryError(
            "the model's MLmodel file cannot be read", where=str(directory), hint="log the model again"
        ) from error
    if not isinstance(document, dict):
        raise RegistryError("the model's MLmodel file is empty", where=str(directory), hint="log the model again")
    return document


def _files(directory: Path) -> list[Path]:
    return [Path(root) / name for root, _directories, names in os.walk(directory) for name in names]


def _place(fresh: Path, target: Path, digest: str) -> None:
    """Rename into place; a copy that is there is kept when it is sound, and changed for the fresh one when not."""
    for _attempt in range(3):
        if target.is_dir():
            if digest_of(target) == digest:
                return
            target.rename(fresh.with_name(f"damaged-{time.monotonic_ns()}"))
        try:
            fresh.rename(target)
        except OSError:
            if not target.is_dir():
                raise
        else:
            return
    raise OSError(f"{target} keeps changing")


def _sweep(models: Path) -> None:
    for remains in models.glob(f"{_INCOMING}*"):
        try:
            if time.time() - remains.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(remains, ignore_errors=True)
        except OSError:
            continue  # another process swept it first
