"""The demo's traffic as seen from the story: a process that is started, and a tally that is read when it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.demo.flights import FEATURES, TARGET
from mlship.errors import EngineError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Heard:
    """What the callers saw, all told."""

    sent: int
    failed: int
    failures: tuple[str, ...]
    labels: int
    answers: tuple[tuple[float, str], ...]
    """(unix time at which the answer was complete, version that gave it)"""

    def rollback_ms(self, version: str, verdict_at: float, *, within: float = 10.0) -> float | None:
        """Milliseconds from a verdict to the last answer of `version`; 0 when none came after it.

        Answers later than `within` seconds belong to a later rollout of the same version. None when the version never
        answered before the verdict, so that there was nothing to roll back.
        """
        times = [at for at, by in self.answers if by == version and at < verdict_at + within]
        return max(0.0, (max(times) - verdict_at) * 1000) if times else None


class Callers:
    """A process that sends July's flights to an endpoint until it is told to stop."""

    def __init__(self, url: str, july: pd.DataFrame, rate: float, directory: Path) -> None:
        self._tally = directory / "callers.json"
        self._tally.unlink(missing_ok=True)
        rows = directory / "july.json"
        columns = july[[*FEATURES]].to_dict(orient="records")
        rows.write_text(json.dumps({"rows": columns, "outcomes": july[TARGET].tolist()}))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlship.demo.traffic", url, str(rows), str(rate), str(self._tally)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # A Ctrl-C is for the story, which then ends the callers in its own time.
            start_new_session=True,
        )

    def stop(self) -> Heard:
        """Let requests under way finish, and return the tally.

        Raises ``EngineError`` when the process died and took its tally along.
        """
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if not self._tally.is_file():
            raise EngineError("the demo's callers died and left no tally", hint="run mlship demo again with --debug")
        told = json.loads(self._tally.read_text())
        return Heard(
            told["sent"],
            told["failed"],
            tuple(told["failures"]),
            told["labels"],
            tuple((at, version) for at, version in told["answers"]),
        )
