"""What the `MLmodel` file says about loading: which module does it, and which code travels with the model."""

from __future__ import annotations

import glob
import os
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlship.policy.gates import SecurityGate
from mlship.scan.findings import Finding, Kind

_NAME = "MLmodel"
#: Keys of a flavor whose value is Python code of the model.
_CODE_KEYS = ("code", "model_code_path")
#: Models "from code": the value is a path on the machine that trained, and MLflow loads the file of that name here. So
#: do these loaders, and these flavors; any other that reads the key would read the path as it stands.
_FROM_CODE = "model_code_path"
_BY_NAME_LOADERS = (
    "mlflow.pyfunc.model", "mlflow.pyfunc.loaders.code_model", "mlflow.pyfunc.loaders.chat_model",
    "mlflow.pyfunc.loaders.chat_agent", "mlflow.pyfunc.loaders.responses_agent", "mlflow.langchain",
    "mlflow.llama_index",
)  # fmt: skip
_BY_NAME_FLAVORS = ("langchain", "llama_index")
#: Keys whose values tell where something came from, and are not read when a model is loaded.
_NO_PATHS = ("uri", "source_model_name", "python_version")
#: What `predict_fn` may name: it is looked up on whatever was unpickled, and called.
_METHODS = {
    "predict", "predict_proba", "predict_log_proba", "predict_joint_log_proba", "score", "decision_function",
}  # fmt: skip


def look(directory: Path, section: SecurityGate) -> set[Finding]:
    """What loading would run by the word of the `MLmodel` file alone, or of one further down, where `data` leads."""
    found = _look(directory, directory, section)
    for base, _directories, names in os.walk(directory):
        if _NAME in names and Path(base) != directory:
            found |= _look(Path(base), directory, section)
    return found


def _look(where: Path, root: Path, section: SecurityGate) -> set[Finding]:
    file = (where / _NAME).relative_to(root).as_posix()
    try:
        flavors = flavors_of(where)
    except ValueError as error:
        return {Finding(file, Kind.UNREADABLE, str(error))}
    found: set[Finding] = set()
    for name, flavor in flavors.items():
        by_name = _FROM_CODE in flavor and _taken_by_name(name, flavor)
        for key in _CODE_KEYS:
            if flavor.get(key) and not section.allow_code:
                shown = _last(flavor[key]) if key == _FROM_CODE and by_name else flavor[key]
                found.add(Finding(file, Kind.CODE, f"{_shown(shown)}, for the flavor {name}"))
        if by_name and (why := _not_one_of_ours(where, flavor[_FROM_CODE])):
            found.add(Finding(file, Kind.UNREADABLE, why))
        paths = {key: value for key, value in flavor.items() if not (by_name and key == _FROM_CODE)}
        outside = {text for key, text in _texts(paths) if key not in _NO_PATHS and _leads_out(text)}
        found |= {Finding(file, Kind.UNREADABLE, f"{text[:200]} lies outside of the model") for text in outside}
    pyfunc = flavors.get("python_function", {})
    loader = _shown(pyfunc.get("loader_module") or "mlflow.sklearn")
    ours = loader.startswith("mlflow.") or loader in section.allow_types
    if not ours and not section.allow_code:
        found.add(Finding(file, Kind.CODE, f"the module {loader}, which loads it"))
    method = _shown(pyfunc.get("predict_fn") or "predict")
    if method not in _METHODS and not section.allow_code:
        found.add(Finding(file, Kind.UNKNOWN, f"the method {method}"))
    for name, flavor in flavors.items():
        kind = flavor.get("model_class")
        if name == "xgboost" and kind is not None and not str(_shown(kind)).startswith("xgboost."):
            found.add(Finding(file, Kind.DANGEROUS, _shown(kind)))  # MLflow imports and calls it, whatever it is
    return found


def _taken_by_name(name: str, flavor: dict[str, Any]) -> bool:
    """Whether MLflow takes only the last part of this flavor's `model_code_path`."""
    if not isinstance(flavor[_FROM_CODE], str):
        return False
    loader = flavor.get("loader_module")
    return name in _BY_NAME_FLAVORS or (
        name == "python_function" and isinstance(loader, str) and loader in _BY_NAME_LOADERS
    )


def _last(path: str) -> str:
    """What MLflow's `os.path.basename` makes of it: nothing, where `pathlib` would ignore a slash at the end."""
    return path.rpartition("/")[2]


def _not_one_of_ours(where: Path, written: str) -> str:
    """Why the last part of a path names no Python file beside the `MLmodel`; empty when it does."""
    name = _last(written)
    if not name.endswith(".py"):  # Python would load a .so or a .pyc too, which nobody can read
        return f"its code, {name[:200]!r}, is no Python file"
    if name not in {one.name for one in os.scandir(where) if one.is_file(follow_symlinks=False)}:
        return f"its code, {name[:200]!r}, is not among the files of the model"
    if compiled := sorted((where / "__pycache__").glob(f"{glob.escape(name[:-3])}.*")):
        return f"__pycache__/{compiled[0].name} would run instead of {name}"
    return ""


def _shown(value: Any) -> str:
    """Short, whatever it is: aliases can make a few lines of YAML more than memory holds."""
    return value[:200] if isinstance(value, str) else reprlib.repr(value)


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Every (key, text) in a flavor, each once however many aliases lead to it."""
    rest, seen = [("", value)], set()
    while rest:
        key, one = rest.pop()
        if isinstance(one, str):
            yield key, one
        elif isinstance(one, (dict, list)) and id(one) not in seen:
            seen.add(id(one))
            rest.extend((str(k), v) for k, v in one.items()) if isinstance(one, dict) else rest.extend(
                (key, v) for v in one
            )


def _leads_out(text: str) -> bool:
    return text.startswith(("/", "~")) or ".." in text.replace("\\", "/").split("/")


def flavors_of(directory: Path) -> dict[str, dict[str, Any]]:
    """The flavors, by name, with their settings.

    Raises ``ValueError`` with the reason when the file cannot be read.
    """
    import yaml

    try:
        document = yaml.safe_load((directory / _NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError("there is no such file") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(" ".join(str(error).split())[:200]) from None
    flavors = document.get("flavors") if isinstance(document, dict) else None
    if not isinstance(flavors, dict):
        raise ValueError("it names no flavors")  # noqa: TRY004 - the file is at fault, not a caller
    return {str(name): dict(flavor) for name, flavor in flavors.items() if isinstance(flavor, dict)}
