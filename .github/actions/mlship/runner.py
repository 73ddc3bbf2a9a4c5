"""What the scripts of this action say to GitHub's runner: annotations, outputs, and the event that started the job."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4


def say(text: str) -> None:
    """One line in the log; what comes from outside cannot begin another, which could be a workflow command."""
    sys.stdout.write("".join(letter if letter.isprintable() else " " for letter in text) + "\n")
    sys.stdout.flush()


def annotate(kind: str, text: str) -> None:
    """A `notice`, `warning` or `error` on the run's page."""
    for char, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        text = text.replace(char, code)
    sys.stdout.write(f"::{kind} title=mlship::{text}\n")
    sys.stdout.flush()


def fail(text: str, code: int = 2) -> NoReturn:
    """End the step with an annotation."""
    annotate("error", text)
    sys.exit(code)


def output(name: str, value: str) -> None:
    """What later steps may read; the delimiter cannot be in the value."""
    delimiter = f"mlship-{uuid4()}"
    append("GITHUB_OUTPUT", f"{name}<<{delimiter}\n{value}\n{delimiter}\n")


def append(variable: str, text: str) -> None:
    """Add to one of the runner's files, such as `GITHUB_PATH`."""
    if name := os.environ.get(variable):
        with Path(name).open("a", encoding="utf-8") as file:
            file.write(text)


def event() -> dict[str, Any]:
    """The event that started the job, as GitHub tells it; empty where there is none."""
    try:
        found = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    except (KeyError, OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def run_url() -> str:
    """The page of this run of the workflow."""
    server, repository = os.environ.get("GITHUB_SERVER_URL", ""), os.environ.get("GITHUB_REPOSITORY", "")
    return f"{server}/{repository}/actions/runs/{os.environ.get('GITHUB_RUN_ID', '')}" if server else ""
