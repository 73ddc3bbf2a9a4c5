"""`mlship build`, as a person and a pipeline call it."""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlship.cli.build import _passed
from mlship.ledger import Ledger
from mlship.types import Image, LedgerEntry, ModelVersion
from tests.docker import docker_client
from tests.images.conftest import MODEL, Workshop
from tests.schemas import conforms

pytestmark = pytest.mark.slow


def mlship(workshop: Workshop, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlship", "--home", str(workshop.home.path), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MLSHIP_ACTOR": "ada", **environment},
    )


def test_what_was_built_is_recorded_everywhere(workshop: Workshop, image: Image) -> None:
    """The ledger, the tags of the version, JSON on stdout and progress on stderr; once, however often it is asked."""
    from mlflow import MlflowClient

    loaded = workshop.policy()
    documents: list[dict[str, Any]] = []
    for _ in range(2):
        done = mlship(workshop, "build", str(loaded.path), "--candidate", "1", "--format", "json")
        assert done.returncode == 0, done.stderr
        documents.append(conforms("build", done.stdout))
    first, again = documents
    try:
        assert {key: first[key] for key in ("model", "version", "exit_code")} == {
            "model": MODEL,
            "version": "1",
            "exit_code": 0,
        }
        assert [layer["name"] for layer in first["layers"]][:1] == ["the dependencies"]
        assert (first["pushed"], first["evaluation"]) == (None, None)
        assert Path(first["log"]).is_file()
        assert (again["id"], again["context"]) == (first["id"], first["context"])
        assert "is there already" in done.stderr
        (entry,) = [one for one in Ledger(workshop.home.ledger).entries(MODEL) if one.action == "built"]
        assert entry.evidence == {
            "model": image.model,
            "image": first["id"],
            "context": first["context"],
            "reference": first["reference"],
            "policy": loaded.digest,
        }
        assert entry.who.startswith("ada@")
        uri = workshop.home.registry_uri
        tags = MlflowClient(uri, uri).get_model_version(MODEL, "1").tags
        assert (tags["mlship.image"], tags["mlship.image_digest"]) == (first["reference"], first["id"])
    finally:
        docker_client().images.remove(first["reference"], force=True)


def test_a_person_reads_what_there_is_now(workshop: Workshop, image: Image) -> None:
    done = mlship(workshop, "build", str(workshop.policy().path), "--candidate", "1")
    assert done.returncode == 0, done.stderr
    reference = done.stdout.partition(": ")[0]
    docker_client().images.remove(reference, force=True)
    assert f"{MODEL} version 1, " in done.stdout
    assert "the dependencies " in done.stdout
    assert "each locked by its hash" in done.stdout
    assert "resolving the packages for Python 3." in done.stderr


def test_what_was_built_and_proved_is_stated_and_signed(workshop: Workshop, image: Image) -> None:
    """With an evaluation that passed: its gates are in the statement, and anybody with the public key can check it."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # exported, but not in so many words

    directory = workshop.directory
    for command in ("genpkey -algorithm ed25519 -out key.pem", "pkey -in key.pem -pubout -out public.pem"):
        subprocess.run(["openssl", *command.split()], cwd=directory, check=True, capture_output=True)
    loaded = workshop.policy(more=", sign: key.pem")
    assert mlship(workshop, "evaluate", str(loaded.path), "--candidate", "1").returncode == 0
    done = mlship(workshop, "build", str(loaded.path), "--candidate", "1", "--format", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    docker_client().images.remove(document["reference"], force=True)
    assert document["signed"] is True
    assert document["evaluation"]
    envelope = json.loads(Path(document["statement"]).read_text())
    public = SSlibKey.from_crypto(load_pem_public_key((directory / "public.pem").read_bytes()))
    stated = json.loads(base64.b64decode(envelope["payload"]))
    Envelope.from_dict(envelope).verify([public], 1)
    assert stated["subject"][0]["digest"]["sha256"] == document["id"].removeprefix("sha256:")
    assert stated["predicate"]["result"] == "PASSED"
    assert any(name.startswith("contract/") for name in stated["predicate"]["passedTests"])
    named = {one["name"] for one in json.loads(Path(document["sbom"]).read_text())["components"]}
    assert {MODEL, "numpy", "scikit-learn", "uvicorn"} <= named


def test_without_a_docker_engine_it_says_so_and_ends_with_3(workshop: Workshop, tmp_path: Path) -> None:
    socket = f"unix://{tmp_path / 'no.sock'}"
    done = mlship(workshop, "build", str(workshop.policy(base="any").path), DOCKER_HOST=socket)
    assert done.returncode == 3
    assert "no Docker engine answers" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_the_scan_refuses_gets_no_image(workshop: Workshop, tmp_path: Path) -> None:
    """It is refused before the engine is asked for anything."""
    from mlflow import MlflowClient

    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "MLmodel").write_text("flavors: {python_function: {loader_module: mlflow.sklearn}}")
    (evil / "model.pkl").write_bytes(pickle.dumps(Evil()))
    uri = workshop.home.registry_uri
    client = MlflowClient(uri, uri)
    client.create_registered_model("evil")
    client.create_model_version("evil", evil.as_uri())
    policy = tmp_path / "policy.yaml"
    policy.write_text(workshop.policy(base="any").path.read_text().replace(f'"{MODEL}"', "evil"))
    done = mlship(workshop, "build", str(policy), "--candidate", "1", DOCKER_HOST="unix:///nowhere")
    assert done.returncode == 1, done.stderr
    assert "the model gets no image: model.pkl needs posix.system" in done.stderr


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def test_the_image_names_the_latest_evaluation_only_if_it_was_passed() -> None:
    version = ModelVersion("m", "7", "sha256:m", Path())

    def evaluated(name: str, status: str, model: str = "sha256:m", policy: str = "sha256:p") -> LedgerEntry:
        evidence = {"evaluation": name, "status": status, "model": model, "policy": policy}
        return LedgerEntry(0.0, "ada", "evaluated", "m", None, "7", "", evidence)

    passed = [evaluated("e1", "passed"), evaluated("e2", "passed"), evaluated("e3", "passed", policy="sha256:other")]
    assert _passed(passed, version, "sha256:p") is passed[1]
    assert _passed([*passed, evaluated("e4", "failed")], version, "sha256:p") is None
    assert _passed([evaluated("e5", "passed", model="sha256:other")], version, "sha256:p") is None


def test_an_empty_candidate_is_an_error(workshop: Workshop) -> None:
    done = mlship(workshop, "build", str(workshop.policy(base="any").path), "--candidate", " ")
    assert done.returncode == 2
    assert "--candidate is empty" in done.stderr
