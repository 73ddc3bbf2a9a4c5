"""One champion with a baseline and a log, made once for all tests of this directory; each gets a copy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import RegistryHome
from tests.monitor import watched
from tests.monitor.watched import Watched


@pytest.fixture(scope="session")
def made(
    registry_home: RegistryHome,
    flights: pd.DataFrame,
    train: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Watched:
    """Nobody changes it."""
    return watched.make(registry_home, flights, train, tmp_path_factory.mktemp("watched"))


@pytest.fixture
def place(made: Watched, tmp_path: Path) -> Watched:
    """A copy of this test's own."""
    return made.copy(tmp_path / "place")
