"""The plan file: what a promotion was to rest on when somebody looked at it, kept until it is carried out.

`mlship plan --out` writes it, `mlship ship --plan` holds the world against it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from mlship.errors import MovedError, StateError, UsageError
from mlship.policy.load import LoadedPolicy
from mlship.policy.units import format_duration
from mlship.rollout.outlook import span
from mlship.rollout.pins import Arm, Pins, Proved, moved
from mlship.rollout.views import RolloutView

#: What the file calls itself, and the newest shape of it that is known here.
KIND, FORMAT = "mlship plan", 1
#: Bytes of the largest file that is looked at; a plan has about two thousand.
_LARGEST = 1 << 20
#: Seconds that the clocks of two machines may differ.
_SKEW = 300.0


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan, and who made it."""

    pins: Pins
    at: float
    """Unix seconds at which it was made."""
    who: str
    mlship: str
    """The version that made it."""
    checksum: str = ""
    """sha256 over all the rest; empty until it is written."""
    path: str = ""
    """Where it was read or written; no part of the file."""


def document(plan: PlanFile) -> dict[str, Any]:
    """The file's content, with its checksum; times in unix seconds, what there is not is null."""
    pins = plan.pins
    body: dict[str, Any] = {
        "kind": KIND,
        "format": FORMAT,
        "made": {"at": round(plan.at, 3), "by": plan.who, "mlship": plan.mlship},
        "model": pins.model,
        "policy": {"path": pins.policy, "digest": pins.policy_digest},
        **pinned(pins),
    }
    return {**body, "checksum": checksum(body)}


def pinned(pins: Pins) -> dict[str, Any]:
    """What is in the registry and the ledger, as JSON says it."""
    return {
        "candidate": _arm(pins.candidate),
        "champion": _arm(pins.champion),
        "evaluation": _proved(pins.evaluation),
        "latency": _proved(pins.latency),
    }


