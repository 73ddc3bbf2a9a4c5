"""A real push to a registry in this process: the digest that comes back, credentials, and refusals."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from mlship.errors import EngineError
from mlship.images.daemon import connect, remote_host
from mlship.images.push import push
from mlship.types import Image
from tests.docker import docker_client
from tests.images.registry import registry

pytestmark = pytest.mark.slow

#: A new image: of one file, named for a registry.
Make = Callable[[str], Image]


@pytest.fixture
def make() -> Generator[Make]:
    client = docker_client()
    if remote_host() is not None:
        pytest.skip("needs a Docker engine on this machine: the registry is")
    made: list[str] = []

    def image(address: str) -> Image:
        content = os.urandom(300_000)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            info = tarfile.TarInfo("content")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        repository = f"{address}/flights/delay"
        client.api.import_image_from_data(buffer.getvalue(), repository=repository, tag="7-abc")
        made.append(f"{repository}:7-abc")
        return Image(made[-1], str(client.api.inspect_image(made[-1])["Id"]), "sha256:1", 1, "sha256:2")

    yield image
    for name in made:
        client.images.remove(name, force=True)


def test_a_pushed_image_has_the_digest_of_its_manifest(make: Make) -> None:
    seen: list[tuple[str, int, int]] = []
    with registry() as shelf:
        image = make(shelf.address)
        pushed = push(docker_client(), image, watch=lambda *one: seen.append(one))
        kind, manifest = shelf.manifests["flights/delay:7-abc"]
    assert pushed.pushed == f"{shelf.address}/flights/delay@sha256:{hashlib.sha256(manifest).hexdigest()}"
    assert "manifest" in kind
    assert json.loads(manifest)["config"]["digest"] == image.id
    assert set(shelf.blobs) == {image.id, *(one["digest"] for one in json.loads(manifest)["layers"])}
    assert seen
    assert all(what == "push" and 0 < done <= total for what, done, total in seen)


def test_credentials_are_those_of_the_docker_command(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = base64.b64encode(b"ops:hunter2").decode()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with registry(f"Basic {secret}") as shelf:
        image = make(shelf.address)
        with pytest.raises(EngineError) as caught:
            push(connect(), image)
        assert f"`docker login {shelf.address}`" in caught.value.hint
        assert caught.value.what.startswith(f"cannot push {image.reference}: ")
        assert caught.value.exit_code == 3
        (tmp_path / "config.json").write_text(json.dumps({"auths": {shelf.address: {"auth": secret}}}))
        assert push(connect(), image).pushed.startswith(f"{shelf.address}/flights/delay@sha256:")


def test_a_registry_out_of_reach_is_one_message(make: Make) -> None:
    image = make("127.0.0.1:9")
    with pytest.raises(EngineError, match=r"cannot push 127\.0\.0\.1:9/flights/delay:7-abc: ") as caught:
        push(docker_client(), image)
    assert "\n" not in caught.value.what
    assert "image: {repository: ...}" in caught.value.hint
