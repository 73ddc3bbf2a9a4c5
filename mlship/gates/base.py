"""What every gate is given and gives back; the judge that they ask is in `judging`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlship.gates.judging import Limit, judge, noted, without
from mlship.home import Home
from mlship.policy.schema import Policy
from mlship.sources.files import Rows
from mlship.types import Candidate, GateResult, ModelVersion

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["FEWEST_ROWS", "Gate", "GateContext", "Limit", "Predictions", "Score", "judge", "noted", "without"]

#: Below this many rows, nothing about a model is decided.
FEWEST_ROWS = 30


class Predictions(Protocol):
    """What a model said about the evaluation rows, in their order."""

    @property
    def values(self) -> NDArray[np.generic]:
        """Predicted classes or numbers, shape (n,)."""

    @property
    def scores(self) -> NDArray[np.generic] | None:
        """Class probabilities, shape (n, classes), or a decision value, shape (n,); None when the model has neither."""

    @property
    def classes(self) -> NDArray[np.generic] | None:
        """The classes in the order of the columns of `scores`; None when there are none or the model does not tell."""


def _untold(_done: int, _total: int) -> None:
    """Nobody watches."""


def _unheard(_sentence: str) -> None:
    """Nobody listens."""


#: Predictions of several versions on one table of features. The text names the table's contents: the same text, the
#: same rows, so that predictions can be kept.
Score = Callable[["tuple[ModelVersion, ...]", "pd.DataFrame", str], "tuple[Predictions, ...]"]


@dataclass(frozen=True)
class GateContext:
    """Everything a gate may look at. The predictions are made when a gate first asks for them, and then kept."""

    policy: Policy
    resolve: Callable[[str], Path]
    """A path of the policy, made absolute: relative ones start at the policy file."""
    candidate: Candidate
    evaluation: Rows | None
    reference: Rows | None
    score: Score
    """The raw way to predictions; most gates want `predictions`, `on` or `predict`."""
    now: date
    seed: int
    recent: Rows | None = None
    home: Home = field(default_factory=Home.find)
    tick: Callable[[int, int], None] = _untold
    """Told (done, total) by a gate whose work takes more than a second, for its progress bar."""
    say: Callable[[str], None] = _unheard
    """Told one sentence by a gate that begins something which a person should know takes long."""

    @cached_property
    def predictions(self) -> tuple[Predictions, Predictions | None]:
        """Of the candidate and, when there is one, of the champion; both on the evaluation rows."""
        assert self.evaluation is not None, "gates ask for predictions of rows that they have seen"
        return self.on(self.evaluation)

    def on(self, rows: Rows) -> tuple[Predictions, Predictions | None]:
        """Of candidate and champion on any rows, such as the reference; the labels are kept from the models.

        Raises ``DataError`` when the rows lack an input, ``ModelError`` when a model fails.
        """
        hidden = {rows.target, self.evaluation.target if self.evaluation else None}
        features = rows.frame[[name for name in rows.frame.columns if name not in hidden]]
        return self.predict(features, rows.digest)

    def predict(self, features: pd.DataFrame, contents: str) -> tuple[Predictions, Predictions | None]:
        """Of candidate and champion on a table without labels; `contents` names what is in it (see `Score`)."""
        champion = self.candidate.champion
        versions = (self.candidate.version, *([champion] if champion else []))
        ours, *theirs = self.score(versions, features, contents)
        return ours, theirs[0] if theirs else None

    def input_columns(self, rows: Rows) -> tuple[str, ...]:
        """The columns that the candidate looks at: its signature's, else every column but target and time."""
        return self.candidate.version.inputs or tuple(
            name for name in rows.frame.columns if name not in (rows.target, rows.time)
        )


class Gate(Protocol):
    """One offline check: it measures, asks the judge, and acts on nothing."""

    name: str

    def judge(self, context: GateContext) -> list[GateResult]:
        """One result for each of its rules; an empty list when the policy does not ask for this gate."""