def checksum(body: Mapping[str, Any]) -> str:
    """sha256 over the canonical JSON of everything but the checksum: layout and order do not count."""
    meant = {key: value for key, value in body.items() if key != "checksum"}
    canonical = json.dumps(meant, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"sha256:{hashlib.sha256(canonical.encode('ascii')).hexdigest()}"


def _arm(arm: Arm) -> dict[str, Any]:
    return {
        "reference": arm.reference,
        "version": arm.version,
        "digest": arm.digest or None,
        "image": arm.image or None,
    }


def _proved(proof: Proved | None) -> dict[str, Any] | None:
    if proof is None:
        return None
    known = {"id": proof.id, "run": proof.run or None, "at": round(proof.at, 3), "by": proof.who}
    return {**known, "data": dict(proof.data)}


def write(plan: PlanFile, path: Path) -> PlanFile:
    """Write a plan, whole or not at all, for everybody to read (mode 0644); the plan as it is in the file.

    Raises ``UsageError`` when something else than a plan is there, ``StateError`` when the file cannot be written.
    """
    destination(path)
    content = document(plan)
    target = path.resolve()
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(json.dumps(content, indent=2, allow_nan=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StateError(
            f"the plan cannot be written: {error.strerror or error}",
            where=str(path),
            hint="free space or permissions, or name another file by --out",
        ) from error
    return dataclasses.replace(plan, checksum=content["checksum"], path=str(path))


def destination(path: Path) -> None:
    """Raise ``UsageError`` unless a plan may be written there: nothing but another plan is replaced."""
    if not path.parent.is_dir():
        raise UsageError(f"--out {path}: there is no directory {path.parent}", hint=f"mkdir -p {path.parent}")
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise UsageError(f"--out {path}: this is no file", hint="name a file")
    try:
        document = json.loads(_content(path))
    except (OSError, ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise UsageError(
            f"--out {path}: this file is there already, and is no plan; it was left as it is",
            hint="name another file, or remove this one",
        )


def read(path: Path) -> PlanFile:
    """The plan in a file.

    Raises ``UsageError`` when there is none, or it is torn, was changed after it was made, or has a newer format.
    """
    again = "make it again: mlship plan POLICY --out FILE"
    try:
        found: Any = json.loads(_content(path))
    except FileNotFoundError:
        raise UsageError("there is no such plan", where=str(path), hint="mlship plan POLICY --out FILE") from None
    except OSError as error:
        raise UsageError(f"the plan cannot be read: {error.strerror or error}", where=str(path)) from None
    except (ValueError, RecursionError):
        raise UsageError("the plan is torn: this is no JSON document", where=str(path), hint=again) from None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise UsageError("this is no plan of mlship", where=str(path), hint=again)
    if found.get("format") != FORMAT:
        raise UsageError(
            f"the plan has format {found.get('format')!r}, and this mlship reads format {FORMAT}",
            where=str(path),
            hint="use the version of mlship that made it, or make it again with this one",
        )
    if not isinstance(found.get("checksum"), str) or found["checksum"] != checksum(found):
        raise UsageError(
            "the plan was changed after it was made: its checksum is that of another content",
            where=str(path),
            hint=again,
        )
    try:
        return _from_document(found, str(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"the plan is damaged ({type(error).__name__}: {error})"
        raise UsageError(what, where=str(path), hint=again) from None


def _content(path: Path) -> str:
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe would be waited for, for ever
        raise OSError("it is no regular file")
    with path.open("rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError("too large")
    return content.decode("utf-8")


def _from_document(found: dict[str, Any], path: str) -> PlanFile:
    made, policy = found["made"], found["policy"]
    return PlanFile(
        Pins(
            _text(found["model"]),
            _text(policy["path"]),
            _text(policy["digest"]),
            _as_arm(found["candidate"]),
            _as_arm(found["champion"]),
            _as_proved(found["evaluation"]),
            _as_proved(found["latency"]),
        ),
        float(made["at"]),
        _text(made["by"]),
        _text(made["mlship"]),
        found["checksum"],
        path,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _as_arm(found: dict[str, Any]) -> Arm:
    version, digest, image = (
        None if found[key] is None else _text(found[key]) for key in ("version", "digest", "image")
    )
    return Arm(_text(found["reference"]), version, digest or "", image or "")


def _as_proved(found: dict[str, Any] | None) -> Proved | None:
    if found is None:
        return None
    data = tuple((_text(name), _text(digest)) for name, digest in found["data"].items())
    return Proved(_text(found["id"]), _text(found["run"] or ""), float(found["at"]), _text(found["by"]), data)


def meant(plan: PlanFile, loaded: LoadedPolicy) -> None:
    """Raise ``UsageError`` when the plan is of another model, or of another policy of the same model."""
    pins, path = plan.pins, str(loaded.path)
    hint = f"name its own policy, {pins.policy}; or plan this one: mlship plan {path} --out FILE"
    if pins.model != loaded.policy.model:
        what = f"the plan is of {pins.model}, and {path} is the policy of {loaded.policy.model}"
        raise UsageError(what, where=plan.path, hint=hint)
    if pins.policy_digest != loaded.digest and not _same_file(pins.policy, path):
        raise UsageError(f"the plan is of {pins.policy}, not of {path}", where=plan.path, hint=hint)


def _same_file(left: str, right: str) -> bool:
    """Whether two paths may name the same file, seen from different directories."""
    one, other = (PurePath(os.path.normpath(path)).parts for path in (left, right))
    common = min(len(one), len(other))
    return one[-common:] == other[-common:]


def fresh(plan: PlanFile, most: float, now: float) -> None:
    """Raise ``MovedError`` when the plan is older than so many seconds, or was made in the future."""
    age = now - plan.at
    if -_SKEW <= age <= most:
        return
    what = f"the plan is {span(age)} old, and may be {format_duration(most)}"
    if age < 0:
        what = f"the plan was made {span(-age)} from now: a clock is wrong"
    raise MovedError(what, where=plan.path, hint=_again(plan.pins.policy, plan.path))


def hold(plan: PlanFile, now: Pins, under_way: RolloutView | None = None) -> None:
    """Raise ``MovedError`` when something is not as it was planned any more; `under_way`: see ``moved``."""
    changes = moved(plan.pins, now, under_way)
    if changes:
        raise MovedError(
            f"{now.model} is not as it was planned: {'; '.join(changes)}",
            where=plan.path,
            hint=f"look at what would happen now, and decide again: {_again(now.policy, plan.path)}",
        )


def _again(policy: str, path: str) -> str:
    return f"mlship plan {policy} --out {path}"
