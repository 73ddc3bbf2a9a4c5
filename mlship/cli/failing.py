"""What a command that failed tells instead of its result: in the format and the reports that it was asked for."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any

from mlship.errors import MlshipError
from mlship.types import Status


def tell_failure(verdict: str, code: int, reason: str, hint: str = "") -> None:
    """Write a failure to stdout where a machine reads it, and to the reports; nothing once there is a result.

    A test report that is missing says less than one with an error in it. Never raises: the failure itself is told.
    """
    from mlship.cli import telling

    document = {"verdict": verdict, "exit_code": int(code), "reason": reason, "hint": hint}
    told = _told(document)
    try:
        telling.write(told, {path: kind for path, kind in telling.awaited().items() if kind != "html"})
        if telling.has_told():
            return
        wanted = _format()
        if wanted == "json":
            telling.emit_json(document)
        elif wanted == "github":
            telling.to_github(told, {})
    except (MlshipError, OSError):
        return


def _format() -> str:
    """What `--format` asks for: it may be needed before the command line is understood."""
    found = "text"
    for one, other in pairwise([*sys.argv, ""]):
        if one == "--format":
            found = other
        elif one.startswith("--format="):
            found = one.partition("=")[2]
    return found


def _told(document: dict[str, Any]) -> Any:
    from mlship.cli.telling import Told
    from mlship.report.checklist import Check, Checklist

    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "mlship")
    reason, hint = str(document["reason"]), str(document["hint"])
    text = f"{document['verdict']}: {reason}" + (f"\n  next: {hint}" if hint else "")

    def checklist() -> Checklist:
        check = Check(command, "error", Status.ERROR, reason, hint)
        return Checklist(command, "", Status.ERROR, text.splitlines()[0], (check,))

    def markdown() -> str:
        from mlship.report.markdown import safe

        return f"### ⚠️ mlship {safe(command, 100)}: {safe(text, 3000)}"

    return Told(lambda: text, lambda: document, markdown, checklist, outputs={"verdict": str(document["verdict"])})
