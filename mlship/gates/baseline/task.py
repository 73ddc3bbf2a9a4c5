"""What kind of model it is, and its predictions as the baseline counts them: classes by their text, scores, numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mlship.gates.base import Predictions
from mlship.gates.metrics.side import used_threshold
from mlship.stats import classes
from mlship.types.monitoring import Bins

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from mlship.policy.schema import Policy

#: A model that tells no classes and answers with whole numbers: of so few different ones, they are classes.
_FEW = 20
#: Classes that are told apart, as by the servers' counters.
MOST = 200


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What the candidate predicts."""

    kind: Literal["binary", "classes", "numbers"]
    labels: tuple[str, ...] = ()
    """The classes in the model's order, as text (`stats.classes`); the last of two is the positive one."""
    threshold: float | None = None
    """From this score on the positive class is predicted."""
    is_chosen: bool = False
    """Whether the policy chose that threshold; else it is the model's own."""
    why_not: dict[str, str] = field(default_factory=dict)
    """What it does not give, and why."""

    @classmethod
    def of(cls, said: Predictions, label: pd.Series[Any] | None, policy: Policy) -> Task:
        """What the predictions on some rows tell; `label` are these rows' labels, where they are known."""
        names = _labels(said, label)
        if names is None:
            return cls("numbers")
        if len(names) != 2:
            return cls("classes", names[:MOST], why_not={"scores": f"the model has {len(names)} classes, not two"})
        if said.scores is None or said.scores.ndim != 2:
            what = "gives a decision value, no probability" if said.scores is not None else "gives no probabilities"
            return cls("binary", names, why_not={"scores": f"the model {what}"})
        chosen = _threshold(policy)
        used = (
            chosen if chosen is not None else used_threshold(said.scores[:, 1], classes.codes(said.values, names) == 1)
        )
        return cls("binary", names, used if used is not None else 0.5, chosen is not None)

    @property
    def bins(self) -> Bins:
        """Of the answers, where they are classes."""
        return Bins("categories", names=self.labels)

    def answers(self, said: Predictions) -> NDArray[np.int16]:
        """The position (see `Bins`) of each class that the model answered."""
        import numpy as np

        found = classes.codes(said.values, self.labels)
        return np.where(found < 0, np.int16(self.bins.missing), found)

    def labelled(self, label: pd.Series[Any]) -> NDArray[np.int16]:
        """The place of each label, `len(labels)` for any other; a label is always there."""
        import numpy as np

        found = classes.codes(label, self.labels)
        return np.where(found < 0, np.int16(len(self.labels)), found)

    def scores(self, said: Predictions) -> NDArray[np.float64] | None:
        """The probability of the positive class of two; None where the model gives none."""
        import numpy as np

        if self.kind != "binary" or said.scores is None or said.scores.ndim != 2:
            return None
        return np.asarray(said.scores[:, 1], dtype=np.float64)


def _labels(said: Predictions, label: pd.Series[Any] | None) -> tuple[str, ...] | None:
    """The classes as text; None when the model predicts numbers."""
    import numpy as np
    import pandas as pd

    if said.classes is not None:
        return _texts(said.classes)
    values = np.asarray(said.values)
    if values.dtype.kind == "f":
        return None
    found = set(pd.unique(values))
    if label is not None:
        found |= set(label.dropna().unique())
    if values.dtype.kind in "iu" and len(found) > _FEW:
        return None
    try:
        ordered = sorted(found)
    except TypeError:  # text and numbers
        ordered = sorted(found, key=str)
    return tuple(dict.fromkeys(_texts(np.array(ordered, dtype=object))))


def _texts(given: Any) -> tuple[str, ...]:
    return tuple(classes.text(one) or "" for one in given.tolist())


def _threshold(policy: Policy) -> float | None:
    """The first that a metric asks for, else that of the value."""
    value = policy.gates.value
    asked = [rule.threshold for rule in policy.gates.metrics.values()] + [
        value.threshold if value is not None else None
    ]
    return next((one for one in asked if one is not None), None)
