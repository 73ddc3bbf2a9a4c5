"""What a server says it has counted: labels and predictions, and while requests are mirrored its latest answers."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

from mlship.types import Labelled, Prediction, Predictions, Routes, ServerCounters

#: Latest predictions that a worker of a server is asked for: with more than so many between two looks, some of the
#: requests are compared. Each takes a server less than a microsecond a look.
ANSWERS = 2048


@dataclass(frozen=True, slots=True)
class Said:
    """The answer of `GET /counters`, or that there was none; fields as in ``ServerCounters``."""

    epoch: str | None = None
    labels: tuple[Labelled, ...] = ()
    predictions: Predictions | None = None
    answers: dict[str, Prediction] | None = None

    def beside(self, counters: ServerCounters) -> ServerCounters:
        """The router's counts of a server, with what it says itself."""
        return replace(
            counters,
            labels=self.labels,
            labels_epoch=self.epoch,
            predictions=self.predictions,
            answers=self.answers,
        )


#: No answer, and none before.
NOTHING = Said()


def path(routes: Routes | None) -> str:
    """What to ask under these routes: answers only while there are two of the same request to compare."""
    mirroring = routes is not None and routes.canary is not None and routes.mirror > 0
    return f"/counters?answers={ANSWERS}" if mirroring else "/counters"


def read(body: str | bytes) -> Said:
    """Read a server's answer. One of an older image tells no predictions, which is no error.

    Raises ``ValueError``, ``KeyError``, ``TypeError`` or ``AttributeError`` when it is none.
    """
    document = json.loads(body)
    told, answers = document.get("predictions"), document.get("answers")
    return Said(
        document["epoch"],
        tuple(Labelled(*row) for row in document["labels"]),
        told and Predictions(told["classes"], {int(index): times for index, times in told["scores"].items()}),
        answers if answers is None else {key: math.nan if one is None else one for key, one in answers.items()},
    )


#: What `read` raises.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
