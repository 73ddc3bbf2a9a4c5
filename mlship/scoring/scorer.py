"""The model's process: `python -m mlship.scoring.scorer` loads one model when told to, and predicts tables on request.

A model is other people's code: it may crash, exit, hang or eat all memory. It does so here, not in the tool. What it
is told and what it answers goes through two pipes; what the model prints goes elsewhere.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mlship.errors import DataError, MlshipError, ModelError, ModelFault
from mlship.scoring import answers, flavour
from mlship.scoring.casts import fit

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: Rows given to the model at once: bounds the memory of what it makes of them. Always the same, so that sums that
#: depend on it do not.
BATCH = 100_000
_PR_SET_PDEATHSIG = 1
#: Beyond the memory that the parent allows, in bytes: address space that libraries reserve and never use.
_RESERVED = 4 << 30


def main(arguments: list[str]) -> int:
    """Serve requests, one JSON object a line, until the pipe closes. Arguments: model, parent, two pipes, memory."""
    model_dir = Path(arguments[0])
    parent, asked, answered, memory = (int(argument) for argument in arguments[1:])
    die_with(parent)
    os.nice(10)  # servers of live traffic may share this machine, and come first
    _limit(memory)
    with os.fdopen(asked, "rb") as requests, os.fdopen(answered, "wb") as out:
        # Importing and loading make millions of objects that stay: looking through them finds nothing, and takes time.
        gc.disable()
        with suppress(Exception):  # whatever is wrong with this model is said when it is loaded
            flavour.imports(model_dir)
        gc.enable()
        gc.freeze()
        _tell(out, {"ready": True})
        model: flavour.Model | None = None
        for line in requests:
            request = json.loads(line)
            try:
                if request["do"] == "load":
                    model = _load(model_dir)
                    _tell(out, {"loaded": True})
                else:
                    assert model is not None, "the parent loads first"
                    _predict(model, request, out)
            except BaseException as error:  # noqa: BLE001 - a model may raise anything, SystemExit included
                _tell(out, {"problem": _problem(error, "predict" if model else "load", model_dir)})
    return 0


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends, however it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)  # it ended before this line


def _limit(memory: int) -> None:
    """What the kernel enforces at once, where the parent's look every tenth of a second might come late."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (2 * memory + _RESERVED,) * 2)
    with suppress(OSError):  # when this machine runs out of memory, this process is the one to go
        Path("/proc/self/oom_score_adj").write_text("1000")


def _load(model_dir: Path) -> flavour.Model:
    gc.disable()
    try:
        return flavour.load(model_dir)
    finally:
        gc.enable()
        gc.freeze()


def _predict(model: flavour.Model, request: dict[str, Any], out: BinaryIO) -> None:
    """Answer with the number of rows, then the predictions batch by batch, then the classes."""
    own_names = [str(name) for name in getattr(model.raw, "feature_names_in_", [])]
    table = _Table(Path(request["rows"]))
    _tell(out, {"rows": table.rows})
    classes: NDArray[np.generic] | None = answers.classes_of(model.raw)
    for batch in table.batches(BATCH):
        answer = answers.ask(model, fit(batch, model.schema, own_names))
        classes = answer.classes
        parts = {"values": answer.values} | ({} if answer.scores is None else {"scores": answer.scores})
        _tell(out, {"batch": len(batch)}, parts)
    _tell(out, {"done": True}, {} if classes is None else {"classes": classes})


def _tell(out: BinaryIO, message: dict[str, Any], parts: dict[str, NDArray[Any]] | None = None) -> None:
    """One message: the length of its JSON in 4 bytes, the JSON, then the arrays that it lists, column by column."""
    import numpy as np

    plain = {name: np.asarray(part, order="F") for name, part in (parts or {}).items()}
    message["parts"] = [[name, part.dtype.str, list(part.shape)] for name, part in plain.items()]
    text = json.dumps(message).encode()
    out.write(len(text).to_bytes(4, "little") + text)
    for part in plain.values():
        out.write(part.tobytes(order="F"))
    out.flush()


def _problem(error: BaseException, doing: str, model_dir: Path) -> dict[str, str]:
    """An error as the parent raises it again."""
    if isinstance(error, MlshipError):
        kind = type(error).__name__ if isinstance(error, (DataError, ModelFault)) else ModelError.__name__
        return {"kind": kind, "what": error.what, "hint": error.hint}
    if isinstance(error, MemoryError):
        return _fault("the model ran out of memory", "score fewer rows, or give it more by gates.security.memory")
    import traceback

    traceback.print_exc()
    sys.stderr.flush()
    if doing == "load":
        requirements = model_dir / "requirements.txt"
        hint = f"install what it needs beside mlship: {requirements} lists it" if requirements.is_file() else ""
        if isinstance(error, ImportError):  # this machine lacks something: that is no fault of the model
            hint = hint or f"install what it needs beside mlship: is there a {requirements}?"
            return {"kind": "ModelError", "what": f"the model cannot be loaded: {told(error)}", "hint": hint}
        return _fault(f"the model cannot be loaded: {told(error)}", hint)
    return _fault(f"the model failed: {told(error)}")


def _fault(what: str, hint: str = "") -> dict[str, str]:
    return {"kind": "ModelFault", "what": what, "hint": hint}


def told(error: BaseException) -> str:
    """An exception in one short line."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]


class _Table:
    """The rows of an Arrow, Parquet or CSV file. Arrow is read batch by batch: no more than one is in memory."""

    def __init__(self, path: Path) -> None:
        self._frame: pd.DataFrame | None = None
        self._file: Any = None
        try:
            if path.suffix == ".arrow":
                import pyarrow as pa

                # Read, not mapped: pages of a mapped file would count as this process's memory as long as it lives.
                self._file = pa.ipc.open_file(pa.OSFile(str(path)))
                self.rows = int(self._file.schema.metadata[b"rows"])
            else:
                self._frame = _read(path)
                self.rows = len(self._frame)
        except (OSError, ValueError) as error:  # pyarrow's own errors are among these
            raise DataError(
                f"the rows cannot be read: {told(error)}", hint=f"is {path} a Parquet or CSV file?"
            ) from error

    def batches(self, size: int) -> Iterator[pd.DataFrame]:
        """The rows in batches; an empty table is one batch of none when it is not read from Arrow."""
        if self._frame is not None:
            for start in range(0, self.rows, size):
                yield self._frame.iloc[start : start + size]
            return
        start = 0
        for number in range(self._file.num_record_batches):
            frame = self._file.get_batch(number).to_pandas()
            frame.index = range(start, start + len(frame))
            start += len(frame)
            yield frame


def _read(rows: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(rows) if rows.suffix == ".parquet" else pd.read_csv(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
