"""The sample of rows that is perturbed, what the models say about tables made of it, and how many answers changed."""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from mlship.errors import DataError, MlshipError, ModelError
from mlship.gates import limits
from mlship.gates.base import GateContext, Predictions
from mlship.gates.robustness import perturb
from mlship.gates.robustness.perturb import Column
from mlship.report.figures import quoted
from mlship.types import ModelVersion, Status

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from mlship.gates.metrics.measure import Metric

#: A predicted number has moved when it changed by more than this share of the predictions' standard deviation.
MOVED = 0.1
#: Characters of a model's complaint that a reason has room for.
_LONGEST = 240
#: Values of the tables that are stacked for one call: some 200 MB.
_MOST_CELLS = 20_000_000
#: Seconds after which a failing call is not taken apart into several.
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Predictions of some rows (see `base.Predictions`)."""

    values: NDArray[np.generic]
    scores: NDArray[np.generic] | None
    classes: NDArray[np.generic] | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A model that gave no predictions, and why not."""

    reason: str


Said: TypeAlias = Answers | Refused


def part(predictions: Predictions, rows: NDArray[np.int64] | slice) -> Answers:
    """The predictions of some of the rows."""
    scores = predictions.scores
    return Answers(predictions.values[rows], None if scores is None else scores[rows], predictions.classes)


def changed(before: Predictions, after: Predictions, threshold: float | None = None) -> NDArray[np.bool_]:
    """Which predictions changed, shape (n,): another class, or a number that moved by `MOVED` of their spread.

    With a threshold, two classes are what the probability of the second one makes of them.
    """
    import numpy as np

    if is_class(before):
        return np.asarray(_decided(before, threshold) != _decided(after, threshold))
    old, new = before.values.astype(float), after.values.astype(float)
    return np.asarray(np.abs(new - old) > MOVED * old.std())


def is_class(predictions: Predictions) -> bool:
    """Whether a prediction is one of several classes, and not a quantity."""
    return predictions.classes is not None or predictions.values.dtype.kind != "f"


