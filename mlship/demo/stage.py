"""Where the demo plays: its directory, its policies, a free port, and `mlship` itself as a user would call it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from mlship.errors import StateError, UsageError
from mlship.home import Home
from mlship.templates import template

#: Says that a directory was made by the demo, and may be made anew by it.
MARKER = "made-by-mlship-demo.txt"
POLICY = "flight-delay.yaml"
POLICY_NEW_PIPELINE = "flight-delay-new-pipeline.yaml"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one command did: its exit code and the JSON document it printed."""

    exit_code: int
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """A directory with a registry, two policies and a port of its own."""

    directory: Path
    port: int

    @property
    def home(self) -> Home:
        """The demo's state directory; an `MLSHIP_HOME` of the user's is left alone."""
        return Home(self.directory / ".mlship")

    @property
    def url(self) -> str:
        """The endpoint that callers use."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `mlship ARGUMENTS` in the demo's directory; stdout and stderr are pipes."""
        environment = {**os.environ, "MLSHIP_HOME": str(self.home.path), "MLSHIP_ACTOR": "demo", "NO_COLOR": "1"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        return subprocess.Popen(
            [sys.executable, "-m", "mlship", *arguments],
            cwd=self.directory,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def show(self, *arguments: str) -> str:
        """What `mlship ARGUMENTS` prints to stdout."""
        return self.start(*arguments).communicate()[0].rstrip()

    def run(self, *arguments: str, hear: Callable[[str], object] = str) -> Outcome:
        """Run `mlship ARGUMENTS` to its end; each line of its progress goes to `hear` as it comes."""
        process = self.start(*arguments)
        if process.stdout is None or process.stderr is None:
            raise AssertionError("started with pipes")
        told: list[str] = []
        reader = Thread(target=lambda out=process.stdout: told.append(out.read()), daemon=True)
        reader.start()
        try:
            for line in process.stderr:
                hear(line.rstrip())
            process.wait()
        except BaseException:
            process.terminate()
            process.wait(timeout=30)
            raise
        reader.join()
        return Outcome(process.returncode, _document("".join(told)))


def _document(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def build(directory: Path) -> Stage:
    """Make the demo's directory anew, with its policies.

    Raises ``UsageError`` when something that is not an earlier demo stands there, ``StateError`` when the disk refuses.
    """
    directory = directory.absolute()
    if (
        directory.exists()
        and not (directory / MARKER).is_file()
        and (not directory.is_dir() or any(directory.iterdir()))
    ):
        raise UsageError(
            "is not empty, and was not made by an earlier demo",
            where=str(directory),
            hint="name another place: mlship demo --directory DIR",
        )
    try:
        if (directory / MARKER).is_file():
            _stop_earlier(directory)
            for child in directory.iterdir():
                shutil.rmtree(child) if child.is_dir() else child.unlink()
        directory.mkdir(parents=True, exist_ok=True)
        (directory / MARKER).write_text("mlship demo made this directory, and empties it when it runs here again.\n")
        stage = Stage(directory, free_port())
        policy = template(f"demo/{POLICY}").read_text().replace("127.0.0.1:8080", f"127.0.0.1:{stage.port}")
        (directory / POLICY).write_text(policy)
        (directory / "retrain.sh").write_text('echo "$MLSHIP_REQUEST: $MLSHIP_REASON" >> retraining.txt\n')
        (directory / POLICY_NEW_PIPELINE).write_text(policy.replace(".parquet", "-new-pipeline.parquet"))
    except OSError as error:
        raise StateError(
            f"cannot be written: {error.strerror}",
            where=str(error.filename or directory),
            hint="name another place: mlship demo --directory DIR",
        ) from error
    return stage


def _stop_earlier(directory: Path) -> None:
    if (directory / ".mlship" / "engines").is_dir():
        Stage(directory, 0).run("down")


def free_port() -> int:
    """A port on loopback that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
