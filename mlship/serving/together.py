"""What the parent knows of its workers' counts: the living are asked, of the dead the last words are kept."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from mlship.serving.channel import Channel, Closed, Handler
from mlship.serving.state import Counts, State, merged

#: Seconds that a worker may take to say what it has; after that its last words count.
ANSWER = 1.0


class Told:
    """What one worker has said. `channel` is the parent's end of the talk with it."""

    def __init__(self, together: Together, ready: Handler) -> None:
        self.state: dict[str, Any] | None = None
        """What it last said that it had counted."""
        self.tally: dict[str, Any] | None = None
        """What it last said that the judge reads: never older than that part of its state."""
        self.silent = 0
        """In how many looks in a row it did not answer."""
        self.fault: dict[str, Any] | None = None
        """Why it could not load the model."""

        async def states(own: dict[str, Any]) -> list[dict[str, Any]]:
            self.keep(own)
            return await together.others(self)

        async def tallies(document: list[Any]) -> list[dict[str, Any]]:
            own, answers = document
            self.keep_tally(own)
            return await together.tallies(self, answers)

        async def label(document: list[list[Any]]) -> list[Any]:
            return await together.label(self, document)

        async def fault(document: dict[str, Any]) -> None:
            self.fault = document

        async def last(state: dict[str, Any]) -> None:
            self.keep(state)

        self.channel = Channel(
            {"ready": ready, "states": states, "tallies": tallies, "label": label, "fault": fault, "last": last}
        )

    def keep(self, state: dict[str, Any]) -> None:
        """Remember a state, unless a later one is known: what was shown once must never shrink."""
        if self.state is None or state["sequence"] > self.state["sequence"]:
            self.state = state
            self.keep_tally(
                {
                    "sequence": state["sequence"],
                    **judged(state["counts"]),
                    "answers": self.tally["answers"] if self.tally is not None else {},
                }
            )

    def keep_tally(self, tally: dict[str, Any]) -> None:
        """The same for a tally."""
        if self.tally is None or tally["sequence"] > self.tally["sequence"]:
            self.tally = tally


def judged(counts: Counts) -> dict[str, Any]:
    """The part of a state's counts that the judge reads, as in ``Observing.tally``."""
    labels = [[int(second), *labelled] for second, labelled in counts["labels"].items()]
    return {"labels": labels, "predicted": counts["predicted"]}


class Together:
    """All workers of a server, living and dead."""

    def __init__(self) -> None:
        self._living: list[Told] = []
        self._dead = State({"deaths": 0})

    def add(self, told: Told) -> None:
        """A worker has started."""
        self._living.append(told)

    def bury(self, told: Told, *, died: bool) -> None:
        """A worker has ended; what it had counted by its last words stays.

        Parameters
        ----------
        died
            Whether nobody had asked it to end.
        """
        self._living.remove(told)
        last = State.from_json(told.state).gone() if told.state is not None else State()
        if told.tally is not None:
            labels = {str(second): counts for second, *counts in told.tally["labels"]}
            last.counts = {**last.counts, "labels": labels, "predicted": told.tally["predicted"]}
        self._dead = merged([self._dead, last, State({"deaths": int(died)})])

    async def look(self) -> None:
        """Ask every worker what it has counted, so that its death loses no more than what comes after."""
        living = list(self._living)
        for told, answered in zip(living, await self._ask(living), strict=True):
            told.silent = 0 if answered else told.silent + 1

    async def others(self, asking: Told) -> list[dict[str, Any]]:
        """The states of all but one worker, and of the dead together."""
        living = [told for told in self._living if told is not asking]
        await self._ask(living)
        return [self._dead.to_json(), *(told.state for told in living if told.state is not None)]

    async def tallies(self, asking: Told, answers: int) -> list[dict[str, Any]]:
        """The tallies of all but one worker, and of the dead together, of whom nobody's answers are left."""
        living = [told for told in self._living if told is not asking]

        async def ask(told: Told) -> None:
            with suppress(Closed):
                told.keep_tally(await told.channel.ask("tally", answers, timeout=ANSWER))

        await asyncio.gather(*map(ask, living))
        dead = [judged(self._dead.counts) | {"answers": {}}] if "predicted" in self._dead.counts else []
        return [*dead, *(told.tally for told in living if told.tally is not None)]

    async def label(self, asking: Told, labels: list[list[Any]]) -> list[Any]:
        """Offer labels to one worker after the other, so that no label is counted twice.

        Parameters
        ----------
        labels
            (request id, values) of each.

        Returns
        -------
        list
            (rows labelled, rows wrong) of each, None where no worker has the prediction.
        """
        found: list[Any] = [None] * len(labels)
        left = list(range(len(labels)))
        for told in [told for told in self._living if told is not asking]:
            if not left:
                break
            try:
                joined = await told.channel.ask("join", [labels[position] for position in left], timeout=ANSWER)
            except Closed:
                continue
            for position, counts in zip(left, joined, strict=True):
                found[position] = counts
            left = [position for position in left if found[position] is None]
        return found

    async def _ask(self, living: list[Told]) -> list[bool]:
        """Ask some workers for their states at once; return which of them answered."""

        async def ask(told: Told) -> bool:
            try:
                told.keep(await told.channel.ask("state", timeout=ANSWER))
            except Closed:
                return False
            return True

        return await asyncio.gather(*(ask(told) for told in living))
