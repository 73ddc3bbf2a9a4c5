"""The recipe of a serving image: find what it is made of, build what is missing, keep what went in, push."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.home import Home
from mlship.images import builder, dockerfile, record, size
from mlship.images import push as pushes
from mlship.images.daemon import connect, faults
from mlship.images.dockerfile import LABELS
from mlship.images.parts import Order, Parts, parts
from mlship.images.progress import Told, Watch, silent, unsaid
from mlship.images.record import Package, Record
from mlship.types import Image, ModelVersion

if TYPE_CHECKING:
    from docker import DockerClient

    from mlship.policy.schema import Policy

#: A stage with wheels that is older than this belongs to no build that is under way.
_STALE_SECONDS = 7200.0
#: What a tag may not hold.
_NO_TAG = re.compile(r"[^A-Za-z0-9_.-]+")


def build(
    version: ModelVersion,
    policy: Policy,
    policy_digest: str,
    *,
    resolve: Callable[[str], Path],
    home: Home,
    evaluation_id: str = "",
    arguments: Sequence[str] = (),
    push: bool = False,
    say: Told = unsaid,
    watch: Watch = silent,
) -> Image:
    """Build the serving image of a model version, or find the one that was built of the very same things.

    Nothing of the model is loaded here; the caller has had it scanned.

    Parameters
    ----------
    resolve
        A path of the policy, made absolute.
    evaluation_id
        The evaluation that the version has passed; a label of the image.
    arguments
        Arguments of the server that the image has as its command, see ``ServerOptions.arguments``.
    push
        Also push it to the registry of `image.repository`; done anyhow where the policy says so.
    say, watch
        Told each step, and (of what, done, total).

    Raises ``EngineError`` when there is no Docker engine, no such base, no wheel of a dependency, no space, or the
    build fails; ``GateFailed`` when the image is larger than the policy allows; ``MovedError`` when the model's files
    are no longer those of its digest.
    """
    from mlship.policy.serving import Image as Section

    section = policy.image or Section()
    order = Order(version, section, policy_digest, resolve, home, evaluation_id, tuple(arguments), say, watch)
    client = connect()
    try:
        found = parts(client, order)
        built = _built(client, order, found)
        size.check(client, built.image, section.max_size, found.wheels)
        if push or section.push:
            built = replace(built, image=pushes.push(client, built.image, say=say, watch=watch))
            record.keep(built, home)
        return built.image
    finally:
        client.close()


def _built(client: DockerClient, order: Order, found: Parts) -> Record:
    """What was built, now or before, of these parts."""
    began, context, version = time.monotonic(), found.above.digest, order.version
    reference = f"{order.section.repository or _repository(version.model)}:{_tag(version, context)}"
    known = record.load(order.home, context)
    identity = _find(client, reference, context)
    if identity is not None:
        order.say(f"{reference} is there already: nothing that it is made of has changed")
        if known is not None and (known.image.id, known.image.reference) == (identity, reference):
            return known
    revision = _revision(order.resolve("."))
    seconds = 0.0
    if identity is None:
        identity = _build(client, order, found, reference, revision)
        seconds = time.monotonic() - began
    with faults("look at the image"):
        taken = int(client.api.inspect_image(identity)["Size"])
    entries = found.above.entries
    built = Record(
        image=Image(reference, identity, context, taken, version.digest, order.evaluation_id),
        base=found.base,
        model=version.model,
        version=version.version,
        policy_digest=order.policy_digest,
        revision=revision,
        dependencies=found.below.digest,
        packages=tuple(Package(one.name, one.version, one.file, one.sha256) for one in found.wheels),
        code={one.name: one.sha256 for one in entries if one.name.startswith("mlship/")},
        files={one.name.removeprefix("model/"): one.sha256 for one in entries if one.name.startswith("model/")},
        dockerfiles=found.dockerfiles,
        seconds=seconds,
    )
    record.keep(built, order.home)
    return built


def _build(client: DockerClient, order: Order, found: Parts, reference: str, revision: str) -> str:
    """Build what is missing, the dependencies and the model on top of them; returns the image's id."""
    order.home.ensure(order.home.builds)
    log = record.path(order.home, found.above.digest, ".log")
    log.unlink(missing_ok=True)
    run = partial(builder.run, client, log=log, say=order.say, watch=order.watch)
    if _find(client, found.parent, found.below.digest) is None:
        order.say(f"installing {len(found.wheels)} packages ({size.shown(found.below.size)}), without network")
        labels = {f"{LABELS}context": found.below.digest}
        run(found.below, tag=found.parent, labels=labels, doing="the dependencies")
        _sweep(client, found.inputs)
    labels = {f"{LABELS}context": found.above.digest}
    if revision:
        labels["org.opencontainers.image.revision"] = revision
    return run(found.above, tag=reference, labels=labels, doing="the image")


def _find(client: DockerClient, reference: str, context: str) -> str | None:
    """Id of the image of that name, if it was built of that context."""
    from docker.errors import ImageNotFound

    with faults(f"look for {reference}"):
        try:
            found = client.api.inspect_image(reference)
        except ImageNotFound:
            return None
    labels = (found.get("Config") or {}).get("Labels") or {}
    return str(found["Id"]) if labels.get(f"{LABELS}context") == context else None


def _sweep(client: DockerClient, inputs: str) -> None:
    """Remove the stage that held these wheels, and those that failed builds have left: nothing refers to them."""
    from docker.errors import APIError

    with faults("remove the stage that held the wheels"):
        for one in client.api.images(filters={"dangling": True, "label": dockerfile.SCRATCH}):
            another = (one.get("Labels") or {}).get(dockerfile.SCRATCH) != inputs
            if another and time.time() - int(one.get("Created", 0)) < _STALE_SECONDS:
                continue  # a build that is under way
            try:
                client.api.remove_image(one["Id"])
            except APIError:  # it is in use; the next build removes it
                continue


def _tag(version: ModelVersion, context: str) -> str:
    return f"{_NO_TAG.sub('-', version.version)}-{context.removeprefix('sha256:')[:8]}"


def _repository(model: str) -> str:
    """A name that registries allow."""
    name = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    return f"mlship/{name or hashlib.sha256(model.encode()).hexdigest()[:12]}"


def _revision(directory: Path) -> str:
    """Git revision of the policy's repository, with `-dirty` when something in it has changed; empty without one."""
    command = ["git", "-C", str(directory), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):  # no git here
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
