"""What a custom gate is given: the rows, the label, and what candidate and champion say about each row.

    from mlship.gates.given import Given


    def no_night_flights(given: Given) -> dict[str, object]: ...

A command finds the same in the file that `MLSHIP_INPUT` names (see `docs/gates/custom.md`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Model:
    """One version of the model, and what it says about the rows."""

    version: str
    digest: str
    path: Path
    """The directory of its files, with `MLmodel` in it; to be read only."""
    inputs: tuple[str, ...]
    """Names of the columns in its signature; empty without one."""
    predictions: NDArray[np.generic] | None
    """Predicted classes or numbers, shape (n,); None without rows."""
    scores: NDArray[np.float64] | None
    """Class probabilities, shape (n, classes), or a decision value, shape (n,); None when it has neither."""
    classes: tuple[Any, ...]
    """The classes in the order of the columns of `scores`; empty when it does not tell."""


@dataclass(frozen=True)
class Given:
    """What a custom function is called with."""

    gate: str
    """Its name in the policy."""
    directory: Path
    """Where the policy file is."""
    model: str
    """Name of the registered model."""
    candidate: Model
    champion: Model | None
    rows: pd.DataFrame | None
    """The evaluation rows, all columns; None when the policy names no evaluation data."""
    target: str | None
    time: str | None

    @cached_property
    def features(self) -> pd.DataFrame | None:
        """The rows without the label."""
        if self.rows is None or self.target is None:
            return self.rows
        return self.rows.drop(columns=self.target)

    @cached_property
    def labels(self) -> pd.Series[Any] | None:
        """The label of each row; None where the policy names no target."""
        return None if self.rows is None or self.target is None else self.rows[self.target]


def given(path: Path) -> Given:
    """What a gate is given, from the file that `MLSHIP_INPUT` names."""
    import pandas as pd

    told = json.loads(path.read_text(encoding="utf-8"))
    return Given(
        gate=told["gate"],
        directory=Path(told["directory"]),
        model=told["model"],
        candidate=_model(told["candidate"]),
        champion=None if told["champion"] is None else _model(told["champion"]),
        rows=None if told["rows"] is None else pd.read_parquet(told["rows"]),
        target=told["target"],
        time=told["time"],
    )


def _model(told: dict[str, Any]) -> Model:
    import pandas as pd

    predictions: NDArray[Any] | None = None
    scores: NDArray[Any] | None = None
    if told["predictions"] is not None:
        table = pd.read_parquet(told["predictions"])
        predictions = table["prediction"].to_numpy()
        if "score" in table.columns:
            scores = table["score"].to_numpy()
        elif len(table.columns) > 1:
            scores = table.drop(columns="prediction").to_numpy()
    return Model(
        told["version"],
        told["digest"],
        Path(told["path"]),
        tuple(told["inputs"]),
        predictions,
        scores,
        tuple(told["classes"]),
    )
