"""From a file to a policy: reads it, finds every fault in one run, and digests what it says."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from collections.abc import Mapping as Environment
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlship.errors import PolicyError
from mlship.policy.environment import substitute
from mlship.policy.explain import explain, location_of
from mlship.policy.faults import START, Fault, Severity, Source
from mlship.policy.lint import lint
from mlship.policy.references import check_references
from mlship.policy.schema import Policy
from mlship.policy.subject import Subject
from mlship.policy.text import read_text
from mlship.policy.tree import Location, Mapping, Node, find, plain_value, without, without_broken
from mlship.policy.yaml import parse

#: Sections whose values decide about a candidate. None of them holds a secret, once the rollout's hooks are out.
_DECIDES = ("model", "candidate", "champion", "data", "gates", "image", "serving", "rollout")
#: After so many faults, a person would rather mend some first.
_MOST = 100

#: Stand in for required sections that are missing or broken, so that the rest can be linted in the same run.
_STAND_INS: dict[str, Any] = {"version": 1, "model": "model", "owner": {"team": "team", "contact": "contact"}}


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A valid policy and the file that it came from."""

    policy: Policy = field(repr=False)
    """Values may come from the environment, so they are not part of the representation."""
    path: Path
    text: str = field(repr=False)
    digest: str
    """sha256 over the canonical JSON of the document as written, and of what the environment put into the sections that
    decide; comments and layout do not count, nor does where the registry is."""

    def resolve(self, relative: str | Path) -> Path:
        """A path in the policy as an absolute path: it is relative to the policy's directory; `~` is the home."""
        return _resolve(self.path, str(relative))


@dataclass(frozen=True, slots=True)
class Checked:
    """What one run over a policy file found."""

    faults: tuple[Fault, ...]
    """In the order of the file; warnings among them."""
    loaded: LoadedPolicy | None
    """None when any fault is an error."""


def load_policy(path: Path) -> LoadedPolicy:
    """The policy in the file at `path`; warnings do not matter here.

    Data files are not looked at: the gates read them, and a rollout may run where they are not.
    Raises ``PolicyError`` that lists every fault.
    """
    checked = examine(path, data=False)
    if checked.loaded is None and not path.exists():  # there is nothing that `validate` could tell more of
        missing = checked.faults[0]
        raise PolicyError(missing.what, where=str(path), hint=missing.hint)
    if checked.loaded is None:
        errors = [fault for fault in checked.faults if fault.severity is Severity.ERROR]
        count = "1 fault" if len(errors) == 1 else f"{len(errors)} faults"
        listed = "\n".join(str(fault) for fault in errors)
        raise PolicyError(f"the policy has {count}\n{listed}", where=str(path), hint=f"mlship validate {path}")
    return checked.loaded


def check(path: Path, environ: Environment[str, str] | None = None) -> list[Fault]:
    """Every fault of the policy file at `path`, warnings included, in the order of the file. Never raises."""
    return list(examine(path, environ).faults)


def examine(
    path: Path,
    environ: Environment[str, str] | None = None,
    *,
    data: bool = True,
    also: Callable[[Subject], Iterable[Fault]] | None = None,
) -> Checked:
    """Check the file at `path` and, if it is valid, load it; the environment is `os.environ` unless given.

    With `data`, the data files that it names must exist and have the columns that it names. `also` is a lint that
    needs rooms above this one.
    """
    text = read_text(path, str(path))
    if isinstance(text, Fault):
        return Checked((text,), None)
    return examine_text(text, path, str(path), environ, data=data, also=also)


