"""One real image for the whole session, and a state directory whose packages outlive it: wheels are fetched once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mlship
from mlship.home import Home
from mlship.images import code
from mlship.images.build import build
from mlship.policy.load import LoadedPolicy, load_policy
from mlship.registry import Registry
from mlship.types import Image, ModelVersion
from tests.conftest import FEATURES, LogModel
from tests.docker import base_image, docker_client

if TYPE_CHECKING:
    import pandas as pd

MODEL = "flight delay's $HOME"
POLICY = """version: 1
model: "{model}"
owner: {{team: flights, contact: flights@example.com}}
data: {{evaluation: {{path: rows.parquet, target: late}}}}
gates: {{contract: {{max_duplicates: 100%, max_label_conflicts: 100%}}, security: {{allow_types: []}}}}
image: {{base: "{base}"{more}}}
"""


@dataclass(frozen=True)
class Workshop:
    """A state directory with a registry that holds two versions of one model with the same requirements."""

    home: Home
    directory: Path

    def policy(self, more: str = "", base: str | None = None) -> LoadedPolicy:
        """The policy, with more keys in its `image` section."""
        path = self.directory / "policy.yaml"
        path.write_text(POLICY.format(model=MODEL, base=base or base_image(), more=more), encoding="utf-8")
        return load_policy(path)

    def version(self, number: str) -> ModelVersion:
        """A version, fetched."""
        return Registry.connect(None, self.home).version(MODEL, number)

    def build(self, number: str, loaded: LoadedPolicy | None = None, **options: Any) -> Image:
        """The image of a version."""
        loaded = loaded or self.policy()
        options.setdefault("home", self.home)
        return build(self.version(number), loaded.policy, loaded.digest, resolve=loaded.resolve, **options)


@pytest.fixture(scope="session", autouse=True)
def _same_code(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """The server's code as it is now: an edit during the run would be another layer."""
    package = tmp_path_factory.mktemp("code") / "mlship"
    shutil.copytree(Path(mlship.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    modules = code.modules
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code, "modules", lambda where=package, *rest: modules(where, *rest))
        yield


@pytest.fixture(scope="session")
def workshop(
    request: pytest.FixtureRequest,
    make_home: Callable[[Path], Home],
    log_model: LogModel,
    train: Callable[..., Any],
    flights: pd.DataFrame,
) -> Workshop:
    directory = request.getfixturevalue("tmp_path_factory").mktemp("workshop")
    home = make_home(directory)
    cached(home, request.config)
    half = flights[flights["month"] <= 6].iloc[::40]
    half[[*FEATURES, "late"]].tail(500).to_parquet(directory / "rows.parquet")
    for iterations in (10, 20):
        rows = half[FEATURES]
        log_model(home, MODEL, train(half, max_iter=iterations), rows, alias="challenger", input_example=rows.head(3))
    return Workshop(home, directory)


def cached(home: Home, config: pytest.Config) -> None:
    """Let a state directory keep its packages where they outlive it: they are addressed by their content."""
    home.ensure(home.cache)
    for name in ("wheels", "locks"):
        (home.cache / name).symlink_to(config.cache.mkdir(f"mlship-{name}"))


@pytest.fixture(scope="session")
def image(workshop: Workshop) -> Generator[Image]:
    """The image of version 1. Its dependencies stay with the engine, for the next run."""
    client = docker_client()
    built = workshop.build("1")
    yield built
    client.images.remove(built.reference, force=True)
