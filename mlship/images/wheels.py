"""The files of a lock: wheels, fetched once by pip outside the image, and kept by their own digest."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mlship.errors import EngineError, StateError
from mlship.home import Home
from mlship.images import indexes
from mlship.images.base import Base
from mlship.images.lock import Lock, Pinned, platform_tags, written
from mlship.images.progress import Told, unsaid

#: Seconds without a word from pip.
_PATIENCE = 1800


@dataclass(frozen=True, slots=True)
class Wheel:
    """One package of an image, as the very file that is installed."""

    name: str
    version: str
    file: str
    """Its file's name."""
    sha256: str
    size: int
    """Bytes of the file."""
    path: Path

    @property
    def unpacked(self) -> int:
        """Bytes that it takes once it is installed, without byte code."""
        with zipfile.ZipFile(self.path) as archive:
            return sum(one.file_size for one in archive.infolist())


def fetch(lock: Lock, base: Base, home: Home, *, say: Told = unsaid) -> tuple[Wheel, ...]:
    """The wheel of every package of the lock for the base's platform; the network is used for what is missing only.

    Raises ``EngineError`` when a file has another hash, has gone from the index, or the index is out of reach;
    ``StateError`` when it cannot be kept.
    """
    store = home.ensure(home.cache / "wheels")
    found = {one.name: _kept(store, one, base) for one in lock.packages}
    missing = [one for one in lock.packages if found[one.name] is None]
    if missing:
        say(f"fetching {len(missing)} of {len(lock.packages)} packages")
        with tempfile.TemporaryDirectory(dir=store, prefix=".incoming-") as scratch:
            _download(missing, base, Path(scratch), say)
            for path in sorted(Path(scratch).glob("*.whl")):
                _keep(path, store)
        found |= {one.name: _kept(store, one, base) for one in missing}
    wheels = []
    for one in lock.packages:
        file = found[one.name]
        if file is None:
            raise EngineError(f"{one.name} {one.version} has no wheel for {base.platform}", where="the package index")
        wheels.append(Wheel(one.name, one.version, file.name, file.parent.name, file.stat().st_size, file))
    return tuple(wheels)


def _kept(store: Path, one: Pinned, base: Base) -> Path | None:
    """The best wheel for this platform among the files that are kept."""
    from packaging.tags import compatible_tags, cpython_tags
    from packaging.utils import parse_wheel_filename

    files = [path for digest in one.hashes for path in (store / digest).glob("*.whl")]
    if len(files) < 2:
        return files[0] if files else None
    platforms = platform_tags(base)[1]
    version = tuple(map(int, base.python.split(".")[:2]))
    order = [
        *cpython_tags(version, platforms=platforms),
        *compatible_tags(version, f"cp{version[0]}{version[1]}", platforms),
    ]
    ranks = {tag: rank for rank, tag in enumerate(order)}
    rated = {
        path: min((ranks.get(tag, len(order)) for tag in parse_wheel_filename(path.name)[3]), default=len(order))
        for path in files
    }
    best = min(files, key=lambda path: (rated[path], path.name))
    return best if rated[best] < len(order) else None


def _download(missing: list[Pinned], base: Base, directory: Path, say: Told) -> None:
    listed = directory / "requirements.txt"
    listed.write_text("".join(written(one.name, one.version, one.hashes) for one in missing), encoding="utf-8")
    command = [*indexes.pip(), "download", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command += ["--progress-bar", "off", "--dest", str(directory), "-r", str(listed)]
    command += ["--implementation", "cp", "--python-version", base.python]
    for tag in platform_tags(base)[1]:
        command += ["--platform", tag]
    said: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None, "it was asked for"
        for line in process.stdout:
            said.append(line.rstrip())
            if match := re.match(r"\s*Downloading (?:.*/)?([^/\s]+\.whl)(?:\.metadata)? \((.+)\)", line):
                say(f"fetching {match[1]} ({match[2]})")
    if process.returncode != 0:
        raise _explained(said, base)


def _explained(said: list[str], base: Base) -> EngineError:
    errors = [indexes.safe(line) for line in said if line.lstrip().startswith(("ERROR", "error"))] or said[-3:]
    text = " ".join(" ".join(errors).split())[:500]
    if match := re.search(r"No matching distribution found for (\S+)", text):
        return EngineError(
            f"{match[1]} has no wheel for Python {base.python} on {base.platform} ({base.libc} {base.libc_version})",
            where="the package index",
            hint="pin a version that has one, or publish a wheel of it to your index",
        )
    if "No space left" in " ".join(said):
        return EngineError("no space is left on this machine for the packages", hint="free some, then run this again")
    if "THESE PACKAGES DO NOT MATCH THE HASHES" in " ".join(said):
        named = re.search(r"^ {4}(\S+?) from ", "\n".join(said), re.MULTILINE)
        return EngineError(
            f"{named[1] if named else 'a package'} is not the file that was locked: its hash is another",
            where="the package index",
            hint="find out who changed it; a lock is made anew once it is removed from `cache/locks`",
        )
    return EngineError(
        f"the packages cannot be fetched: {text}",
        hint="look at the network and at pip's configuration (`pip config list`)",
    )


def _keep(path: Path, store: Path) -> None:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        (store / digest).mkdir(exist_ok=True)
        path.replace(store / digest / path.name)
    except OSError as error:
        raise StateError(
            f"cannot keep a package: {error.strerror or error}",
            where=str(store),
            hint="free space or permissions, or point MLSHIP_HOME at a writable directory",
        ) from error
