"""The process in which the rule's function runs: `child.py MODULE:FUNCTION DIRECTORY`. It needs nothing of mlship.

Frames on stdin and stdout: four bytes of length, then JSON. Out go pairs: `[true, answer]`, or `[false, "what it
raised"]`; the first one tells that the function is there. What the function prints goes to stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any, BinaryIO


def main(function: str, directory: str) -> None:
    """Answer frame by frame until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.path.insert(0, directory)
    module, _, name = function.partition(":")
    call = getattr(importlib.import_module(module), name)
    if not callable(call):
        raise SystemExit(f"{function} is not a function")
    _write(answers, True, None)
    questions = sys.stdin.buffer
    while len(head := questions.read(4)) == 4:
        document = json.loads(questions.read(int.from_bytes(head, "big")))
        try:
            good, answer = True, call(document)
            json.dumps(answer, allow_nan=False)
        except Exception as raised:  # noqa: BLE001 - the function is the user's: anything may come
            good, answer = False, f"{type(raised).__name__}: {raised}"
        _write(answers, good, answer)


def _write(answers: BinaryIO, good: bool, answer: Any) -> None:
    body = json.dumps([good, answer], allow_nan=False).encode()
    answers.write(len(body).to_bytes(4, "big") + body)
    answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
