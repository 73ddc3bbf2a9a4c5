"""The custom gate: functions and commands of the team, each run in a process of its own beside the policy file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import DataError, StateError
from mlship.gates.base import GateContext, Predictions, without
from mlship.gates.custom.answer import GATE, AnswerError, read, results
from mlship.gates.custom.run import MOST_OUTPUT, Ended, run
from mlship.policy.gates import CustomGate
from mlship.policy.units import format_duration
from mlship.report.figures import quoted
from mlship.scoring.casts import fit
from mlship.types import GateResult, ModelVersion, Status

if TYPE_CHECKING:
    import pandas as pd

#: Version of what is handed over; it grows when something is taken away or changes its meaning.
FORMAT = 1
_LIMIT = "its own"


class Custom:
    """The gates of `gates.custom`, in the order of the policy."""

    name = GATE

    def judge(self, context: GateContext) -> list[GateResult]:
        """What each gate says of itself; a gate that fails to say anything is an error of that gate alone."""
        gates = context.policy.gates.custom
        if not gates:
            return []
        found: list[GateResult] = []
        with _scratch(context) as directory:
            given = _hand_over(context, Path(directory))
            for done, (name, rules) in enumerate(gates.items()):
                context.tick(done, len(gates))
                found += _judged(name, rules, context, given, Path(directory) / str(done))
        return _distinct(found)


@dataclass(frozen=True, slots=True)
class _Said:
    """What a gate answered, and what it is that answered."""

    answer: Any
    source: str


def _scratch(context: GateContext) -> tempfile.TemporaryDirectory[str]:
    """A directory of this evaluation alone, where rows and predictions are handed over."""
    kept = context.home.ensure(context.home.cache)
    try:
        return tempfile.TemporaryDirectory(prefix="custom-", dir=kept)
    except OSError as error:
        raise StateError(
            f"cannot write: {error.strerror}", where=str(kept), hint="free space or permissions"
        ) from error


def _judged(
    name: str, rules: CustomGate, context: GateContext, given: dict[str, Any], scratch: Path
) -> list[GateResult]:
    scratch.mkdir()
    told = scratch / "input.json"
    told.write_text(json.dumps({**given, "gate": name}, indent=1), encoding="utf-8")
    if bool(rules.function) == bool(rules.command):
        return [without(GATE, name, Status.ERROR, _LIMIT, "give it a function or a command, one of the two")]
    try:
        said = _function(rules, context, told, scratch) if rules.function else _command(rules, context, told, scratch)
        return results(name, said.answer, said.source)
    except AnswerError as error:
        return [without(GATE, name, Status.ERROR, _LIMIT, str(error))]


def _function(rules: CustomGate, context: GateContext, told: Path, scratch: Path) -> _Said:
    out = scratch / "answer.json"
    ended = _run(["function", str(rules.function), str(told), str(out)], rules, context, told, scratch)
    if ended.fault:
        raise AnswerError(f"{rules.function} {ended.fault}")
    if not out.is_file():
        raise AnswerError(f"{rules.function} ended the process before it gave a result")
    answered = read(out.read_text(encoding="utf-8"))
    if "error" in answered:
        raise AnswerError(answered["error"])
    return _Said(answered["answer"], answered["source"])


def _command(rules: CustomGate, context: GateContext, told: Path, scratch: Path) -> _Said:
    directory = _beside(context)
    program = rules.command[0]
    # As the shell does, but from the policy's directory: a name with a slash is a path, any other is looked up in PATH.
    there = directory / program if os.sep in program else shutil.which(program)
    if there is None or not Path(there).is_file():
        beside = directory / program
        hint = f"; did you mean './{program}'?" if beside.is_file() else ""
        raise AnswerError(f"there is no program {quoted(program)}{hint}")
    source = _named(rules.command, directory)
    ended = _run(["command", *rules.command], rules, context, told, scratch)
    if ended.fault:
        raise AnswerError(f"{quoted(program)} {ended.fault}")
    if ended.too_long:
        raise AnswerError(f"{quoted(program)} printed more than {MOST_OUTPUT:,} bytes; expected a few results as JSON")
    return _Said(read(ended.output), source)


def _run(arguments: list[str], rules: CustomGate, context: GateContext, told: Path, scratch: Path) -> Ended:
    command = [sys.executable, "-P", "-m", "mlship.gates.custom.call", str(os.getpid()), *arguments]
    directory = _beside(context)
    environment = os.environ | {"MLSHIP_INPUT": str(told), "MLFLOW_DISABLE_TELEMETRY": "true"}
    try:
        ended = run(command, cwd=directory, stdin=told, scratch=scratch, environment=environment, timeout=rules.timeout)
    except OSError as error:
        raise AnswerError(f"it cannot be run in {directory}: {error.strerror}") from error
    if ended.code is None:
        last = f"; the last it wrote was: {ended.last_words}" if ended.last_words else ""
        raise AnswerError(f"it did not finish within {format_duration(rules.timeout)} and was stopped{last}")
    return ended


def _beside(context: GateContext) -> Path:
    """The directory of the policy file, where every gate runs."""
    return context.resolve(".").absolute()


def _named(command: tuple[str, ...], directory: Path) -> str:
    """The command, with the digest of each of its files that stands beside the policy."""
    parts = []
    for part in command:
        path = directory / part
        inside = path.is_file() and path.resolve().is_relative_to(directory.resolve())
        parts.append(f"{part} (sha256 {_digest(path)})" if inside else part)
    return " ".join(parts)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def _distinct(found: list[GateResult]) -> list[GateResult]:
    """Results whose names are their own; a second one of the same name is an error, not a second opinion."""
    kept: dict[str, GateResult] = {}
    for result in found:
        if result.rule in kept:
            reason = f"two gates give a result named {quoted(result.rule)}; rename one of them"
            kept[result.rule] = without(GATE, result.rule, Status.ERROR, _LIMIT, reason)
        else:
            kept[result.rule] = result
    return list(kept.values())


def _hand_over(context: GateContext, directory: Path) -> dict[str, Any]:
    """Write rows and predictions below `directory`; what is told about them."""
    rows, candidate, champion = context.evaluation, context.candidate.version, context.candidate.champion
    path = None
    ours: Predictions | None = None
    theirs: Predictions | None = None
    if rows is not None:
        path = directory / "rows.parquet"
        _write(fit(rows.frame, None, []), path)
        if len(rows):
            ours, theirs = context.predictions
    return {
        "format": FORMAT,
        "model": candidate.model,
        "directory": str(_beside(context)),
        "candidate": _version(candidate, ours, directory / "candidate.parquet"),
        "champion": None if champion is None else _version(champion, theirs, directory / "champion.parquet"),
        "rows": None if path is None else str(path),
        "target": None if rows is None else rows.target,
        "time": None if rows is None else rows.time,
    }


def _version(version: ModelVersion, said: Predictions | None, path: Path) -> dict[str, Any]:
    """One version, and its predictions in a file: `prediction`, and `score`, or `score_0`, `score_1`, ... by class."""
    if said is not None:
        import pandas as pd

        table = {"prediction": said.values}
        if said.scores is not None:
            scores = said.scores
            table |= (
                {"score": scores} if scores.ndim == 1 else {f"score_{i}": column for i, column in enumerate(scores.T)}
            )
        _write(pd.DataFrame(table), path)
    return {
        "version": version.version,
        "digest": version.digest,
        "path": str(version.path),
        "inputs": list(version.inputs),
        "predictions": None if said is None else str(path),
        "classes": [] if said is None or said.classes is None else said.classes.tolist(),
    }


def _write(table: pd.DataFrame, path: Path) -> None:
    try:
        table.to_parquet(path, index=False)
    except OSError as error:
        raise StateError(f"cannot write: {error.strerror}", where=str(path.parent), hint="free space") from error
    except (ValueError, TypeError) as error:  # pyarrow's own errors are among these
        raise DataError(
            f"these rows cannot be handed to a custom gate: {' '.join(str(error).split())[:300]}",
            hint="a column holds values of several kinds; give it one type",
        ) from error
