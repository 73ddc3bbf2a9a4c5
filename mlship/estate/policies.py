"""Policies of this machine: those that were named, those that a bounded search finds, those that rollouts ran by."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlship.errors import UsageError
from mlship.policy.faults import Severity
from mlship.policy.load import LoadedPolicy, examine
from mlship.policy.sniff import STRANGE, is_policy
from mlship.types.estate import BrokenPolicy

#: Directories that the search goes down, and files and directories that it looks at.
_DEEP, _MOST = 6, 20_000
#: Faults of one policy that are told.
_FAULTS = 3
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Found:
    """One policy."""

    path: str
    """As it was given, or below the working directory; else whole."""
    loaded: LoadedPolicy
    guessed: bool = False
    """Variables of the environment that it names are not set here, so addresses in it are not known."""


@dataclass(frozen=True, slots=True)
class Search:
    """What was found."""

    found: tuple[Found, ...]
    broken: tuple[BrokenPolicy, ...]
    where: str
    """Where was looked."""


def search(named: Sequence[str], remembered: Iterable[Path], here: Path) -> Search:
    """Every policy, each once.

    Parameters
    ----------
    named
        Files, directories and globs that were given; empty: the working directory is searched.
    remembered
        Paths that rollouts ran by. One that is gone is passed over: it was moved, or was another machine's.
    here
        The working directory.

    Raises ``UsageError`` when something that was given matches no policy.
    """
    given = [path for each in named for path in _given(each)]
    paths = dict.fromkeys((path.resolve(), path, True) for path in given)
    if not named:
        paths |= dict.fromkeys((path.resolve(), path, False) for path in below(here))
    paths |= dict.fromkeys((path.resolve(), path, True) for path in remembered if path.is_file())
    where = ", ".join(named) if named else f"{here} ({_DEEP} directories deep), and where rollouts ran by"
    found: list[Found] = []
    broken: list[BrokenPolicy] = []
    seen: set[Path] = set()
    for real, path, deliberate in paths:
        if real in seen:
            continue
        seen.add(real)
        one = read(path, _shown(path, here), named=deliberate)
        if isinstance(one, Found):
            found.append(one)
        else:
            broken.append(one)
    return Search(tuple(found), tuple(broken), where)


def read(path: Path, shown: str, *, named: bool) -> Found | BrokenPolicy:
    """The policy, or what is wrong with it. Who answers for a model is known also where variables are not set."""
    checked = examine(path, data=False)
    if checked.loaded is not None:
        return Found(shown, checked.loaded)
    try:
        names = set(_VARIABLE.findall(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        names = set()
    if unset := {name: "0" for name in names if not os.environ.get(name)}:
        guess = examine(path, {**os.environ, **unset}, data=False)
        if guess.loaded is not None:
            return Found(shown, guess.loaded, guessed=True)
    faults = [fault for fault in checked.faults if fault.severity is Severity.ERROR]
    told = [f"line {one.line}: {one.what}" if one.line else one.what for one in faults]
    more = f"; and {len(told) - _FAULTS} more" if len(told) > _FAULTS else ""
    return BrokenPolicy(shown, "; ".join(told[:_FAULTS]) + more, named)


def below(top: Path) -> Iterator[Path]:
    """Policies below a directory, the nearest first: every YAML file in it that looks like one, and deeper down those
    whose name begins with `mlship`. Hidden directories, and those that tools fill, are passed over.
    """
    left, waiting = _MOST, [(top, 0)]
    while waiting:
        directory, depth = waiting.pop(0)
        try:
            with os.scandir(directory) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in listed:
            left -= 1
            if left < 0:
                return
            if entry.name.startswith(".") or entry.name in STRANGE:
                continue
            path = directory / entry.name
            if entry.is_dir(follow_symlinks=False):
                if depth < _DEEP and not (path / "pyvenv.cfg").exists():
                    waiting.append((path, depth + 1))
            elif _named_so(entry.name, depth) and entry.is_file() and is_policy(path):
                yield path


def _named_so(name: str, depth: int) -> bool:
    return name.endswith((".yaml", ".yml")) and (depth == 0 or name.startswith("mlship"))


def _given(text: str) -> list[Path]:
    """The files that one `--policies` means."""
    path = Path(text).expanduser()
    if path.is_dir():
        found = [each for each in sorted(path.rglob("*.y*ml")) if each.is_file() and is_policy(each)]
    elif glob.has_magic(text):
        matched = (Path(each) for each in sorted(glob.glob(str(path), recursive=True)))  # noqa: PTH207 - Path.glob takes
        # no absolute pattern
        found = [each for each in matched if each.is_file() and is_policy(each)]
    else:
        found = [path] if path.is_file() else []
    if not found:
        hint = "name a policy, a directory that holds some, or a glob in quotes: --policies 'teams/*/mlship.yaml'"
        raise UsageError(f"--policies {text}: there is no policy", hint=hint)
    return found


def _shown(path: Path, here: Path) -> str:
    """Below the working directory from there, else whole."""
    return str(path.relative_to(here)) if path.is_absolute() and path.is_relative_to(here) else str(path)
