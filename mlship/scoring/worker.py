"""The parent's side of a model's process: starts it, asks it, watches its time and memory, ends it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

from mlship.errors import DataError, MlshipError, ModelError, ModelFault
from mlship.policy.gates import SecurityGate
from mlship.policy.units import format_duration, format_size
from mlship.scoring import environment, memory
from mlship.scoring.pipe import readable
from mlship.types import ModelVersion

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

#: Seconds between two looks at the process while it works, and between two looks at all that it started.
_LOOK, _LOOK_AROUND = 0.1, 1.0
#: Seconds that importing libraries may take before the model is asked for anything.
_IMPORTS = 300.0
_MOST_PROCESSES = 200
_LAST_LINES, _LAST_BYTES = 12, 4096
#: Seconds in which the last words of a model that has failed may still arrive.
_LISTEN = 0.5
_LARGEST_TEXT, _LARGEST_PART = 1 << 20, 1 << 33
_MARK = "MLSHIP_SCORER"
_PARTS = ("values", "scores", "classes")

Parts = Mapping[str, "NDArray[np.generic]"]


class Process:
    """One model's process. Not for two threads at once; the thread that makes it must outlive it (see `die_with`)."""

    def __init__(self, version: ModelVersion, section: SecurityGate, threads: int) -> None:
        self.name = f"{version.model} version {version.version}"
        self._section = section
        self._said: deque[bytes] = deque(maxlen=16)
        self._looked_around = 0.0
        token = secrets.token_hex(8)
        self._mark = f"{_MARK}={token}"
        asked, self._ask = os.pipe()
        self._answers, answered = os.pipe()
        printed, log = os.pipe()
        # -P: the model meets the same modules here as in a server, whatever directory the command runs in.
        command = [sys.executable, "-P", "-m", "mlship.scoring.scorer"]
        numbers = map(str, (os.getpid(), asked, answered, section.memory))
        try:
            self._process = subprocess.Popen(
                [*command, str(version.path), *numbers],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment.minimal(threads, section.environment) | {_MARK: token},
                start_new_session=True,
                pass_fds=(asked, answered),
            )
        except BaseException:
            for end in (self._ask, self._answers, printed):
                os.close(end)
            raise
        finally:
            for end in (asked, answered, log):
                os.close(end)
        Thread(target=self._listen, args=(printed,), name="model's output", daemon=True).start()

    def load(self) -> None:
        """Have it load its model, once. Raises ``ModelError`` (``ModelFault``) when that fails."""
        self._message(_IMPORTS, f"did not import its libraries within {format_duration(_IMPORTS)}")
        self._request({"do": "load"})
        limit = self._section.timeout
        self._message(limit, f"did not load it within {format_duration(limit)}")

    def predict(self, rows: Path) -> Iterator[tuple[dict[str, Any], Parts]]:
        """What it answers about a table: number of rows, batches, classes. Raises as `load`, and ``DataError``."""
        self._request({"do": "predict", "rows": str(rows)})
        limit = self._section.timeout
        while True:
            message, parts = self._message(
                limit, f"did not answer about a batch of rows within {format_duration(limit)}"
            )
            count = message.get("rows", message.get("batch", 1))
            if type(count) is not int or count < 0 or ("batch" in message and not count):
                raise self._nonsense()  # batches of nothing could go on forever
            yield message, parts
            if message.get("done"):
                return

    def kill(self) -> None:
        """End the process; may be called from any thread, and `end` must follow."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """End the process and whatever it started."""
        for pipe in (self._ask, self._answers):
            with suppress(OSError):
                os.close(pipe)
        for _round in range(5):
            self.kill()
            strays = memory.marked(self._mark)
            for pid in strays:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if not strays:
                break
        self._process.wait()

    def _request(self, request: dict[str, Any]) -> None:
        try:
            os.write(self._ask, json.dumps(request).encode() + b"\n")
        except OSError:
            raise self._died() from None

    def _message(self, limit: float, overdue: str) -> tuple[dict[str, Any], Parts]:
        import numpy as np

        deadline = time.monotonic() + limit
        length = int.from_bytes(self._read(4, deadline, overdue), "little")
        if length > _LARGEST_TEXT:
            raise self._nonsense()
        parts: dict[str, NDArray[np.generic]] = {}
        try:
            message: dict[str, Any] = json.loads(self._read(length, deadline, overdue))
            for name, code, shape in message.get("parts", ()):
                if name not in _PARTS or name in parts:  # it becomes the name of a file
                    raise self._nonsense()
                dtype = np.dtype(str(code))
                size = dtype.itemsize * int(np.prod([int(n) for n in shape], dtype=object))
                if dtype.kind not in "biufU" or not 0 <= size <= _LARGEST_PART or len(shape) > 2:
                    raise self._nonsense()
                data = self._read(size, deadline, overdue)
                parts[str(name)] = np.frombuffer(data, dtype).reshape(shape, order="F")
        except (ValueError, TypeError, KeyError, AttributeError, SyntaxError, RecursionError, MemoryError):
            raise self._nonsense() from None
        if "problem" in message:
            problem = message["problem"]
            raise self._told(problem) if isinstance(problem, dict) else self._nonsense()
        return message, parts

    def _read(self, size: int, deadline: float, overdue: str) -> bytes | bytearray:
        data = bytearray(size)
        view, at = memoryview(data), 0
        while at < size:
            if readable(self._answers, _LOOK):
                got = os.readv(self._answers, [view[at : at + (1 << 20)]])
                if not got:
                    raise self._died()
                at += got
                if time.monotonic() - self._looked_around > _LOOK_AROUND:
                    self._watch()
                continue
            if self._process.poll() is not None and not readable(self._answers, 0):
                raise self._died()
            self._watch()
            if time.monotonic() > deadline:
                raise self._fault(overdue, "does it wait for something? `gates.security.timeout` gives it more time")
        return data

    def _watch(self) -> None:
        """Raise ``ModelFault`` when the process, or it and its children, hold too much memory or are too many."""
        allowed, pid = self._section.memory, self._process.pid
        used = memory.held(pid)
        if time.monotonic() - self._looked_around > _LOOK_AROUND:
            self._looked_around = time.monotonic()
            family = memory.family(pid)
            if len(family) > _MOST_PROCESSES:
                raise self._fault(f"started more than {_MOST_PROCESSES} others", "a model needs none, as a rule")
            if sum(memory.held(one) for one in family) > allowed:
                used = max(used, memory.held_by_all(family))
        if used > allowed:
            raise self._fault(
                f"took {format_size(used)} of memory, more than {format_size(allowed)}",
                "`gates.security.memory` gives it more",
            )

    def _told(self, problem: dict[str, Any]) -> MlshipError:
        kinds: dict[str, type[MlshipError]] = {"DataError": DataError, "ModelError": ModelError}
        kind = kinds.get(str(problem.get("kind")), ModelFault)
        return kind(str(problem.get("what")), where=self.name, hint=str(problem.get("hint")) or self._last_words())

    def _died(self) -> ModelFault:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        code = self._process.poll()
        if code is None:
            return self._nonsense()
        if code == -signal.SIGKILL:
            return self._fault("was killed: out of memory, as a rule")
        if code < 0:
            return self._fault(f"crashed ({signal.Signals(-code).name})")
        return self._fault(f"ended by itself with exit code {code} and without predictions")

    def _nonsense(self) -> ModelFault:
        return self._fault("answered something that is no prediction")

    def _fault(self, how: str, hint: str = "") -> ModelFault:
        return ModelFault(f"the model's process {how}", where=self.name, hint=hint or self._last_words())

    def _listen(self, printed: int) -> None:
        """Keep the last of what it prints, however much that is."""
        with suppress(OSError):
            while piece := os.read(printed, 1 << 16):
                self._said.append(piece[-_LAST_BYTES:])
        with suppress(OSError):
            os.close(printed)

    def _last_words(self) -> str:
        until = time.monotonic() + _LISTEN
        time.sleep(0.05)  # what it printed comes by another pipe than what it answered
        while not self._said and time.monotonic() < until:
            time.sleep(0.02)
        said = b"".join(self._said)[-_LAST_BYTES:].decode("utf-8", "replace")
        lines = said.strip().splitlines()[-_LAST_LINES:]
        return "the last it wrote was:\n    " + "\n    ".join(lines) if lines else "it wrote nothing"
