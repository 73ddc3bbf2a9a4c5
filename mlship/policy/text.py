"""Reads the text of a policy file, or says in one fault why it cannot be read."""

from __future__ import annotations

import stat
from pathlib import Path

from mlship.policy.faults import START, Fault, Source, Spot

#: A policy is a page or two; what is larger is another file.
LARGEST = 1_000_000


def read_text(path: Path, file: str) -> str | Fault:
    """The text of a policy file, or the one fault that keeps it from being read; at most `LARGEST` bytes are read."""
    try:
        data = _bytes(path)
        return _unsuitable(data, file) or data.decode("utf-8-sig")
    except _RefusedError as refused:
        return Source(file).fault(START, refused.what, refused.hint)
    except FileNotFoundError:
        beside = Path(file).parent / "mlship.yaml"
        other = f", such as {beside}" if path.name != beside.name and beside.is_file() else ""
        return Source(file).fault(START, "there is no such file", f"name an existing policy{other}")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Source(file).fault(Spot(line, 1, 0), f"not UTF-8 text (byte {error.start:,})", "save it as UTF-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        return Source(file).fault(START, f"cannot be read: {reason}", "check the path and its permissions")


class _RefusedError(Exception):
    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


def _bytes(path: Path) -> bytes:
    """At most `LARGEST` bytes; the size is asked first, so that a huge file costs nothing."""
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise _RefusedError("this is a directory, not a policy file", "name the file in it")
    if not stat.S_ISREG(found.st_mode):  # opening a pipe could wait for ever
        raise _RefusedError("this is not a regular file", "save the policy to a file first")
    data = b""
    if found.st_size <= LARGEST:
        with path.open("rb") as handle:
            data = handle.read(LARGEST + 1)
    size = max(len(data), found.st_size)
    if size > LARGEST:
        raise _RefusedError(f"too large for a policy: {size / 1e6:,.1f} MB, at most 1 MB", "is it another file?")
    return data


def _unsuitable(data: bytes, file: str) -> Fault | None:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Source(file).fault(START, "the file is UTF-16 text", "save it as UTF-8")
    if b"\0" in data:
        return Source(file).fault(START, "this is a binary file, not YAML text", "name the policy file")
    return None
