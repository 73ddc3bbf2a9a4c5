"""What one image is put together from, worked out before anything is built: base, wheels, and two contexts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.errors import EngineError, MovedError
from mlship.home import Home
from mlship.images import base as bases
from mlship.images import code, dockerfile, lock, requirements, wheels
from mlship.images.base import Base
from mlship.images.context import Context, Entry
from mlship.images.dockerfile import LABELS
from mlship.images.progress import Told, Watch, silent, unsaid
from mlship.images.requirements import Wanted
from mlship.images.wheels import Wheel
from mlship.types import ModelVersion

if TYPE_CHECKING:
    from docker import DockerClient

    from mlship.policy.serving import Image as Section

#: Under this name an engine keeps the dependencies that models share.
DEPENDENCIES = "mlship/dependencies"


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for."""

    version: ModelVersion
    section: Section
    """The policy's."""
    policy_digest: str
    resolve: Callable[[str], Path]
    """A path of the policy, made absolute."""
    home: Home
    evaluation_id: str = ""
    arguments: tuple[str, ...] = ()
    """Of the server; the image's command."""
    say: Told = unsaid
    watch: Watch = silent


@dataclass(frozen=True, slots=True)
class Parts:
    """What it is made of."""

    base: Base
    wheels: tuple[Wheel, ...]
    below: Context
    """Of the dependencies."""
    above: Context
    """Of the server and the model."""

    @property
    def parent(self) -> str:
        """Name and tag of the image of the dependencies."""
        return _parent(self.below)

    @property
    def inputs(self) -> str:
        """Digest of everything that the dependencies are made of, but for their Dockerfile, which names it."""
        return _inputs(self.below.entries)

    @property
    def dockerfiles(self) -> tuple[str, str]:
        """Of the dependencies and of the model."""
        return _dockerfile(self.below), _dockerfile(self.above)


def parts(client: DockerClient, order: Order) -> Parts:
    """Find the base, lock and fetch the packages, and lay out both contexts.

    Raises what ``build`` raises, but for a build that fails.
    """
    version, section = order.version, order.section
    locked = section.requirements
    wanted = requirements.wanted(version.path, order.resolve(locked) if locked else None)
    base = _base(client, order, wanted)
    order.say(f"resolving the packages for Python {base.python} on {base.platform}")
    files = _fetched(wanted, base, order)
    (pip,) = _fetched(Wanted(("pip",), "", "", ()), base, order)
    below = _below(base, wanted, files, pip)
    return Parts(base, files, below, _above(order, base, below))


def _base(client: DockerClient, order: Order, wanted: Wanted) -> Base:
    minor = ".".join(wanted.python.split(".")[:2])
    name = order.section.base or f"python:{minor or '3.11'}-slim"
    base = bases.resolve(client, name, order.section.platform, order.home, say=order.say, watch=order.watch)
    if minor and not base.python.startswith(f"{minor}."):
        raise EngineError(
            f"the base {name} has Python {base.python}, and the model was logged with {wanted.python}",
            where=f"{order.version.model} version {order.version.version}",
            hint=f"name a base with Python {minor} under `image: {{base: ...}}`, such as python:{minor}-slim",
        )
    return base


def _fetched(wanted: Wanted, base: Base, order: Order) -> tuple[Wheel, ...]:
    return wheels.fetch(lock.resolve(wanted, base, order.home), base, order.home, say=order.say)


def _below(base: Base, wanted: Wanted, files: Sequence[Wheel], pip: Wheel) -> Context:
    """The context of the dependencies."""
    listed = "".join(lock.written(one.name, one.version, (one.sha256,)) for one in files)
    entries = [
        Entry.of("requirements.txt", listed.encode()),
        Entry.of("install.py", Path(__file__).with_name("install.py")),
        _wheel("pip", pip),
        *(_wheel("wheels", one) for one in files),
    ]
    text = dockerfile.dependencies(base.pin, wanted.modules, _inputs(entries))
    return Context.of([*entries, Entry.of("Dockerfile", text.encode())])


def _inputs(entries: Iterable[Entry]) -> str:
    return Context.of(one for one in entries if one.name != "Dockerfile").digest


def _wheel(directory: str, one: Wheel) -> Entry:
    return Entry(f"{directory}/{one.file}", one.sha256, one.size, one.path)


def _above(order: Order, base: Base, below: Context) -> Context:
    """The context of the server and the model."""
    version = order.version
    model = [
        Entry.of(f"model/{path.relative_to(version.path).as_posix()}", path)
        for path in sorted(version.path.rglob("*"))
        if path.is_file()
    ]
    _same(version, model)
    labels = {
        "org.opencontainers.image.title": version.model,
        "org.opencontainers.image.version": version.version,
        "org.opencontainers.image.base.name": base.name,
        "org.opencontainers.image.base.digest": base.digest,
        f"{LABELS}model": version.model,
        f"{LABELS}version": version.version,
        f"{LABELS}model_digest": version.digest,
        f"{LABELS}policy_digest": order.policy_digest,
        f"{LABELS}evaluation": order.evaluation_id,
        f"{LABELS}dependencies": below.digest,
    }
    identity = [f"--name={version.model}", "--version", version.version, "--digest", version.digest]
    text = dockerfile.model(_parent(below), base.python, identity, order.arguments, labels)
    server = [Entry.of(f"mlship/{name}", path.read_bytes()) for name, path in code.modules().items()]
    return Context.of([*model, *server, Entry.of("Dockerfile", text.encode())])


def _same(version: ModelVersion, files: Sequence[Entry]) -> None:
    """What is packed is what was evaluated: the files fold into the version's digest as `registry.files` folds them."""
    total = hashlib.sha256()
    for one in sorted(files, key=lambda one: one.name):
        name = one.name.removeprefix("model/").encode("utf-8", "surrogateescape")
        total.update(name + b"\0" + one.sha256.encode("ascii") + b"\n")
    if f"sha256:{total.hexdigest()}" != version.digest:
        raise MovedError(
            "the model's files are not the ones of its digest",
            where=str(version.path),
            hint="run the command again; it fetches the model anew",
        )


def _parent(below: Context) -> str:
    return f"{DEPENDENCIES}:{below.digest.removeprefix('sha256:')[:16]}"


def _dockerfile(context: Context) -> str:
    (found,) = (one.source for one in context.entries if one.name == "Dockerfile")
    return found.decode() if isinstance(found, bytes) else ""
