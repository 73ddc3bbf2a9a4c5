"""The process of a custom gate: `python -m mlship.gates.custom.call PARENT ...` calls a function, or becomes a command.

The team's code may crash, hang or exit. It does so here, and ends when the tool does, however the tool ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from mlship.gates.given import given
from mlship.gates.metrics import functions
from mlship.scoring.scorer import die_with


def main(arguments: list[str]) -> int:
    """`PARENT function NAME INPUT OUT` calls it and writes what it gives; `PARENT command PROGRAM ...` becomes that."""
    parent, kind, *rest = arguments
    die_with(int(parent))
    os.nice(10)  # servers of live traffic may share this machine, and come first
    if kind == "command":
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and a program would inherit that
        try:
            os.execvp(rest[0], rest)
        except OSError as error:
            sys.stderr.write(f"{rest[0]} cannot be run: {error.strerror}\n")
            return 126
    name, source, out = rest
    Path(out).write_text(_called(name, Path(source)), encoding="utf-8")
    return 0


def _called(name: str, source: Path) -> str:
    """As JSON: what the function gives and where it was found, or the error."""
    rows = given(source)  # before the team's modules can be imported in the place of pandas
    try:
        function = functions.find(name, rows.directory)
        answer = function.call(rows)
    except ValueError as error:
        return json.dumps({"error": str(error)})
    try:
        return json.dumps({"source": function.source, "answer": answer}, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        return json.dumps({"error": f"{name} gives something else than results: {error}"})


def _plain(value: Any) -> Any:
    """A number of numpy as a number of Python."""
    if callable(item := getattr(value, "item", None)) and getattr(value, "ndim", None) == 0:
        return item()
    raise TypeError(f"{type(value).__name__} is no text, number, truth value, list or mapping")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
