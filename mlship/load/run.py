"""Load targets from a process of its own, so that nothing that happens here makes a request late."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import IO, Any

from mlship.errors import LoadError
from mlship.load.plan import Load, Target
from mlship.load.recording import Recording, Slice

#: Seconds that the generator may take to end once it has said that it is done.
_GRACE = 5.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is."""

    target: str
    phase: str
    """`warmup`, `begin` (a stretch of load begins) or `slice` (one is over)."""
    index: int = 0
    """Number of the slice."""
    slices: int = 0
    """How many slices each target gets."""
    last: Slice | None = None
    """The slice that is over."""


def slices(
    targets: Mapping[str, Target],
    load: Load,
    bodies: Sequence[bytes],
    n_slices: int = 10,
    watch: Callable[[Progress], None] | None = None,
) -> dict[str, Recording]:
    """Load every target at the same rate, at the same moments after each slice's begin, with the same bodies.

    Several targets take turns, slice by slice, and who goes first alternates, so that what else happens on the machine
    hits all of them. One target is loaded without a pause, and what came of it is cut into slices by send time.

    Parameters
    ----------
    targets
        By name, such as `candidate` and `champion`.
    load
        `load.seconds` are measured on each target, in `n_slices` equal slices.
    bodies
        Request bodies, sent round and round.
    watch
        Told where the run is.

    Raises ``LoadError`` when a target's host has no address, or the generator fails; ``ValueError`` without targets,
    bodies or slices.
    """
    if not targets or not bodies or n_slices < 1:
        raise ValueError("a run needs a target, a body and a slice")
    job = {
        "load": load.to_json(),
        "targets": {name: asdict(target) for name, target in targets.items()},
        "slices": n_slices,
        "bodies": [len(body) for body in bodies],
    }
    parts: dict[str, list[Slice]] = {name: [] for name in targets}
    ends: dict[str, dict[str, Any]] = {}
    for event in _generated(job, bodies):
        kind, name = event["event"], event.get("target", "")
        last = Slice(**event["slice"]) if kind == "slice" else None
        if last is not None:
            parts[name].append(last)
        if kind == "end":
            ends[name] = event
        elif watch is not None and name:
            watch(Progress(name, kind, last.index if last else event.get("index", 0), n_slices, last))
    return {
        name: Recording(name, load.rate, tuple(parts[name]), ends[name]["connections"], ends[name]["stopped"])
        for name in targets
    }


def _generated(job: dict[str, Any], bodies: Sequence[bytes]) -> Any:
    """Events of a generator's process; it ends with this iterator, however that ends."""
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mlship.load.generator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            start_new_session=True,  # an interrupt at the terminal is for the command, which then ends this
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            _hand_over(process.stdin, job, bodies)
            done = False
            for line in process.stdout:
                event = json.loads(line)
                if event["event"] == "error":
                    raise LoadError(event["what"], hint="check the address of the server")
                if event["event"] == "done":
                    done = True
                    break
                yield event
            if not done:
                process.wait()
                raise LoadError(
                    f"the load generator ended with {process.returncode} before it was done",
                    where=_last_words(words),
                    hint="is there enough memory, and are there enough file descriptors (ulimit -n)?",
                )
            process.wait(timeout=_GRACE)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            _close(process.stdin)


def _hand_over(pipe: IO[bytes], job: dict[str, Any], bodies: Sequence[bytes]) -> None:
    try:
        pipe.write(json.dumps(job).encode() + b"\n")
        for body in bodies:
            pipe.write(body)
        pipe.flush()
    except BrokenPipeError:
        pass  # it has ended already; its last words say why


def _close(pipe: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):
        pipe.close()


def _last_words(words: IO[bytes]) -> str:
    words.seek(0)
    lines = words.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
