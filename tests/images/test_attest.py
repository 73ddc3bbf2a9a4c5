"""What is said of an image: complete, the same every time, valid by its formats, and signed for others to check."""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # exported, but not in so many words

from mlship.errors import PolicyError
from mlship.home import Home
from mlship.images.attest import attest
from mlship.images.base import Base
from mlship.images.record import Package, Record
from mlship.images.sbom import sbom
from mlship.images.statement import PAYLOAD, Gate, signed, statement
from mlship.types import Image


def digest(figure: str) -> str:
    return f"sha256:{figure * 64}"


RECORD = Record(
    image=Image("ghcr.io/acme/delay:7-0123", digest("a"), digest("b"), 1000, digest("c"), "evaluation-1"),
    base=Base(
        "python:3.11-slim",
        f"python@{digest('d')}",
        digest("e"),
        "linux/amd64",
        "3.11.2",
        "x86_64",
        "glibc",
        "2.36",
    ),
    model="flight-delay",
    version="7",
    policy_digest=digest("f"),
    revision="0" * 40,
    dependencies=digest("1"),
    packages=(
        Package("numpy", "2.4.6", "numpy-2.4.6-cp311.whl", "2" * 64),
        Package("scikit-learn", "1.9.1", "scikit_learn-1.9.1-cp311.whl", "3" * 64),
    ),
    code={"mlship/errors.py": "4" * 64},
    files={"MLmodel": "5" * 64},
    dockerfiles=("FROM a", "FROM b"),
    seconds=1.0,
)
GATES = (Gate("metrics/recall min", "passed"), Gate("leakage/overlap", "passed"), Gate("drift", "skipped"))


def test_the_bill_names_everything_by_its_digest() -> None:
    document = json.loads(sbom(RECORD))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert "timestamp" not in document["metadata"]
    assert document["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    found = {one["name"]: (one["type"], one["version"], one["hashes"][0]["content"]) for one in document["components"]}
    assert found == {
        "python:3.11-slim": ("container", digest("d"), "d" * 64),
        "flight-delay": ("machine-learning-model", "7", "c" * 64),
        "numpy": ("library", "2.4.6", "2" * 64),
        "scikit-learn": ("library", "1.9.1", "3" * 64),
    }
    assert {one.get("purl") for one in document["components"]} >= {"pkg:pypi/numpy@2.4.6"}


def test_the_bill_is_valid_by_its_own_schema_and_the_same_every_time() -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom(RECORD)) is None
    assert sbom(RECORD) == sbom(replace(RECORD, seconds=9.0))
    other = replace(RECORD, image=replace(RECORD.image, id=digest("9")))
    assert json.loads(sbom(other))["serialNumber"] != json.loads(sbom(RECORD))["serialNumber"]


def test_the_statement_says_which_model_passed_which_gates_of_which_policy() -> None:
    document = statement(RECORD, GATES, "{}")
    assert document["subject"] == [{"name": "ghcr.io/acme/delay", "digest": {"sha256": "a" * 64}}]
    predicate = document["predicate"]
    assert (predicate["result"], predicate["failedTests"], predicate["warnedTests"]) == ("PASSED", [], [])
    assert predicate["passedTests"] == ["metrics/recall min", "leakage/overlap"]
    configured = {one["name"]: one["digest"] for one in predicate["configuration"]}
    assert configured["model"] == {"sha256": "c" * 64}
    assert configured["policy"] == {"sha256": "f" * 64}
    assert configured["revision"] == {"gitCommit": "0" * 40}
    assert predicate["evaluation"] == "evaluation-1"


def test_a_pushed_image_is_named_by_its_digest_in_the_registry_too() -> None:
    pushed = replace(RECORD, image=replace(RECORD.image, pushed=f"ghcr.io/acme/delay@{digest('8')}"))
    assert [one["digest"]["sha256"][0] for one in statement(pushed, GATES, "{}")["subject"]] == ["a", "8"]


@pytest.mark.parametrize(
    ("statuses", "result"),
    [
        ((), "WARNED"),
        (("skipped",), "WARNED"),
        (("passed", "inconclusive"), "WARNED"),
        (("passed", "error"), "WARNED"),
        (("passed", "failed", "error"), "FAILED"),
        (("passed", "skipped"), "PASSED"),
    ],
)
def test_only_what_passed_is_stated_to_have_passed(statuses: tuple[str, ...], result: str) -> None:
    gates = [Gate(f"gate/{status}", status) for status in statuses]
    assert statement(RECORD, gates, "{}")["predicate"]["result"] == result


def pem(key: Any, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    written: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return written


def public(key: Any) -> SSlibKey:
    written = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return SSlibKey.from_crypto(load_pem_public_key(written))


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["ed25519", "ecdsa", "rsa"],
)
def test_others_can_check_the_signature(tmp_path: Path, key: Any) -> None:
    (tmp_path / "key.pem").write_bytes(pem(key))
    written = attest(RECORD, GATES, Home(tmp_path), tmp_path / "key.pem")
    document = json.loads(written.statement.read_text())
    assert document["payloadType"] == PAYLOAD
    bill = written.sbom.read_text().removesuffix("\n")
    assert json.loads(base64.b64decode(document["payload"])) == statement(RECORD, GATES, bill)
    Envelope.from_dict(copy.deepcopy(document)).verify([public(key)], 1)
    document["payload"] = base64.b64encode(json.dumps(statement(RECORD, (), bill)).encode()).decode()
    with pytest.raises(VerificationError):
        Envelope.from_dict(document).verify([public(key)], 1)


def test_without_a_key_the_statement_is_plain(tmp_path: Path) -> None:
    written = attest(RECORD, (), Home(tmp_path))
    assert not written.signed
    assert json.loads(written.statement.read_text())["predicate"]["warnedTests"] == ["no evaluation"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "the key cannot be read: No such file"),
        (b"nothing of the kind", "no private key that can be used"),
        (pem(ed25519.Ed25519PrivateKey.generate(), b"secret"), "no private key that can be used"),
    ],
)
def test_a_key_that_cannot_be_used_is_told_without_showing_it(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PolicyError, match=says) as caught:
        signed({}, path)
    assert caught.value.where == str(path)
    assert "openssl genpkey" in caught.value.hint