def examine_text(
    text: str,
    path: Path,
    file: str,
    environ: Environment[str, str] | None = None,
    *,
    data: bool = True,
    also: Callable[[Subject], Iterable[Fault]] | None = None,
) -> Checked:
    """Like `examine`, of a text that is known already: the policy at `path` as it was, say, in another revision.

    Faults name it as `file`; paths in it are relative to the directory of `path`.
    """
    source = Source.of(file, text)
    tree, faults = parse(text, source)
    if tree is None:
        return Checked(_sorted(faults, source), None)
    if not isinstance(tree, Mapping):
        fault = source.fault(tree.spot, "a policy is a mapping of keys and values", "begin with `version: 1`")
        return Checked(_sorted([*faults, fault], source), None)
    substituted, unset = substitute(tree, os.environ if environ is None else environ, source)
    digest = _digest(tree, substituted)
    policy, kept, refused = _validate(substituted, source)
    faults += unset + refused
    if policy is not None:
        subject = Subject(policy, kept, substituted, source)
        faults += lint(subject)
        if also is not None:
            faults += also(subject)
        if data:
            faults += check_references(subject, lambda relative: _resolve(path, relative))
    ordered = _sorted(faults, source)
    if policy is None or any(fault.severity is Severity.ERROR for fault in ordered):
        return Checked(ordered, None)
    return Checked(ordered, LoadedPolicy(policy, path, text, digest))


def _validate(tree: Node, source: Source) -> tuple[Policy | None, Node, list[Fault]]:
    """The policy, the tree that it was made of, and the faults of everything that had to be taken out of it.

    The schema is asked again without the parts that it refused, until it is content: so the lint sees all the rest.
    """
    faults: list[Fault] = []
    kept = without_broken(tree)
    for _ in range(8):
        value = plain_value(kept)
        stand_ins = {key: value.get(key, stand_in) for key, stand_in in _STAND_INS.items()}
        try:
            # JSON in strict mode is what YAML with our scalars means: lists for tuples and text for dates, but no
            # number from text.
            policy = Policy.model_validate_json(json.dumps({**value, **stand_ins}), strict=True)
        except ValidationError as error:
            errors = error.errors(include_url=False)
        else:
            return policy, kept, faults + [f for key in _STAND_INS if (f := _absent(key, value, tree, kept, source))]
        refused: dict[Location, None] = {}
        for details in errors[:_MOST]:
            location = location_of(kept, details)
            if location not in refused:
                refused[location] = None
                if fault := explain(kept, tree, details, source):
                    faults.append(fault)
        # A section that lacks a key goes as a whole. Last first, so that the locations of the others stay true.
        targets = {location if find(kept, location) is not None else location[:-1] for location in refused}
        for target in sorted(targets, key=_order, reverse=True):
            if target and not any(target[:depth] in targets for depth in range(1, len(target))):
                kept = without(kept, target)
    return None, kept, faults


def _order(location: Location) -> tuple[tuple[str, int], ...]:
    """Items by their number, keys by their name."""
    return tuple(("", step) if isinstance(step, int) else (step, 0) for step in location)


def _absent(key: str, value: dict[str, Any], tree: Node, kept: Node, source: Source) -> Fault | None:
    """The fault of a required key that a stand-in has replaced; None when it is there, or has a fault already."""
    if key in value:
        return None
    return explain(kept, tree, {"type": "missing", "loc": (key,), "msg": "", "input": None}, source)


def _sorted(faults: list[Fault], source: Source) -> tuple[Fault, ...]:
    """In the order of the file, each once, and not more than a person would read."""
    ordered = sorted(dict.fromkeys(faults), key=lambda fault: (fault.line, fault.col, fault.severity))
    if len(ordered) > _MOST:
        more = source.fault(START, f"{len(ordered) - _MOST:,} more faults are not shown", "mend these first")
        ordered = [*ordered[:_MOST], replace(more, source_line="")]
    return tuple(ordered)


def _digest(written: Node, substituted: Node) -> str:
    """A limit read from the environment is part of what a candidate passed; an address or a password is not."""
    meant = plain_value(substituted)
    if isinstance(meant.get("rollout"), dict):
        meant["rollout"].pop("hooks", None)  # a webhook's URL is a secret, and may change like one
    document = {"written": plain_value(written), "decides": {key: meant[key] for key in _DECIDES if key in meant}}
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_refuse)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def _refuse(value: object) -> str:
    raise TypeError(f"{type(value).__name__} has no place in a policy")


def _resolve(policy: Path, relative: str) -> Path:
    try:
        wanted = Path(relative).expanduser()
    except RuntimeError:  # `~nobody`
        wanted = Path(relative)
    return Path(os.path.normpath(policy.absolute().parent / wanted))  # normpath: `..` as written, links untouched
