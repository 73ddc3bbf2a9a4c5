"""The bill of materials of an image, as CycloneDX JSON: the same image, the same document."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyclonedx.model import HashType

    from mlship.images.record import Record

#: The namespace of serial numbers: they follow from the image, so that a second run writes the same document.
_NAMESPACE = uuid.UUID("6f1c3a52-6b0e-5c0b-9d0e-0a5a7d1f6c11")


def sbom(record: Record) -> str:
    """What an image holds: base, packages with the sha256 of their wheels, mlship's server, and the model.

    CycloneDX 1.6 (ECMA-424), JSON. There is no time in it, and its serial number follows from the image's id.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    image = record.image
    root = Component(
        name=image.reference.rpartition(":")[0],
        version=image.reference.rpartition(":")[2],
        type=ComponentType.CONTAINER,
        bom_ref=image.id,
        hashes=[_sha256(image.id)],
    )
    base = Component(
        name=record.base.name,
        version=record.base.digest,
        type=ComponentType.CONTAINER,
        bom_ref=f"base:{record.base.digest}",
        hashes=[_sha256(record.base.digest)],
        description="the base image",
    )
    model = Component(
        name=record.model,
        version=record.version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{image.model}",
        hashes=[_sha256(image.model)],
        description="the model; its digest is over the paths and contents of its files",
    )
    packages = [
        Component(
            name=one.name,
            version=one.version,
            type=ComponentType.LIBRARY,
            purl=PackageURL("pypi", None, one.name, one.version),
            bom_ref=f"pkg:pypi/{one.name}@{one.version}",
            hashes=[_sha256(one.sha256)],
        )
        for one in record.packages
    ]
    bom = Bom(
        components=[base, model, *packages],
        serial_number=uuid.uuid5(_NAMESPACE, image.id),
    )
    bom.metadata.component = root
    bom.metadata.timestamp = None  # type: ignore[assignment]  # optional in the format, and no time belongs here
    bom.register_dependency(root, [base, model, *packages])
    return JsonV1Dot6(bom).output_as_string(indent=1)


def _sha256(digest: str) -> HashType:
    from cyclonedx.model import HashAlgorithm, HashType

    return HashType(alg=HashAlgorithm.SHA_256, content=digest.removeprefix("sha256:"))
