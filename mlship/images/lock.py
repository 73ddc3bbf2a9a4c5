"""The lock: every package of an image in its exact version and file, resolved for the base's Python and platform."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from mlship.errors import EngineError, StateError
from mlship.home import Home
from mlship.images import indexes
from mlship.images.base import Base
from mlship.images.requirements import Wanted

#: The newest and the oldest glibc that uv knows by name; what runs on an older one runs on a newer one.
_GLIBC = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
#: Seconds for one resolution.
_PATIENCE = 300
#: Changes when the same request would be resolved otherwise.
_RULES = 1


@dataclass(frozen=True, slots=True)
class Pinned:
    """One package of the lock."""

    name: str
    version: str
    hashes: tuple[str, ...]
    """sha256 (hex) of each file that the index has of this version."""


@dataclass(frozen=True, slots=True)
class Lock:
    """Everything that will be installed."""

    packages: tuple[Pinned, ...]
    """Sorted by name."""
    preferred: dict[str, str]
    """Of these packages, the versions that were installed here when it was resolved."""

    @property
    def text(self) -> str:
        """As a requirements file with hashes."""
        return "".join(written(one.name, one.version, one.hashes) for one in self.packages)


def written(name: str, version: str, hashes: tuple[str, ...]) -> str:
    """One line of a requirements file, with hashes."""
    return f"{name}=={version}" + "".join(f" --hash=sha256:{one}" for one in hashes) + "\n"


def resolve(wanted: Wanted, base: Base, home: Home) -> Lock:
    """The lock of these requirements on this base: the one of last time, else resolved now, by uv.

    Where a requirement leaves the version open, the one that is installed here is taken if it fits: it is the one that
    evaluated the model. The lock is kept until the request changes, or one of its packages here does.

    Raises ``EngineError`` when the requirements contradict each other, a package has no wheel for the platform, or the
    package index is out of reach.
    """
    here = installed()
    path = home.cache / "locks" / f"{_key(wanted, base)}.json"
    kept = _kept(path)
    if kept is not None and all(here.get(name) == version for name, version in kept.preferred.items()):
        return kept
    packages = _compiled(wanted, base, here)
    lock = Lock(packages, {one.name: here[one.name] for one in packages if one.name in here})
    _keep(path, lock, home)
    return lock


def platform_tags(base: Base) -> tuple[str, list[str]]:
    """The platform as uv calls it, and every tag that a wheel for it may carry, the newest first.

    Raises ``EngineError`` when the base's C library is none that wheels are made for.
    """
    machine = base.machine
    if base.libc == "musl":
        return f"{machine}-unknown-linux-musl", [f"musllinux_1_{minor}_{machine}" for minor in (2, 1, 0)]
    match = re.match(r"2\.(\d+)", base.libc_version)
    known = [minor for minor in _GLIBC if match and minor <= int(match[1])]
    if base.libc != "glibc" or not known:
        raise EngineError(
            f"the base {base.name} has a C library that wheels are not made for: {base.libc} {base.libc_version}",
            hint="name a base with glibc 2.17 or later, or musl, such as python:3.11-slim",
        )
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(known[-1], 4, -1)]
    older = ("manylinux2014", "manylinux2010", "manylinux1", "linux")
    return f"{machine}-manylinux_2_{known[-1]}", tags + [f"{name}_{machine}" for name in older]


def installed() -> dict[str, str]:
    """Versions of the packages of this environment, by canonical name; read off the names of their directories."""
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    for directory in reversed(sys.path):
        for path in Path(directory or ".").glob("*.dist-info"):
            name, _, version = path.stem.partition("-")
            if version:
                found[canonicalize_name(name)] = version
    return found


def _compiled(wanted: Wanted, base: Base, here: dict[str, str]) -> tuple[Pinned, ...]:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        source, target = directory / "requirements.in", directory / "requirements.txt"
        constraints = directory / "constraints.txt"
        source.write_text("".join(f"{line}\n" for line in wanted.lines), encoding="utf-8")
        constraints.write_text(wanted.constraints, encoding="utf-8")
        # What the output file holds already is what uv prefers where it has a choice.
        target.write_text("".join(f"{name}=={pin}\n" for name, pin in sorted(here.items())), encoding="utf-8")
        command = [uv(), "pip", "compile", source.name, "-o", target.name, "-c", constraints.name, "--quiet"]
        command += ["--python-version", base.python, "--python-platform", platform_tags(base)[0]]
        command += [
            "--only-binary",
            ":all:",
            "--generate-hashes",
            "--no-header",
            "--no-annotate",
            "--no-python-downloads",
        ]
        try:
            done = subprocess.run(
                command,
                cwd=directory,
                env=indexes.environment(),
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise EngineError(f"the requirements were not resolved within {_PATIENCE} s") from None
        if done.returncode != 0:
            raise _explained(done.stderr, base)
        lines = re.sub(r"\\\n", " ", target.read_text(encoding="utf-8")).splitlines()
    packages = []
    for line in lines:
        if not line.strip() or line.startswith(("#", "-")):
            continue
        one = Requirement(re.split(r"\s--", line)[0].strip())
        pins = [pin.version for pin in one.specifier]
        if one.url or len(pins) != 1:
            raise EngineError(
                f"{one.name} is no package of an index: {one}",
                hint="publish it as a wheel to your index, and require it by name",
            )
        hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
        packages.append(_allowed(Pinned(canonicalize_name(one.name), pins[0], hashes), wanted))
    return tuple(sorted(packages, key=lambda one: one.name))


def _allowed(one: Pinned, wanted: Wanted) -> Pinned:
    """With the files only that the policy's lock file names, where it names some."""
    if one.name not in wanted.hashes:
        return one
    hashes = tuple(each for each in one.hashes if each in wanted.hashes[one.name])
    if not hashes:
        raise EngineError(
            f"the index has other files of {one.name} {one.version} than the lock file names",
            where="image.requirements",
            hint="find out why, then write the lock again with the hashes of your index",
        )
    return Pinned(one.name, one.version, hashes)


