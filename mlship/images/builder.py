"""One build by the engine's classic builder, without network: its progress, its log, and a failure explained."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mlship.errors import EngineError
from mlship.images.context import Context
from mlship.images.daemon import faults
from mlship.images.progress import Told, Watch, silent, unsaid

if TYPE_CHECKING:
    from docker import DockerClient

#: Seconds without a word from the builder.
_PATIENCE = 3600
_STEP = re.compile(r"^Step (\d+)/(\d+) : (.*)", re.DOTALL)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: How the builder's own lines begin, between those of the step.
_BUILDERS = (" --->", "Removing intermediate container")
#: Lines of a failed step that are shown.
_LAST = 12

#: Steps that take time; the others only write a line into the image's configuration.
_WORK = ("FROM", "COPY", "RUN")

#: What a failed step says -> its likely cause, and what to do. The first that is found counts.
_CAUSES: tuple[tuple[str, str, str], ...] = (
    (
        r"no space left on device",
        "the Docker engine's disk is full",
        "`docker system df` shows what takes it, `docker system prune` frees what nothing uses",
    ),
    (
        r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file",
        "the base lacks the system library {0}",
        "build on a base that has it (such as one with `apt-get install libgomp1` for libgomp.so.1): image.base",
    ),
    (
        r"version `(GLIBC\w*_[\d.]+)' not found",
        "the base's C library is older than {0}",
        "build on a newer base: image.base in the policy",
    ),
    (r"exec format error", "the engine cannot run this platform", "build on an engine of that platform"),
    (
        r"No module named '?(venv|ensurepip)",
        "the base's Python has no module venv",
        "install it in the base (python3-venv on Debian), or use python:X.Y-slim",
    ),
    (
        r"No module named '([^']+)'",
        "a package needs {0}, and nothing requires it",
        "add it to the model's requirements where it is logged",
    ),
    (
        r"([\w.-]+\.whl) is not a supported wheel",
        "{0} is not for this base",
        "remove `cache/bases` in the state directory, and build again",
    ),
    (
        r"DO NOT MATCH THE HASHES",
        "a package is not the one that was locked",
        "remove `cache/wheels` in the state directory",
    ),
    (
        r"non-zero code: 137|Killed|cannot allocate memory",
        "the engine's host ran out of memory",
        "stop something there, or give Docker more memory",
    ),
    (r"max depth exceeded", "the base has too many layers", "build on a base with fewer layers"),
)


@dataclass(slots=True)
class _Watched:
    """What the builder has said so far."""

    log: IO[str]
    say: Told
    watch: Watch
    step: str = ""
    number: int = 0
    steps: int = 0
    began: float = field(default_factory=time.monotonic)
    since: float = field(default_factory=time.monotonic)
    last: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST))
    identity: str = ""

    def hear(self, event: Mapping[str, Any]) -> None:
        """One event. Raises ``_Broken`` when it says that the build has failed."""
        if problem := event.get("error") or event.get("message"):
            self.log.write(f"{problem}\n")
            raise _Broken(str(problem))
        if isinstance(event.get("aux"), dict):
            self.identity = event["aux"].get("ID", self.identity)
        text = _COLOUR.sub("", str(event.get("stream", "")))
        match = _STEP.match(text)
        if match:
            self._step_done()
        self.log.write(text)
        if match:
            self.number, self.steps, self.step = int(match[1]), int(match[2]), " ".join(match[3].split())
            self.last.clear()
            self.watch("build", self.number - 1, self.steps)
            if self.step.startswith(_WORK):
                self.say(f"step {self.number}/{self.steps}: {_short(self.step)}")
        else:
            self.last.extend(line for line in text.splitlines() if line.strip() and not line.startswith(_BUILDERS))

    def end(self) -> None:
        self._step_done()
        self.watch("build", self.steps, self.steps)
        self.log.write(f"mlship: built in {time.monotonic() - self.began:.1f} s\n")

    def _step_done(self) -> None:
        now = time.monotonic()
        if self.number:
            self.log.write(f"mlship: step {self.number} took {now - self.since:.1f} s\n")
        self.since = now


class _Broken(Exception):
    """The builder's own words."""


def run(
    client: DockerClient,
    context: Context,
    *,
    tag: str,
    labels: Mapping[str, str],
    log: Path,
    doing: str,
    say: Told = unsaid,
    watch: Watch = silent,
) -> str:
    """Build a context, and return the id of the image.

    Parameters
    ----------
    tag
        Name and tag that the image gets.
    labels
        What the image is labelled with besides what its Dockerfile says.
    log
        A file that the builder's words are appended to.
    doing
        What is built, for messages: `the dependencies`.

    Raises ``EngineError`` that shows the failed step, its last lines and their likely cause.
    """
    with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
        watched = _Watched(file, say, watch)
        try:
            with faults(f"build {doing}"):
                for event in _events(client, context, tag, labels):
                    watched.hear(event)
        except _Broken as broken:
            raise _explained(str(broken), watched, doing, log) from None
        watched.end()
    return watched.identity


def _events(client: DockerClient, context: Context, tag: str, labels: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    events: Iterator[dict[str, Any]] = client.api.build(
        fileobj=context.tar(),
        custom_context=True,
        tag=tag,
        labels=dict(labels),
        network_mode="none",
        rm=True,
        forcerm=True,
        decode=True,
        timeout=_PATIENCE,
    )
    return events


def _explained(problem: str, watched: _Watched, doing: str, log: Path) -> EngineError:
    said = "\n".join([*watched.last, problem])
    cause, hint = "", f"the whole log is in {log}"
    for pattern, known, advice in _CAUSES:
        if match := re.search(pattern, said):
            cause, hint = known.format(*match.groups()), f"{advice}; the whole log is in {log}"
            break
    at = f" at step {watched.number} of {watched.steps}, {_short(watched.step)}" if watched.number else ""
    lines = [f"{doing} cannot be built: it failed{at}" + (f": {cause}" if cause else "")]
    lines += [f"  {line}" for line in watched.last]
    lines.append(f"  {' '.join(problem.split())}")
    return EngineError("\n".join(lines), hint=hint)


def _short(step: str) -> str:
    return step if len(step) <= 100 else step[:97] + "..."
