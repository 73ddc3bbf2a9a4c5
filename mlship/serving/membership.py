"""What the parent of several workers tells each of them on its command line. Both read it, so it imports nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Membership:
    """A worker's place among the others."""

    number: int
    control: int
    """Descriptor of the worker's end of the channel."""
    connections: int
    """Descriptor of the socket that connections come through."""
    epoch: str
    """Of the server's counters; see ``others.Others``."""
    started: float
    """Unix time of the server's start."""

    def argument(self) -> str:
        """The text of `--member`."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, argument: str) -> Self:
        """Read the text of `--member`."""
        return cls(**json.loads(argument))
