"""Do the columns, functions and files exist that the gates' sections name? Imports nothing of the team's."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mlship.policy.datasets import check_dataset
from mlship.policy.explain import suggestion
from mlship.policy.faults import Fault, plain
from mlship.policy.lint_gates import function_shape
from mlship.policy.subject import Subject
from mlship.policy.tree import Location

#: The names of columns by dataset; None where they cannot be known here.
Known = Mapping[str, tuple[str, ...] | None]
Resolve = Callable[[str], Path]

#: A module larger than this is left to the gates.
_LARGEST = 1_000_000
#: Lists of evaluation columns, by section.
_BY = {"slices": "by", "fairness": "by", "agreement": "by", "drift": "columns", "leakage": "vouched"}


def check_gate_references(subject: Subject, known: Known, resolve: Resolve) -> Iterable[Fault]:
    """Faults of every column, function, program and store of a gate that is not there."""
    evaluation = known.get("evaluation")
    for gate, key in _BY.items():
        names: tuple[str, ...] = getattr(getattr(subject.policy.gates, gate), key, ())
        yield from columns(subject, ("gates", gate, key), names, evaluation, "data.evaluation")
    yield from _skew(subject, resolve)
    for location, function in _functions(subject):
        if not any(True for _ in function_shape(subject, location, function)):
            yield from check_function(subject, location, function, resolve("."))
    for name, rule in subject.policy.gates.custom.items():
        if rule.command:
            yield from check_program(subject, ("gates", "custom", name, "command", 0), rule.command[0], resolve)


def columns(
    subject: Subject, location: Location, names: tuple[str, ...], known: tuple[str, ...] | None, file: str
) -> Iterable[Fault]:
    """A fault for each item of a list of columns that `file` does not have."""
    for index, name in enumerate(names):
        yield from column(subject, (*location, index), name, known, file)


def column(
    subject: Subject,
    location: Location,
    name: str,
    known: tuple[str, ...] | None,
    file: str,
    *,
    at_key: bool = False,
) -> Iterable[Fault]:
    """A fault when `file`, whose columns are known, does not have this one."""
    if known is None or name in known:
        return
    hint = suggestion(name, list(known)) or f"it has {plain(', '.join(known), 80)}"
    shown = subject.shown(location) or plain(name)
    yield subject.error(location, f"{file} has no column '{shown}'", hint, at_key=at_key)


def _skew(subject: Subject, resolve: Resolve) -> Iterable[Fault]:
    skew = subject.policy.gates.skew
    if skew is None:
        return
    here: Location = ("gates", "skew")
    faults: list[Fault] = []
    for side in ("offline", "online"):
        found = check_dataset(subject, (*here, side), getattr(skew, side), resolve, faults)
        file = f"gates.skew.{side}"
        faults.extend(columns(subject, (*here, "key"), skew.key, found, file))
        faults.extend(columns(subject, (*here, "columns"), skew.columns, found, file))
        if skew.time is not None:
            faults.extend(column(subject, (*here, "time"), skew.time, found, file))
    if skew.feast is not None:
        check_dataset(subject, (*here, "feast", "entities"), skew.feast.entities, resolve, faults)
        faults.extend(_store(subject, (*here, "feast", "repository"), resolve(skew.feast.repository)))
    yield from faults


def _store(subject: Subject, location: Location, path: Path) -> Iterable[Fault]:
    """A Feast repository is a directory with its settings."""
    shown = subject.shown(location) or str(path)
    if not path.is_dir():
        yield subject.error(location, f"there is no directory {shown}", "paths are relative to the policy")
    elif not (path / "feature_store.yaml").is_file():
        hint = "name the directory in which `feast apply` is run"
        yield subject.error(location, f"{shown} has no feature_store.yaml", hint)


def _functions(subject: Subject) -> Iterable[tuple[Location, str]]:
    gates = subject.policy.gates
    for name, metric in gates.metrics.items():
        if metric.function is not None:
            yield ("gates", "metrics", name, "function"), metric.function
    if gates.value is not None and gates.value.function is not None:
        yield ("gates", "value", "function"), gates.value.function
    for name, gate in gates.custom.items():
        if gate.function is not None:
            yield ("gates", "custom", name, "function"), gate.function


def check_function(subject: Subject, location: Location, function: str, directory: Path) -> Iterable[Fault]:
    """The module stands beside the policy file and names the function; it is read, not run."""
    module, _, name = function.partition(":")
    stem = directory.joinpath(*module.split("."))
    file = next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)
    if file is None:
        there = sorted(path.stem for path in directory.glob("*.py"))
        hint = suggestion(module, there) or f"write {module.replace('.', '/')}.py with a function {name}"
        yield subject.error(location, f"there is no module '{module}' beside the policy", hint)
        return
    try:
        if file.stat().st_size > _LARGEST:
            return
        names = _names(ast.parse(file.read_bytes()))
    except SyntaxError as error:
        where = f" in line {error.lineno}" if error.lineno else ""
        yield subject.error(location, f"{file.name} is not valid Python{where}: {error.msg}", "mend it first")
        return
    except (OSError, ValueError, RecursionError, MemoryError):
        yield subject.error(location, f"{file.name} cannot be read as Python", "check the file")
        return
    if names is not None and name not in names:
        hint = suggestion(name, sorted(names)) or f"define {name} at its top level"
        yield subject.error(location, f"{file.name} has no function '{name}'", hint)


def _names(module: ast.Module) -> set[str] | None:
    """What a module defines or imports, wherever in it; None when `import *` may bring anything."""
    names: set[str] = set()
    for node in ast.walk(module):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.Import() | ast.ImportFrom():
                names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    return None if "*" in names or "__getattr__" in names else names


def check_program(subject: Subject, location: Location, program: str, resolve: Resolve) -> Iterable[Fault]:
    """A program named by its path is there and may be run; others are looked up where the gate runs."""
    if os.sep not in program or program.startswith(os.sep):
        return
    path = resolve(program)
    shown = subject.shown(location) or program
    if not path.is_file():
        yield subject.error(location, f"there is no file {plain(shown, 60)}", "paths are relative to the policy")
    elif not os.access(path, os.X_OK):
        yield subject.error(location, f"{plain(shown, 60)} may not be executed", f"chmod +x {path.name}")
