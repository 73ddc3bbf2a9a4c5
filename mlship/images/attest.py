"""Writes down what an image holds and what was proved of it: the bill of materials and the statement, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.errors import EngineError, StateError
from mlship.images import record as records
from mlship.images.sbom import sbom
from mlship.images.statement import Gate, signed, statement

if TYPE_CHECKING:
    from mlship.home import Home
    from mlship.images.record import Record


@dataclass(frozen=True, slots=True)
class Attested:
    """Where the two documents are."""

    sbom: Path
    """CycloneDX JSON."""
    statement: Path
    """In-toto statement; in a DSSE envelope when it is signed."""
    signed: bool


def attest(record: Record, gates: Sequence[Gate], home: Home, key: Path | None = None) -> Attested:
    """Write both documents beside the image's record.

    Parameters
    ----------
    gates
        Results of the evaluation that the image's label names; empty when there is none.
    key
        Private key that signs the statement.

    Raises ``StateError`` when they cannot be written, ``PolicyError`` when the key cannot be used, ``EngineError`` when
    the extra `image` is not installed.
    """
    for module, package in (("cyclonedx", "cyclonedx-python-lib"), ("securesystemslib", "securesystemslib")):
        if find_spec(module) is None:
            raise EngineError(
                f"stating what an image holds needs {package}, which is not installed",
                hint="pip install 'mlship[image]'",
            )
    bill = sbom(record)
    document = statement(record, gates, bill)
    if key is not None:
        document = signed(document, key)
    home.ensure(home.builds)
    context = record.image.context
    written = Attested(
        records.path(home, context, ".cdx.json"),
        records.path(home, context, ".intoto.json"),
        signed=key is not None,
    )
    for path, text in ((written.sbom, bill), (written.statement, json.dumps(document, indent=1, sort_keys=True))):
        try:
            path.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise StateError(f"cannot write: {error.strerror or error}", where=str(path)) from error
    return written
