"""Functions of the team in a process of their own: what crashes, hangs or exits there is a fault that is told here.

`python -m mlship.gates.metrics.apart PARENT NAME BASE` is that process. It is told the arguments of a call as a pickle
(ours, so it may be trusted) and answers with JSON and plain numbers, which cannot run anything here.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mlship.gates.metrics import functions
from mlship.policy.units import format_duration
from mlship.scoring.pipe import readable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Seconds that one call, or the import of the module, may take.
LIMIT = 600.0
_HEAD = struct.Struct("<QQ")


@dataclass(frozen=True)
class Function:
    """A function of the team, whose process is kept as long as this value is."""

    name: str
    """`module:function`, as the policy says."""
    source: str
    """The name with the first digits of the sha256 of its file, so that the evidence names what was run."""
    limit: float = LIMIT
    """Seconds that a call may take."""
    _process: subprocess.Popen[bytes] = field(repr=False, kw_only=True)

    def call(self, *arguments: Any) -> float | NDArray[np.generic]:
        """The number, or the array of numbers, that it gives.

        Raises ``ValueError`` with file and line for whatever goes wrong inside it, when it gives something else, takes
        longer than `limit`, or ends its process.
        """
        import numpy as np

        told, numbers = _ask(self._process, self.name, pickle.dumps(arguments, protocol=5), self.limit)
        if "error" in told:
            raise ValueError(told["error"])
        given = np.load(io.BytesIO(numbers), allow_pickle=False)
        return float(given) if given.ndim == 0 else given


_known: weakref.WeakValueDictionary[tuple[str, str, str], Function] = weakref.WeakValueDictionary()


def find(name: str, base: Path, limit: float = LIMIT) -> Function:
    """The function `module:function` of a file below `base`, the directory of the policy file, in its process.

    The same function of an unchanged file shares one process.

    Raises ``ValueError`` when it is not there or cannot be imported, with file and line.
    """
    path, _attribute, digest = functions.locate(name, base)
    key = (name, str(path), digest)
    if (known := _known.get(key)) is not None and known.limit == limit:
        return known
    command = [sys.executable, "-P", "-m", "mlship.gates.metrics.apart", str(os.getpid()), name, str(base.resolve())]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        start_new_session=True,  # a Ctrl-C at the terminal is for the command; this process ends with it
    )
    try:
        told, _ = _ask(process, name, b"", limit)
    except BaseException:
        _end(process)
        raise
    if "error" in told:
        _end(process)
        raise ValueError(told["error"])
    found = Function(name, told["source"], limit, _process=process)
    weakref.finalize(found, _end, process)
    _known[key] = found
    return found


def _ask(process: subprocess.Popen[bytes], name: str, said: bytes, limit: float) -> tuple[dict[str, Any], bytes]:
    """One question and its answer; a process that does not answer is ended."""
    assert process.stdin is not None, "it was started with a pipe"
    assert process.stdout is not None, "it was started with a pipe"
    try:
        process.stdin.write(_HEAD.pack(len(said), 0))
        process.stdin.write(said)
        process.stdin.flush()
        deadline = time.monotonic() + limit
        told, numbers = _HEAD.unpack(_read(process.stdout, _HEAD.size, deadline))
        return json.loads(_read(process.stdout, told, deadline)), _read(process.stdout, numbers, deadline)
    except TimeoutError:
        _end(process)
        raise ValueError(f"{name} did not answer within {format_duration(limit)} and was stopped") from None
    except (OSError, EOFError):
        code = process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise ValueError(f"{name} ended its process before it gave a result: it {how}") from None


def _read(stream: IO[bytes], size: int, deadline: float) -> bytes:
    parts, missing = [], size
    while missing:
        if not readable(stream.fileno(), deadline - time.monotonic()):
            raise TimeoutError
        part = os.read(stream.fileno(), min(missing, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:  # what was not yet written has nobody to read it
                continue


def main(arguments: list[str]) -> int:
    """Find the function, then answer calls until the caller is gone."""
    from mlship.scoring.scorer import die_with

    parent, name, base = arguments
    die_with(int(parent))
    os.nice(10)  # servers of live traffic may share this machine, and come first
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the team's code prints is no part of an answer
    function: functions.Function | None = None
    while head := calls.read(_HEAD.size):
        said = calls.read(_HEAD.unpack(head)[0])
        try:
            if function is None:
                function = functions.find(name, Path(base))
                told, numbers = {"source": function.source}, b""
            else:
                told, numbers = {}, _plain(function.call(*pickle.loads(said)), name)
        except ValueError as error:
            told, numbers = {"error": str(error)}, b""
        text = json.dumps(told).encode()
        answers.write(_HEAD.pack(len(text), len(numbers)) + text + numbers)
        answers.flush()
    return 0


def _plain(value: Any, name: str) -> bytes:
    """Numbers as bytes that can be read without running anything."""
    import numpy as np

    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} gives {type(value).__name__}, not numbers") from None
    file = io.BytesIO()
    np.save(file, numbers, allow_pickle=False)
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
