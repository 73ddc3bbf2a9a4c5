"""What the shell offers after Tab: policies, models, versions and rollouts, from files of this machine alone.

Nothing here reaches a network, loads MLflow, or fails: where something cannot be told, nothing is offered.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path

import typer

from mlship.home import Home
from mlship.policy import sniff

#: Directories below the word typed so far that are looked into for policies; and how many files and directories.
_DEEP, _MOST = 3, 2000
#: Bytes of the ledger that are read, at its end.
_TAIL = 4 << 20
#: How the ledger begins what it says of a model (`"evidence"` has a key of that name, too).
_ENTRY = re.compile(
    rb'"action":"(\w+)","model":("(?:[^"\\]|\\.)*"),"from_version":(null|"(?:[^"\\]|\\.)*"),'
    rb'"to_version":(null|"(?:[^"\\]|\\.)*")'
)

Complete = Callable[[typer.Context, str], list[str]]


def _quiet(find: Callable[[typer.Context, str], Iterable[str]]) -> Complete:
    """What begins with the word typed so far, each once; nothing where anything goes wrong: a shell shows no errors."""

    @wraps(find)
    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            return [name for name in dict.fromkeys(find(ctx, incomplete)) if name.startswith(incomplete)]
        except Exception:  # noqa: BLE001 - whatever it is, a word that is not completed is the better answer
            return []

    return complete


@_quiet
def policies(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Policies below the directory typed so far, with their whole path, and the directories too deep to look into.

    Where there are none, nothing: then the shell completes files as ever.
    """
    del ctx
    typed, slash, name = incomplete.rpartition("/")
    top = Path(os.path.expanduser(typed + slash)) if slash else Path()  # noqa: PTH111 - `~nobody` stays as it is
    return sorted(typed + slash + found for found in _below(top, name))


def _below(top: Path, name: str) -> Iterator[str]:
    """Paths below `top` that begin with `name`: policies, and directories (with a slash) that were not looked into."""
    left, waiting = _MOST, [("", 0)]
    while waiting:
        prefix, depth = waiting.pop(0)
        try:
            entries = sorted(os.scandir(top / prefix), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if not depth and not entry.name.startswith(name):
                continue
            left -= 1
            if left < 0:
                return
            if entry.name in sniff.STRANGE or (entry.name.startswith(".") and not (name.startswith(".") and not depth)):
                continue
            path = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=not depth):
                if depth < _DEEP:
                    waiting.append((f"{path}/", depth + 1))
                else:
                    yield f"{path}/"
            elif entry.name.endswith((".yaml", ".yml")) and entry.is_file() and sniff.is_policy(top / path):
                yield path


@_quiet
def models(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Models that the ledger or the embedded registry knows; of a remote registry, those that the ledger has seen."""
    del incomplete
    home = _home(ctx)
    return sorted({model for _, model, _, _ in _entries(home)} | set(_registered(home)))


@_quiet
def champions(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Versions of the model that were champion, the latest first."""
    del incomplete
    entries = list(_entries(_home(ctx)))
    model = _model(ctx, {name for _, name, _, _ in entries})
    versions = [
        version
        for action, name, before, after in entries
        if name == model and action in ("promoted", "rolled_back", "served")
        for version in (before, after)
        if version
    ]
    return reversed(versions)


@_quiet
def rollouts(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Ids of the model's rollouts, the latest first."""
    del incomplete
    home = _home(ctx)
    model = _model(ctx, {name for _, name, _, _ in _entries(home)})
    names = [path.stem for path in home.rollouts(model).glob("*.jsonl")] if model else []
    return sorted(names, reverse=True)


def _model(ctx: typer.Context, known: set[str]) -> str:
    """The model on the command line; an option that still lacks its value hides the arguments from the parser."""
    found = ctx.params.get("model")
    if isinstance(found, str):
        return found
    words = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    return next((word for word in words.split() if word in known), "")


def _home(ctx: typer.Context) -> Home:
    """The state directory that the command would use; what was said before its name is not parsed to the end here."""
    root = ctx.find_root()
    named = root.params.get("home")
    return Home.find(Path(named) if named else None)


def _entries(home: Home) -> Iterator[tuple[str, str, str | None, str | None]]:
    """(action, model, from, to) of the latest entries of the ledger, oldest first."""
    try:
        with home.ledger.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            content = file.read()
    except OSError:
        return
    for found in _ENTRY.finditer(content):
        model, before, after = (json.loads(found[number]) for number in (2, 3, 4))
        yield found[1].decode(), model, before, after


def _registered(home: Home) -> list[str]:
    """Names of the models in the embedded registry, read from its database as it is."""
    import sqlite3
    from contextlib import closing

    database = home.registry_dir / "mlflow.db"
    if not database.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=0.1)) as connection:
            return [str(name) for (name,) in connection.execute("SELECT name FROM registered_models LIMIT 1000")]
    except sqlite3.Error:
        return []


def _plain_help() -> None:
    """Typer loads rich, which takes longer than all the rest, to clean help texts of markup that ours do not have."""
    from typer import _completion_classes as classes

    if hasattr(classes, "_sanitize_help_text"):  # private: without it completion is slower, and no worse
        classes._sanitize_help_text = lambda text: text


if "_MLSHIP_COMPLETE" in os.environ:
    _plain_help()
