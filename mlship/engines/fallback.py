"""The fallback program as an engine starts it: arguments, settings, and a look at the rule before all else."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from mlship.engines import envoy
from mlship.engines.front import Front
from mlship.errors import EngineError
from mlship.fallback.settings import Settings

#: Name of the program, and of its directory in an engine's.
PROGRAM = "fallback"
SETTINGS, QUEUE = "settings.json", "jobs.db"
#: Seconds that the rule's module may take to be imported.
IMPORT_SECONDS = 30.0


def needed(front: Front, directory: Path) -> bool:
    """Whether the program must run: the policy wants it, or jobs of before are to be worked off.

    Parameters
    ----------
    directory
        The engine's.
    """
    return envoy.has_last(front) or (directory / PROGRAM / QUEUE).exists()


def arguments(listen: str, directory: str = PROGRAM, python: str = sys.executable) -> list[str]:
    """The command of the program.

    Parameters
    ----------
    directory
        Where it finds its settings, and may write its queue; relative to where it runs.
    """
    settings, queue = f"{directory}/{SETTINGS}", f"{directory}/{QUEUE}"
    return [python, "-m", "mlship.fallback", "--settings", settings, "--jobs", queue, "--listen", listen]


def settings(front: Front, models: str, rules: str | None = None) -> str:
    """Text of the file of settings; the program reads it again whenever it is replaced.

    Parameters
    ----------
    models
        Base URL of the router's listener for jobs.
    rules
        The directory of the rule's module, as the program sees it; by default as the policy says.
    """
    _, limit = envoy.patience(front.timeout)
    told = Settings(
        kind=front.fallback,
        models=models,
        timeout=front.timeout,
        limit=limit,
        answer=front.rule_answer,
        function=front.rule_function,
        directory=front.rule_directory if rules is None else rules,
        digest=_digest(front),
        max_jobs=front.queue_jobs,
        keep=front.queue_keep,
    )
    return json.dumps(told.to_json(), indent=1)


def module_file(front: Front) -> Path | None:
    """The file of the rule's module; None without a function, or when it is no single file."""
    if not front.rule_function:
        return None
    name = front.rule_function.partition(":")[0].replace(".", "/")
    path = Path(front.rule_directory) / f"{name}.py"
    return path if path.is_file() else None


def check(front: Front) -> None:
    """See that what the policy asks for can work, before anything is changed.

    Raises
    ------
    EngineError
        The rule's function cannot be imported, or the extra `local` is not installed.
    """
    if not envoy.has_last(front):
        return
    for module, package in (("litequeue", "litequeue"), ("uvicorn", "uvicorn")):
        if find_spec(module) is None:
            raise EngineError(
                f"the fallback needs {package}, which is not installed", hint="pip install 'mlship[local]'"
            )
    if front.fallback != "rule" or not front.rule_function:
        return
    child = Path(__file__).parent.parent / "fallback" / "child.py"
    try:
        done = subprocess.run(
            [sys.executable, str(child), front.rule_function, front.rule_directory],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=IMPORT_SECONDS,
            check=False,
        )
        fault = "" if done.returncode == 0 else (done.stderr.decode(errors="replace").strip().splitlines() or ["?"])[-1]
    except subprocess.TimeoutExpired:
        fault = f"its import takes longer than {IMPORT_SECONDS:g} s"
    if fault:
        raise EngineError(
            f"the rule's function {front.rule_function} cannot be imported: {fault}",
            where=front.rule_directory,
            hint="mend it, or answer with a fixed document: `endpoint: {rule: {answer: {predictions: [0]}}}`",
        )


def forget(directory: Path) -> None:
    """Remove the program's files when the engine is gone; a queue with jobs or answers in it stays.

    Parameters
    ----------
    directory
        The engine's.
    """
    place = directory / PROGRAM
    (place / SETTINGS).unlink(missing_ok=True)
    if (place / QUEUE).exists() and not _is_empty(place / QUEUE):
        return
    for path in place.glob(f"{QUEUE}*"):
        path.unlink(missing_ok=True)
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()


def _is_empty(queue: Path) -> bool:
    """Whether nobody waits for anything in it; a file that cannot be read is not empty."""
    import sqlite3

    try:
        with sqlite3.connect(queue, timeout=1) as connection:
            counts = [
                connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in ("Queue", "answers")
            ]
        connection.close()
    except sqlite3.Error:
        return False
    return not any(counts)


def _digest(front: Front) -> str:
    path = module_file(front)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None else ""
