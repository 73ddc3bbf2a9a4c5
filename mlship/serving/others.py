"""The other workers of a server, as each of them sees them; a server of one worker has none."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mlship.serving.feedback import Label

#: Rows labelled and rows wrong, for each label that was joined; None for one that was not.
Joined = list[tuple[int, int] | None]


class Others(Protocol):
    """The other workers of this server."""

    epoch: str
    """New when the counters of the server begin again at zero."""
    started: float
    """Unix time of the server's start."""

    async def states(self, own: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The states of all others, and of workers that have gone; `own` is kept for when this one has gone."""

    async def tallies(self, own: dict[str, Any], answers: int) -> Sequence[Mapping[str, Any]]:
        """The same of their tallies, which are part of their states and much smaller; see ``Observing.tally``."""

    async def label(self, labels: Sequence[Label]) -> Joined:
        """Join labels that are not ours with the predictions of others."""


class Alone:
    """A server of one worker."""

    def __init__(self) -> None:
        self.epoch = uuid.uuid4().hex
        self.started = time.time()

    async def states(self, own: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
        """There are none."""
        del own
        return ()

    async def tallies(self, own: dict[str, Any], answers: int) -> Sequence[Mapping[str, Any]]:
        """There are none."""
        del own, answers
        return ()

    async def label(self, labels: Sequence[Label]) -> Joined:
        """Nobody else has made predictions."""
        return [None] * len(labels)
