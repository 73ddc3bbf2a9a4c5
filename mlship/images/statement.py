"""What is stated of an image: by which gates its model got here. An in-toto statement, signed when a key is given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import PolicyError

if TYPE_CHECKING:
    from mlship.images.record import Record

#: The formats: https://github.com/in-toto/attestation, spec v1 and predicate test-result v0.1.
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
PAYLOAD = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True)
class Gate:
    """One rule of a gate, as it was judged."""

    name: str
    """`gate/rule`."""
    status: str
    """passed | failed | inconclusive | error | skipped"""


#: How the predicate calls a status.
_RESULT = {"passed": "PASSED", "failed": "FAILED"}


def statement(record: Record, gates: Sequence[Gate], sbom: str) -> dict[str, Any]:
    """The statement about one image: subject is its digest, predicate the model, the policy and the gates' results.

    Parameters
    ----------
    gates
        Results of the evaluation that the image's label names; empty when it was built without one: then nothing is
        stated to have passed.
    sbom
        The bill of materials, which is named with its digest.
    """
    image, names = record.image, {status: _named(gates, status) for status in ("passed", "failed")}
    repository = image.reference.rpartition(":")[0]
    subjects = [{"name": repository, "digest": _digest(image.id)}]
    if image.pushed:
        subjects.append({"name": repository, "digest": _digest(image.pushed.rpartition("@")[2])})
    configuration = [
        {"name": "model", "uri": f"models:/{record.model}/{record.version}", "digest": _digest(image.model)},
        {"name": "policy", "digest": _digest(record.policy_digest)},
        {"name": "base", "uri": record.base.pin, "digest": _digest(record.base.digest)},
        {"name": "sbom", "digest": {"sha256": hashlib.sha256(sbom.encode()).hexdigest()}},
    ]
    if record.revision:
        configuration.append({"name": "revision", "digest": {"gitCommit": record.revision}})
    undecided = [gate.name for gate in gates if gate.status in ("inconclusive", "error")]
    return {
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": PREDICATE,
        "predicate": {
            "result": _result(gates),
            "configuration": configuration,
            "passedTests": names["passed"],
            "warnedTests": undecided or ([] if gates else ["no evaluation"]),
            "failedTests": names["failed"],
            # Consumers of the predicate pass over what they do not know.
            "evaluation": image.evaluation_id,
            "skippedTests": _named(gates, "skipped"),
        },
    }


def _result(gates: Sequence[Gate]) -> str:
    """The worst: no result at all is a warning, never a pass."""
    found = {gate.status for gate in gates} - {"skipped"}
    if "failed" in found:
        return "FAILED"
    return "PASSED" if found == {"passed"} else "WARNED"


def _named(gates: Sequence[Gate], status: str) -> list[str]:
    return [gate.name for gate in gates if gate.status == status]


def _digest(digest: str) -> dict[str, str]:
    return {"sha256": digest.removeprefix("sha256:")}


def signed(document: dict[str, Any], key: Path) -> dict[str, Any]:
    """The statement in a DSSE envelope, signed with a private key (PEM, PKCS#8: ECDSA, Ed25519 or RSA).

    Raises ``PolicyError`` when the key cannot be used.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]  # exported, but not in so many words

    hint = "`image.sign` names a private key without a password; `openssl genpkey -algorithm ed25519` makes one"
    try:
        signer = CryptoSigner(load_pem_private_key(key.read_bytes(), password=None))
    except OSError as error:
        raise PolicyError(f"the key cannot be read: {error.strerror}", where=str(key), hint=hint) from None
    except (TypeError, ValueError, UnsupportedAlgorithm):  # its own words may hold parts of the key
        raise PolicyError("this is no private key that can be used", where=str(key), hint=hint) from None
    envelope = Envelope(json.dumps(document, sort_keys=True).encode(), PAYLOAD, {})
    envelope.sign(signer)
    written: dict[str, Any] = envelope.to_dict()
    return written
