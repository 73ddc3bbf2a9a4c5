"""What an image has to hold besides the model: the model's own requirements, MLflow, and what the server runs on."""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import EngineError, PolicyError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

#: What `mlship.serving` imports besides the standard library, MLflow and what MLflow's small half brings.
SERVER = ("uvicorn", "uvloop", "httptools", "prometheus-client", "numpy", "pandas")
#: Modules that load a model without what only the whole of MLflow needs: each was read for its imports.
SKINNY = frozenset(
    {
        "mlflow.sklearn",
        "mlflow.lightgbm",
        "mlflow.xgboost",
        "mlflow.catboost",
        "mlflow.statsmodels",
        "mlflow.onnx",
        "mlflow.pytorch",
        "mlflow.pyfunc.model",
    }
)
#: Packages that the whole of MLflow brings, so that a model may use them without asking: what their names look like in
#: a pickle or a source file.
_BROUGHT = {"pyarrow": b"pyarrow", "scikit-learn": b"sklearn", "scipy": b"scipy", "matplotlib": b"matplotlib"}
_TEXTS = frozenset({"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "constraints.txt"})
_CONSTRAINTS = re.compile(r"^(-c|--constraint)[ =]\s*constraints\.txt$")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for, before it is resolved."""

    lines: tuple[str, ...]
    """As in a requirements file."""
    constraints: str
    """Text of the model's own constraints file; empty when it has none."""
    python: str
    """The Python that the model was logged with; empty when it does not say."""
    modules: tuple[str, ...]
    """What must be importable in the image, or it will not serve."""
    hashes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """sha256 (hex) of the files that the policy's lock file allows, by package; without any where it names none."""


def wanted(model: Path, lock: Path | None) -> Wanted:
    """The requirements of a model directory, or those of the policy's lock file, and what the server needs with them.

    MLflow is always the running one: it evaluated this model, and mlship's server is tested with it. It reads models of
    its predecessors. Only its small half is installed where the flavour can do with it.

    Raises ``EngineError`` when the model does not say what it needs, ``PolicyError`` when the lock file cannot be read.
    """
    flavours = _flavours(model)
    loader = str(flavours.get("python_function", {}).get("loader_module", ""))
    own = _read(lock) if lock is not None else _own_lines(model)
    lines, whole = _without_mlflow(own)
    if lock is None and not lines and loader != "mlflow.pyfunc.model":
        raise EngineError(
            "the model does not say what it needs: it has no requirements.txt",
            where=str(model),
            hint="log it again, or name a lock file under `image: {requirements: ...}` in the policy",
        )
    small = loader in SKINNY and not whole
    mlflow = f"mlflow{'-skinny' if small else ''}{whole or ''}=={version('mlflow')}"
    named = {_name(line) for line in lines}
    extra = [one for one in _implied(model, flavours, small=small) if one not in named]
    server = [_as_declared(one) for one in SERVER if one not in named]
    return Wanted(
        lines=(*lines, mlflow, *extra, *server),
        constraints=_constraints(model, own),
        python=str(flavours.get("python_function", {}).get("python_version", "")),
        modules=_modules(flavours, loader),
        hashes=_hashes(own) if lock is not None else {},
    )


def _flavours(model: Path) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load((model / "MLmodel").read_text(encoding="utf-8"))
        flavours: dict[str, Any] = document["flavors"]
        return {str(name): options if isinstance(options, dict) else {} for name, options in flavours.items()}
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(
            "the model's MLmodel file cannot be read", where=str(model), hint="log the model again"
        ) from error


def _modules(flavours: dict[str, Any], loader: str) -> tuple[str, ...]:
    """MLflow's modules that load it, and the flavours' own libraries, which MLflow imports late."""
    names = [name for name in flavours if name != "python_function"]
    loaders = [loader] if loader.startswith("mlflow.") else []
    return ("mlflow.pyfunc", "mlflow.pyfunc.scoring_server", *loaders, *sorted(f"?{name}" for name in names))


def _own_lines(model: Path) -> list[str]:
    path = model / "requirements.txt"
    if path.is_file():
        return _read(path)
    return _of_conda(model / "conda.yaml")


def _read(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(
            f"the requirements cannot be read: {getattr(error, 'strerror', None) or 'they are not text'}",
            where=str(path),
            hint="see `image: {requirements: ...}` in the policy",
        ) from None
    joined = re.sub(r"\\\n", " ", text)
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def _of_conda(path: Path) -> list[str]:
    """Models of early MLflow say what they need in a conda environment only."""
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        entries = document["dependencies"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return []
    lines: list[str] = []
    for entry in entries:
        if isinstance(entry, dict):
            lines += [str(line) for line in entry.get("pip") or []]
        elif not re.match(r"(python|pip)\b(?!-)", str(entry)):
            lines.append(re.sub(r"^([\w.-]+)=([^=].*)$", r"\1==\2", str(entry)))  # conda pins with one sign
    return lines


def _parsed(line: str) -> Requirement | None:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(re.split(r"\s--", line)[0].strip())
    except InvalidRequirement:  # an option, or a path: the resolver says what it thinks of it
        return None


def _name(line: str) -> str:
    from packaging.utils import canonicalize_name

    one = _parsed(line)
    return canonicalize_name(one.name) if one is not None else ""


def _without_mlflow(lines: list[str]) -> tuple[list[str], str]:
    """The lines that are not MLflow's, and the extras that are asked of it, as `[a,b]`."""
    extras: set[str] = set()
    kept = []
    for line in lines:
        if _CONSTRAINTS.match(line):
            continue
        if _name(line) in ("mlflow", "mlflow-skinny"):
            one = _parsed(line)
            extras |= one.extras if one is not None else set()
        else:
            kept.append(re.split(r"\s--hash", line)[0].strip())
    return kept, f"[{','.join(sorted(extras))}]" if extras else ""


def _constraints(model: Path, lines: list[str]) -> str:
    path = model / "constraints.txt"
    if not any(_CONSTRAINTS.match(line) for line in lines) or not path.is_file():
        return ""
    return "".join(f"{line}\n" for line in _read(path) if _name(line) not in ("mlflow", "mlflow-skinny"))


def _implied(model: Path, flavours: dict[str, Any], *, small: bool) -> list[str]:
    """What the model uses without asking for it: its format, and what the whole of MLflow would have brought."""
    implied = ["skops"] if flavours.get("sklearn", {}).get("serialization_format") == "skops" else []
    if small:
        files = [path for path in sorted(model.rglob("*")) if path.is_file() and path.name not in _TEXTS]
        implied += [name for name, mark in _BROUGHT.items() if any(_mentions(path, mark) for path in files)]
    return implied


def _mentions(path: Path, mark: bytes) -> bool:
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(mark) >= 0


def _as_declared(name: str) -> str:
    """With the range that mlship itself declares, where it declares one."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    try:
        declared = [Requirement(line) for line in requires("mlship") or []]
    except PackageNotFoundError:
        return name
    for one in declared:
        if canonicalize_name(one.name) == name and one.specifier:
            return f"{name}{one.specifier}"
    return name


def _hashes(lines: list[str]) -> dict[str, tuple[str, ...]]:
    found = {_name(line): tuple(re.findall(r"--hash[= ]sha256:([0-9a-f]{64})", line)) for line in lines}
    return {name: hashes for name, hashes in found.items() if name and hashes}
