"""Our image against that of `mlflow models generate-dockerfile`: same model, same base; prints JSON as its last line.

Needs a Docker engine, the base that the tests use (`.ci/docker` makes it), and a package index: MLflow's image installs
while it is built, so it is built on the host's network. Sizes are those of the engine, base included. A new version is
the same estimator fitted again: what it adds is the sum of its layers that the first image does not have.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.serving import environment, save_model

BASE = os.environ.get("MLSHIP_TEST_BASE", "mlship-base:bookworm")
#: Both build on this: the tests' base with a `python` that pip may install into, as official Python images have it.
COMMON = "mlship-benchmark-base:latest"
_DOCKERFILE = f"""FROM {BASE}
COPY certificates.crt /etc/host-certificates.crt
ENV PIP_CERT=/etc/host-certificates.crt SSL_CERT_FILE=/etc/host-certificates.crt
RUN python3 -m venv /usr/local/python
ENV PATH=/usr/local/python/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
"""


def docker(*arguments: str) -> str:
    """Run docker's own command line; returns what it printed."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"docker {' '.join(arguments)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout.strip()


def make_base(directory: Path) -> None:
    """The common base; the host's certificates go in, because MLflow's image installs over the network."""
    directory.mkdir()
    (directory / "Dockerfile").write_text(_DOCKERFILE)
    bundle = os.environ.get("PIP_CERT") or "/etc/ssl/certs/ca-certificates.crt"
    shutil.copy(bundle, directory / "certificates.crt")
    build(directory, COMMON)


def build(directory: Path, tag: str) -> float:
    """Build with docker's classic builder; returns the seconds that it took."""
    started = time.perf_counter()
    environ = {**os.environ, "DOCKER_BUILDKIT": "0"}
    done = subprocess.run(
        ["docker", "build", "--network", "host", "-q", "-t", tag, str(directory)],
        capture_output=True, text=True, check=False, env=environ,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"building {tag}:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    return time.perf_counter() - started


def ours(model: Path, version: str, home: Path) -> tuple[str, float]:
    """Our image of a model directory: its id, and the seconds that it took."""
    from mlship.home import Home
    from mlship.images.build import build as build_image
    from mlship.policy.schema import Policy
    from mlship.registry.files import digest_of
    from mlship.types import ModelVersion

    policy = Policy.model_validate(
        {"version": 1, "model": "benchmark", "owner": {"team": "b", "contact": "abc"}, "image": {"base": COMMON}}
    )
    found = ModelVersion("benchmark", version, digest_of(model), model)
    started = time.perf_counter()
    image = build_image(found, policy, f"sha256:{'0' * 64}", resolve=lambda path: model.parent / path, home=Home(home))
    return image.id, time.perf_counter() - started


def theirs(model: Path, version: str, directory: Path) -> tuple[str, float]:
    """MLflow's image of a model directory: its id, and the seconds that the build took."""
    target = directory / f"mlflow-{version}"
    command = [sys.executable, "-m", "mlflow", "models", "generate-dockerfile", "-m", str(model), "-d", str(target)]
    subprocess.run([*command, "--env-manager", "local"], check=True, capture_output=True, env=environment())
    text = (target / "Dockerfile").read_text().splitlines()
    lines = [f"FROM {COMMON}" if line.startswith("FROM ") else line for line in text]
    (target / "Dockerfile").write_text("\n".join(lines))
    tag = f"mlship-benchmark-mlflow:{version}"
    seconds = build(target, tag)
    return docker("image", "inspect", "-f", "{{.Id}}", tag), seconds


def size(image: str) -> int:
    """Bytes of an image, base included."""
    return int(docker("image", "inspect", "-f", "{{.Size}}", image))


def added(first: str, second: str) -> int:
    """Bytes of the layers of the second image that the first does not have."""
    layers = [json.loads(docker("image", "inspect", "-f", "{{json .RootFS.Layers}}", one)) for one in (first, second)]
    shared = next((i for i, (one, other) in enumerate(zip(*layers, strict=False)) if one != other), len(layers[0]))
    # Newest first, and lines without a layer have no bytes; shared layers are the oldest.
    history = docker("history", "--no-trunc", "--human=false", "--format", "{{.Size}}", second).split()
    sizes = [int(one) for one in reversed(history) if int(one)]
    return sum(sizes[len(sizes) - (len(layers[1]) - shared) :]) if len(layers[1]) > shared else 0


def measure(make: Callable[[Path, str], tuple[str, float]], models: list[Path]) -> dict[str, Any]:
    """First image, and the image of a second version with the same dependencies."""
    one, first_seconds = make(models[0], "1")
    two, second_seconds = make(models[1], "2")
    model_bytes = sum(path.stat().st_size for path in models[1].rglob("*") if path.is_file())
    return {
        "size_mb": round(size(one) / 1e6, 1),
        "first_build_seconds": round(first_seconds, 1),
        "next_version_seconds": round(second_seconds, 2),
        "next_version_adds_bytes": added(one, two),
        "model_bytes": model_bytes,
    }


def main() -> None:
    """Build both, twice, and compare."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        make_base(directory / "base")
        models = [directory / f"model{version}" for version in (1, 2)]
        for seed, model in enumerate(models):
            save_model(model, seed)
        home = Path(os.environ.get("MLSHIP_BENCHMARK_HOME", directory / "home"))
        results: dict[str, Any] = {
            "base_mb": round(size(COMMON) / 1e6, 1),
            "mlship": measure(lambda model, version: ours(model, version, home), models),
            "mlflow": measure(lambda model, version: theirs(model, version, directory), models),
        }
    mine, peer = results["mlship"], results["mlflow"]
    results["ratios"] = {
        "size": round(mine["size_mb"] / peer["size_mb"], 2),
        "without_base": round((mine["size_mb"] - results["base_mb"]) / (peer["size_mb"] - results["base_mb"]), 2),
    }
    results["targets"] = {"size": 0.6, "next_version_seconds": 3}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