def uv() -> str:
    """Path of uv. Raises ``EngineError`` when it is not installed."""
    try:
        from uv import find_uv_bin
    except ImportError:
        raise EngineError(
            "building an image needs uv, which is not installed", hint="pip install 'mlship[image]'"
        ) from None
    return str(find_uv_bin())


def _explained(text: str, base: Base) -> EngineError:
    """What uv says when it finds no solution, shortened to what a person has to know."""
    told = " ".join(indexes.safe(re.sub(r"[^\x20-\x7e]", " ", text)).split())
    where = f"Python {base.python} on {base.platform} ({base.libc} {base.libc_version})"
    without = re.search(r"[Ww]heels are required for `([^`]+)`", told) or re.search(
        r"[Bb]ecause (\S+) has no (?:usable wheels|wheels with)", told
    )
    if without:
        return EngineError(
            f"{without[1]} has no wheel for {where}",
            where="the model's requirements",
            hint="pin a version that has one, or publish a wheel of it to your index; "
            "nothing is compiled, neither here nor in the image",
        )
    if re.search(r"Failed to fetch|error sending request|Could not connect|dns error|tcp connect", told):
        return EngineError(
            f"the package index is out of reach: {told[:300]}",
            hint="look at the network, or name your index in UV_INDEX_URL or pip's configuration",
        )
    return EngineError(
        f"the requirements cannot be met for {where}: {told[:600]}",
        where="the model's requirements",
        hint="mend them where the model is logged, or name a lock file under `image: {requirements: ...}`",
    )


def _key(wanted: Wanted, base: Base) -> str:
    request = [
        _RULES,
        wanted.lines,
        wanted.constraints,
        sorted(wanted.hashes.items()),
        base.python,
        base.machine,
        base.libc,
        base.libc_version,
    ]
    return hashlib.sha256(json.dumps(request).encode()).hexdigest()[:40]


def _kept(path: Path) -> Lock | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        packages = tuple(Pinned(one["name"], one["version"], tuple(one["hashes"])) for one in document["packages"])
        return Lock(packages, dict(document["preferred"]))
    except (OSError, ValueError, KeyError, TypeError):  # never resolved, or the file is damaged
        return None


def _keep(path: Path, lock: Lock, home: Home) -> None:
    home.ensure(path.parent)
    fresh = path.with_suffix(f".{id(lock):x}")
    try:
        fresh.write_text(json.dumps(asdict(lock)), encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise StateError(f"cannot keep the lock: {error.strerror or error}", where=str(path)) from error
