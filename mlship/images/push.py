"""An image goes to its registry; credentials are those of the `docker` command."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlship.errors import EngineError
from mlship.images.daemon import faults
from mlship.images.progress import Told, Watch, bytes_done, silent, unsaid
from mlship.types import Image

if TYPE_CHECKING:
    from docker import DockerClient


def push(client: DockerClient, image: Image, *, say: Told = unsaid, watch: Watch = silent) -> Image:
    """The image with its digest in the registry that its reference names; the engine pushes only what is missing there.

    Raises ``EngineError`` when the registry refuses, or is out of reach.
    """
    repository, _, tag = image.reference.rpartition(":")
    say(f"pushing {image.reference}")
    try:
        with faults(f"push {image.reference}"):
            aux = bytes_done(client.api.push(repository, tag=tag, stream=True, decode=True), watch, "push")
    except EngineError as error:
        raise EngineError(error.what, where=error.where, hint=error.hint or _hint(error.what, repository)) from error
    digest = aux.get("Digest")
    if not digest:
        raise EngineError("the registry has not said under which digest it keeps the image", where=image.reference)
    return replace(image, pushed=f"{repository}@{digest}")


def _hint(text: str, repository: str) -> str:
    lowered = text.lower()
    host = repository.partition("/")[0] if "." in repository.partition("/")[0] or ":" in repository else ""
    if any(word in lowered for word in ("denied", "unauthorized", "authentication required", "no basic auth")):
        return f"`docker login {host}`".replace(" `", "`") + ", with an account that may push there"
    return "is `image: {repository: ...}` in the policy the right one, and is its registry in reach?"