def same(before: Predictions, after: Predictions) -> NDArray[np.bool_]:
    """Which answers are the same but for the last digits of a float, in class and in score, shape (n,)."""
    import numpy as np

    def equal(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
        if a.dtype.kind == "f" and b.dtype.kind == "f":
            return np.asarray(np.isclose(a, b, rtol=1e-6, atol=1e-9, equal_nan=True), dtype=bool)
        return np.asarray(a == b, dtype=bool)

    alike: NDArray[np.bool_] = equal(before.values, after.values)
    if before.scores is not None and after.scores is not None:
        scores = equal(before.scores, after.scores)
        alike &= scores if scores.ndim == 1 else np.asarray(scores.all(axis=1), dtype=bool)
    return alike


def _decided(predictions: Predictions, threshold: float | None) -> NDArray[Any]:
    scores = predictions.scores
    if threshold is None or scores is None or scores.ndim != 2 or scores.shape[1] != 2:
        return predictions.values
    return scores[:, 1].astype(float) >= threshold


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows that are perturbed, in random order, and what is known about them."""

    context: GateContext
    frame: pd.DataFrame
    """The columns that any of the models asks for; all but the label where a signature does not tell."""
    label: NDArray[Any] | None
    clean: tuple[Answers, ...]
    """What the models say about the rows as they are."""
    versions: tuple[ModelVersion, ...]
    """The candidate and, when there is one, the champion."""
    columns: tuple[Column, ...]
    """The inputs of either model."""
    optional: frozenset[str]
    """Inputs that the candidate's signature calls optional."""
    metric: Metric | None
    unmeasured: tuple[Status, str] | None
    """Why there is no metric; None when there is one."""

    @classmethod
    def of(cls, context: GateContext, size: int, named: str | None) -> Sample:
        """At most `size` evaluation rows, drawn by the seed, and the metric `named`, else the policy's."""
        import numpy as np

        rows = context.evaluation
        assert rows is not None, "the gate has looked"
        champion = context.candidate.champion
        versions = (context.candidate.version, *([champion] if champion else []))
        chosen = np.random.default_rng([context.seed, len(rows)]).permutation(len(rows))[:size]
        types = {version.version: signature_types(version) for version in reversed(versions)}
        known = {name: kind for columns in types.values() for name, (kind, _) in columns.items()}
        names = dict.fromkeys([*context.input_columns(rows), *(champion.inputs if champion else ())])
        told = all(version.inputs for version in versions)
        seen = [name for name in rows.frame.columns if (name in names if told else name != rows.target)]
        frame = rows.frame[seen].iloc[chosen].reset_index(drop=True)
        label = None if rows.target is None else np.asarray(rows.frame[rows.target])[chosen]
        own = types[context.candidate.version.version]
        found = _metric(context, named, label)
        return cls(
            context=context,
            frame=frame,
            label=label,
            clean=tuple(part(model, chosen) for model in context.predictions if model is not None),
            versions=versions,
            columns=perturb.inputs(frame, [name for name in names if name != rows.target], known),
            optional=frozenset(name for name, (_, required) in own.items() if not required),
            metric=None if isinstance(found, tuple) else found,
            unmeasured=found if isinstance(found, tuple) else None,
        )

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def threshold(self) -> float | None:
        """From which probability the metric takes a row for positive; None when the model decides."""
        return self.metric.threshold if self.metric else None

    @property
    def verb(self) -> str:
        """What changed predictions do."""
        return "flip" if is_class(self.clean[0]) else "move by more than a tenth of their standard deviation"

    def rng(self, name: str) -> np.random.Generator:
        """Chance for one perturbation: the same whatever else the policy asks for."""
        import numpy as np

        return np.random.default_rng([self.context.seed, zlib.crc32(name.encode())])

    def flipped(self, side: int, answers: Answers) -> NDArray[np.bool_]:
        """Which of the first rows a model (0: candidate, 1: champion) answers otherwise than it did."""
        return changed(part(self.clean[side], slice(len(answers.values))), answers, self.threshold)

    def ask(self, tables: Mapping[str, pd.DataFrame], *, champion: bool = True) -> dict[str, tuple[Said, ...]]:
        """What candidate (and champion) say about each table, by the table's name.

        Tables of the same columns and types are asked about in one call, up to `_MOST_CELLS`. Where a model fails on
        that, each table is asked about by itself, and what the model says against it stands in the place of its
        answers. A failure that took minutes to come, such as a hang, is not waited for again: it is raised.
        """
        versions = self.versions if champion else self.versions[:1]
        found: dict[str, tuple[Said, ...]] = {}
        for names in _alike(tables):
            found |= self._together(versions, {name: tables[name] for name in names})
        return found

    def _together(
        self, versions: tuple[ModelVersion, ...], tables: Mapping[str, pd.DataFrame]
    ) -> dict[str, tuple[Said, ...]]:
        """One call for all tables and versions; after a failure, calls for fewer of them."""
        import pandas as pd

        stacked = pd.concat(list(tables.values()), ignore_index=True)
        rows = self.context.evaluation
        assert rows is not None, "this sample is of them"
        began = time.monotonic()
        try:
            said = self.context.score(versions, stacked, f"{rows.digest}:robustness:{_contents(stacked)}")
        except (ModelError, DataError) as error:
            if time.monotonic() - began > _PATIENCE:
                raise
            if len(tables) > 1:
                parts = [self._together(versions, {name: table}) for name, table in tables.items()]
                return {name: answers for found in parts for name, answers in found.items()}
            if len(versions) > 1:
                (name,) = tables
                return {name: tuple(self._together((version,), tables)[name][0] for version in versions)}
            return dict.fromkeys(tables, (Refused(_reason(error)),))
        found: dict[str, tuple[Said, ...]] = {}
        start = 0
        for name, table in tables.items():
            end = start + len(table)
            found[name] = tuple(part(predictions, slice(start, end)) for predictions in said)
            start = end
        return found


def _alike(tables: Mapping[str, pd.DataFrame]) -> list[list[str]]:
    """Names of tables that one call can hold: of the same columns and types, and not too large together."""
    groups: list[list[str]] = []
    latest: dict[Hashable, tuple[list[str], int]] = {}
    for name, table in tables.items():
        key = tuple(table.dtypes.items())
        names, cells = latest.get(key, ([], _MOST_CELLS))
        if cells + table.size > _MOST_CELLS:
            names, cells = [], 0
            groups.append(names)
        names.append(name)
        latest[key] = names, cells + table.size
    return groups


def _metric(context: GateContext, named: str | None, label: NDArray[Any] | None) -> Metric | tuple[Status, str]:
    """The metric by name, else the policy's; or the status and reason of there being none."""
    import pandas as pd

    from mlship.gates.metrics.measure import metric

    rules = context.policy.gates.metrics
    name = named or limits.robustness_metric(context.policy.gates)
    if label is None:
        return Status.INCONCLUSIVE, "data.evaluation names no target column, so no drop can be measured"
    if name is None:
        return Status.INCONCLUSIVE, "no metric is named: write gates.robustness.metric, or gates.metrics"
    if pd.Series(label).nunique() == 1:
        return Status.INCONCLUSIVE, f"every row has the same label, {quoted(label[0])}: nothing can be told apart"
    try:
        return metric(name, rules.get(name), context.resolve)
    except ValueError as error:
        return Status.ERROR, str(error)


def _contents(table: pd.DataFrame) -> str:
    """A digest of what the rows hold."""
    import pandas as pd

    return hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()).hexdigest()[:16]


def _reason(error: MlshipError) -> str:
    """What a model said against the rows, in one line."""
    text = " ".join(error.what.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def signature_types(version: ModelVersion) -> dict[str, tuple[str, bool]]:
    """MLflow type of each input column, and whether it is required; empty when the signature does not tell."""
    import yaml

    try:
        document = yaml.safe_load((version.path / "MLmodel").read_text(encoding="utf-8"))
        columns = json.loads((document.get("signature") or {}).get("inputs") or "[]")
        return {
            str(column["name"]): (str(column.get("type", "")), bool(column.get("required", True)))
            for column in columns
            if "name" in column
        }
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError):
        return {}  # whoever fetched the version has complained about a damaged file; then the rows alone tell
