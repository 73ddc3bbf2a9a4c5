"""The base image: pinned, asked what it is, and refused when nothing can be built on it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Generator
from pathlib import Path

import pytest

from mlship.errors import EngineError
from mlship.home import Home
from mlship.images import base as bases
from mlship.images.base import Base
from mlship.images.lock import platform_tags
from tests.docker import base_image, docker_client

pytestmark = pytest.mark.slow


@pytest.fixture
def without_python() -> Generator[str]:
    """An image that holds one text file."""
    client = docker_client()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("hello")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"world"))
    client.api.import_image_from_data(buffer.getvalue(), repository="mlship-test-empty", tag="1")
    yield "mlship-test-empty:1"
    client.images.remove("mlship-test-empty:1", force=True)


def test_a_base_is_pinned_and_says_what_its_python_is(tmp_path: Path) -> None:
    client, name = docker_client(), base_image()
    found = bases.resolve(client, name, None, Home(tmp_path))
    inspected = client.api.inspect_image(name)
    assert found.id == inspected["Id"]
    assert found.pin in [inspected["Id"], *inspected["RepoDigests"]]
    assert found.digest.startswith("sha256:")
    assert found.python.count(".") == 2
    assert platform_tags(found)[1]


def test_a_base_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, name = docker_client(), base_image()
    first = bases.resolve(client, name, None, Home(tmp_path))
    monkeypatch.setattr(bases, "_asked", lambda *_: pytest.fail("it was asked again"))
    assert bases.resolve(client, name, None, Home(tmp_path)) == first


def test_a_base_that_cannot_be_had_is_one_message(tmp_path: Path) -> None:
    """Out of reach, or unknown to its registry: the engine's words say which."""
    with pytest.raises(EngineError) as caught:
        bases.resolve(docker_client(), "127.0.0.1:9/nobody/nothing:1", None, Home(tmp_path))
    assert caught.value.what.startswith("cannot pull the base 127.0.0.1:9/nobody/nothing:1: ")
    assert "\n" not in caught.value.what
    assert caught.value.hint
    assert caught.value.exit_code == 3


def test_a_base_of_another_platform_is_refused(tmp_path: Path) -> None:
    client, name = docker_client(), base_image()
    other = "arm64" if client.version()["Arch"] == "amd64" else "amd64"
    with pytest.raises(EngineError, match=rf"is linux/\w+, and the image is to be linux/{other}") as caught:
        bases.resolve(client, name, f"linux/{other}", Home(tmp_path))
    assert "image.platform" in caught.value.hint


def test_a_base_without_python_is_refused(without_python: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="the base mlship-test-empty:1 has no python3"):
        bases.resolve(docker_client(), without_python, None, Home(tmp_path))


def test_a_platform_that_the_engine_cannot_run_is_told() -> None:
    error = bases._unfit("x", "linux/arm64", "standard_init_linux.go:228: exec user process caused: exec format error")
    assert error.what == "the Docker engine cannot run linux/arm64"
    assert "QEMU" in error.hint


def a_base(libc: str, libc_version: str) -> Base:
    return Base("b", "p", "i", "linux/amd64", "3.12.1", "x86_64", libc, libc_version)


def test_every_wheel_tag_of_a_base_is_known() -> None:
    name, tags = platform_tags(a_base("glibc", "2.36"))
    assert name == "x86_64-manylinux_2_36"
    assert tags[0] == "manylinux_2_36_x86_64"
    assert tags[-4:] == ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    assert platform_tags(a_base("glibc", "2.44"))[0] == "x86_64-manylinux_2_40"
    assert platform_tags(a_base("glibc", "2.30"))[0] == "x86_64-manylinux_2_28"
    assert platform_tags(a_base("musl", ""))[0] == "x86_64-unknown-linux-musl"
    with pytest.raises(EngineError, match=r"a C library that wheels are not made for: glibc 2\.12"):
        platform_tags(a_base("glibc", "2.12"))
