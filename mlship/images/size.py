"""How large an image may be, and what makes it as large as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlship.errors import GateFailed
from mlship.images.daemon import faults
from mlship.images.wheels import Wheel
from mlship.types import Image

if TYPE_CHECKING:
    from docker import DockerClient

#: Layers and packages that are named.
_NAMED = 4


def shown(size: int) -> str:
    """Bytes as people read them: `412 MB`."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}" if size < 1000 * factor else f"{size / factor:,.0f} {unit}"
    return f"{size} B"


def layers(client: DockerClient, image: str) -> list[tuple[str, int]]:
    """What each step of the image has added, the base's own steps as one; the largest first, bytes."""
    with faults("look at the image's layers"):
        history = client.api.history(image)
    found: dict[str, int] = {}
    for one in reversed(history):
        name = _name(str(one.get("CreatedBy", "")))
        found[name] = found.get(name, 0) + int(one.get("Size", 0))
    return sorted(((name, size) for name, size in found.items() if size), key=lambda pair: -pair[1])


def _name(created_by: str) -> str:
    for mark, name in (
        (" in /model", "the model"),
        (" in /opt/mlship/lib/", "the server"),
        (" in /opt/mlship", "the dependencies"),
    ):
        if mark in created_by:
            return name
    return "the server" if "compileall" in created_by else "the base"


def check(client: DockerClient, image: Image, limit: int | None, wheels: Sequence[Wheel]) -> None:
    """Raises ``GateFailed`` when the image is larger than the policy allows, with what takes the most."""
    if limit is None or image.size <= limit:
        return
    parts = [f"{name} {shown(size)}" for name, size in layers(client, image.id)[:_NAMED]]
    largest = sorted(wheels, key=lambda one: -one.unpacked)[:_NAMED]
    packages = [f"{one.name} {shown(one.unpacked)}" for one in largest]
    raise GateFailed(
        f"the image takes {shown(image.size)}, more than the {shown(limit)} of image.max_size; "
        f"of it: {', '.join(parts)}; largest packages: {', '.join(packages)}",
        where=image.reference,
        hint="ask for fewer packages where the model is logged, build on a smaller base, or raise image.max_size",
    )
