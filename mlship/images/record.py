"""What went into an image, kept under the state directory by the digest of its context."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mlship.errors import StateError
from mlship.home import Home
from mlship.images.base import Base
from mlship.types import Image


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package, as the very file that it was installed from."""

    name: str
    version: str
    file: str
    """Name of the wheel."""
    sha256: str
    """Of the wheel, in hexadecimal."""


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that one image was made of."""

    image: Image
    base: Base
    model: str
    """Registered model."""
    version: str
    policy_digest: str
    revision: str
    """Git revision of the policy's repository when it was built; empty without one."""
    dependencies: str
    """Digest of the context of its dependencies."""
    packages: tuple[Package, ...]
    """Sorted by name."""
    code: dict[str, str]
    """sha256 (hex) of each file of mlship in it, by its path."""
    files: dict[str, str]
    """sha256 (hex) of each file of the model, by its path."""
    dockerfiles: tuple[str, str]
    """Of the dependencies and of the model."""
    seconds: float
    """That building took; 0 when it was there already."""


def path(home: Home, context: str, suffix: str = ".json") -> Path:
    """Where the record of a context is kept (and its log, with suffix `.log`)."""
    return home.builds / f"{context.removeprefix('sha256:')}{suffix}"


def keep(record: Record, home: Home) -> None:
    """Write it. Raises ``StateError``."""
    home.ensure(home.builds)
    target = path(home, record.image.context)
    fresh = target.with_suffix(f".{id(record):x}")
    try:
        fresh.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
        fresh.replace(target)
    except OSError as error:
        raise StateError(
            f"cannot keep what the image was made of: {error.strerror or error}", where=str(target)
        ) from error


def load(home: Home, context: str) -> Record | None:
    """The record of a context; None when it was not built in this state directory, or the file is damaged."""
    try:
        document = json.loads(path(home, context).read_text(encoding="utf-8"))
        values = {
            **document,
            "image": Image(**document["image"]),
            "base": Base(**document["base"]),
            "packages": tuple(Package(**one) for one in document["packages"]),
            "dockerfiles": tuple(document["dockerfiles"]),
        }
        return Record(**values)
    except (OSError, ValueError, KeyError, TypeError):
        return None
