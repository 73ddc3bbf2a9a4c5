"""What a pickle would reach, by following its instructions with placeholders for values: nothing is built or called.

Looking for names near each other in the byte stream is not enough: a stream may memoize, duplicate and drop strings so
that the names which count are not the ones that stand before the instruction. So the stack and the memo are followed
exactly, and whatever cannot be followed is a finding.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import IO

from mlship.scan.arguments import Stop
from mlship.scan.machine import Machine
from mlship.scan.values import ARRAY

#: The number that PyTorch's old format begins with; five pickles and then raw numbers follow.
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C


@dataclass(slots=True)
class Reached:
    """What a stream would reach."""

    names: set[tuple[str, str]] = field(default_factory=set)
    """(module, name) of everything that it looks up."""
    faults: set[str] = field(default_factory=set)
    """What no honest writer does."""
    broken: str = ""
    """Where and why it cannot be followed further, though a reader may have done something by then."""
    calls: bool = False
    """Whether it calls or changes anything that it has looked up."""
    joblib: bool = False
    """Whether it is written for joblib: read by `pickle` it would be something else, which nobody has looked at."""
    streams: int = 0
    """Complete pickles, one after another."""
    steps: int = 0
    """Instructions followed so far, of all streams."""

    @property
    def active(self) -> bool:
        """Whether it would do more than make plain values."""
        return bool(self.names) or self.calls


def follow(file: IO[bytes]) -> Reached:
    """Everything that the pickles in a file reach, read one after another from where it stands to its end.

    joblib keeps arrays between the instructions: such a file is read as joblib reads it. A file that is no pickle, and
    would do nothing before a reader noticed, reaches nothing, and `streams` is zero.
    """
    start = file.tell()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the parser, about escapes in what was never meant as text
        plain = _streams(file, skip_arrays=False)
        if (ARRAY.module, ARRAY.name) not in plain.names:
            return plain
        file.seek(start)
        joblib = _streams(file, skip_arrays=True)
    joblib.joblib = True
    return joblib


def _streams(file: IO[bytes], *, skip_arrays: bool) -> Reached:
    reached = Reached()
    raw_follows = False
    while True:
        at = file.tell()
        if not file.read(1):
            return reached
        file.seek(at)
        machine = Machine(file, reached, skip_arrays=skip_arrays)
        before = (len(reached.names), reached.calls)
        try:
            machine.run()
        except Stop as stop:
            if not stop.why:
                reached.streams += 1
                if not skip_arrays and (ARRAY.module, ARRAY.name) in reached.names:
                    return reached  # an object array of joblib ends here for `pickle`, which reads no further
                raw_follows = raw_follows or (reached.streams == 1 and machine.top == _TORCH_MAGIC)
                continue
            did_something = (len(reached.names), reached.calls) != before
            if raw_follows and reached.streams >= 5 and not did_something:
                return reached
            if reached.streams or did_something:
                reached.broken = f"its pickle breaks off at byte {at + machine.read:,}: {stop.why}"
            return reached
